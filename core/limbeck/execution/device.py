"""Devices, threads and the allocator: what a run sets before its first step."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator

import torch

from limbeck.errors import UsageError

MMAP_THRESHOLD, TRIM_THRESHOLD = 32 << 20, (1 << 31) - 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

SMALL_ACTIVATION = 16 << 10
"""Bytes of an image's largest map below which several threads wait for each other longer than they work."""


def resolve_device(asked: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda`` or ``cuda:1`` into a device that is there.

    Raises:
        UsageError: no such device on this machine.
    """
    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(asked)
    except RuntimeError:
        raise UsageError(f"unknown device '{asked}'. Known: auto, cpu, cuda, cuda:N.") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise UsageError(f"device '{asked}' is not there: {found} CUDA devices found. Type --device cpu.")
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device '{asked}' is not supported. Known: auto, cpu, cuda, cuda:N.")
    return device


def keep_freed_memory() -> bool:
    """Let glibc keep freed blocks up to 32 MiB instead of returning them to the kernel.

    A step frees and asks for the same activations over and over; each return costs a page fault per 4 KiB when the
    block is used again, which took half the time of a small ConvNet's backward pass on two cores.

    Returns:
        Whether the C library took the settings (only glibc knows them).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD) and mallopt(_M_TRIM_THRESHOLD, TRIM_THRESHOLD))


@contextlib.contextmanager
def compute_settings(device: torch.device, *, threads: int | None, deterministic: bool) -> Iterator[int]:
    """Set thread count and determinism for the length of a run and put back what was there.

    Yields:
        The number of CPU threads in use.
    """
    before, algorithms = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    if threads is not None:
        torch.set_num_threads(threads)
    if deterministic and device.type == "cuda":
        torch.use_deterministic_algorithms(True)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(algorithms)


@contextlib.contextmanager
def threads_that_pay(largest_activation: int, device: torch.device) -> Iterator[None]:
    """Use one thread for images whose largest map is small, as those of 8x8 digits, and put back what was there.

    Threads meet after every operation. Where an operation takes microseconds that costs more than it gains, and on
    a machine with other work a hundred times more.
    """
    before = torch.get_num_threads()
    if device.type == "cpu" and largest_activation <= SMALL_ACTIVATION:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def mixed_precision(device: torch.device, precision: str) -> Iterator[None]:
    """Compute what is inside in bfloat16 where that is safe, when the plan says so."""
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        yield
