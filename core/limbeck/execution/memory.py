"""Memory as a budget: how much a piece of work grew the process, and the largest chunk that fits."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from limbeck.errors import LimbeckError, UsageError

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
TRIALS = (4, 12)
"""Chunk sizes tried to learn a pass's fixed cost and its cost an image."""

AIM = 0.97
"""Part of the budget a plan aims at, since the last few images are worth less than the promise."""


def parse_bytes(text: str) -> int:
    """Read ``2GiB``, ``500MB`` or a plain number of bytes.

    Raises:
        UsageError: anything else, or nothing.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]i?)?b?\s*", text.lower())
    size = int(float(match[1]) * UNITS[match[2] or ""]) if match else 0
    if size <= 0:
        raise UsageError(f"--memory '{text}' is not a size. Type for example --memory 2GiB or --memory 500MB.")
    return size


def format_bytes(size: float) -> str:
    """Write a size for people: ``1.4 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024 or unit == "GiB":
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def peak_growth(work: Callable[[], object], device: torch.device) -> int | None:
    """Run ``work`` and return by how many bytes memory grew at its highest point.

    On CUDA the allocator is asked; on Linux the kernel's high-water mark of the process is reset and read.
    Returns None where neither can be had.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        return torch.cuda.max_memory_allocated(device) - before
    release_freed_memory()
    if not _reset_high_water():
        work()
        return None
    before = _status("VmRSS")
    work()
    return max(_status("VmHWM") - before, 0)


def release_freed_memory() -> None:
    """Return freed blocks to the kernel, so that growth is measured from what is in use."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def largest_chunk(work: Callable[[int], object], budget: int, most: int, device: torch.device) -> int:
    """Return the most images a pass may take so that ``work(chunk)`` grows memory by at most ``budget``.

    Args:
        work: does one whole step in passes of the given size.
        budget: bytes.
        most: no more images than this are ever needed in one pass.
        device: whose memory is counted.

    Raises:
        LimbeckError: one image a pass is already too much.
    """
    work(TRIALS[0])
    sizes = [min(trial, most) for trial in TRIALS]
    small, large = (peak_growth(partial(work, size), device) for size in sizes)
    if small is None or large is None:
        return most
    each = max((large - small) / max(sizes[1] - sizes[0], 1), 1.0)
    chunk = min(most, int((budget * AIM - (small - each * sizes[0])) / each))
    while chunk >= 1:
        grown = peak_growth(partial(work, chunk), device) or 0
        if grown <= budget:
            return chunk
        chunk = min(chunk - 1, int(chunk * budget * AIM / grown))
    raise LimbeckError(
        f"one image a pass already needs {format_bytes(small)}, but --memory allows {format_bytes(budget)}. "
        "Raise --memory, or lower data.batch_real or the network's width."
    )


def _reset_high_water() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _status(field: str) -> int:
    text = Path("/proc/self/status").read_text()
    match = re.search(rf"{field}:\s+(\d+) kB", text)
    return int(match[1]) * 1024 if match else 0
