"""Memory as a budget: how much a piece of work grew the process, and the largest chunk that fits."""

from __future__ import annotations

import ctypes
import re
import resource
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from limbeck.errors import LimbeckError, UsageError
from limbeck.files import format_bytes as format_bytes

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
FIRST, LEAP, TRIALS = 8, 4, 8
"""Images of the first trial pass, the factor by which the next may be larger, and the most trials."""

AIM = 0.9
"""Part of the budget a plan aims at; steps differ by their augmentation and by the gaps in freed memory."""

FLAT = 0.03
"""Further images that cost less than this part of the average image cost nothing."""

WORTH = 1.1
"""A chunk larger by less is not worth another trial."""

ROOM = 0.5
"""Part of the budget that growth may reach between two passes before freed memory is released."""


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


class PeakGrowth:
    """By how much memory grew since this was made, at its highest point so far.

    On CUDA the allocator is asked; on Linux the kernel's high-water mark of the process, which is reset here. There is
    one mark for each device or process: of two meters the younger resets the elder's.

    Args:
        device: whose memory is counted.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before: int | None
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._before = torch.cuda.memory_allocated(device)
        else:
            release_freed_memory()
            self._before = _status("VmRSS") if _reset_high_water() else None

    @property
    def bytes(self) -> int | None:
        """The growth, or None where it cannot be measured."""
        if self._before is None:
            return None
        is_cuda = self._device.type == "cuda"
        highest = torch.cuda.max_memory_allocated(self._device) if is_cuda else _status("VmHWM")
        return max(highest - self._before, 0)


def peak_growth(work: Callable[[], object], device: torch.device) -> int | None:
    """Run ``work`` and return by how many bytes memory grew at its highest point; None where that cannot be had."""
    meter = PeakGrowth(device)
    work()
    return meter.bytes


def release_freed_memory() -> None:
    """Return freed blocks to the kernel, so that growth is measured from what is in use."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Headroom:
    """Gives freed memory back to the kernel before it crowds out a budget.

    The C library keeps freed blocks, in the gaps between which larger ones find no room. Between two passes most of
    the growth is such gaps.

    Args:
        budget: bytes the process may grow by from now on.
    """

    def __init__(self, budget: int) -> None:
        release_freed_memory()
        self._limit = _resident() + int(budget * ROOM)

    def keep(self) -> None:
        """Release what is freed when it takes too much; to be called where little is in use."""
        if _resident() > self._limit:
            release_freed_memory()


def largest_chunk(work: Callable[[int], object], budget: int, most: int, device: torch.device) -> int:
    """Return the most images a pass may take so that ``work(chunk)`` grows memory by at most ``budget``.

    A pass costs something fixed and something an image, so a chunk grown in proportion to the room that is left stays
    within it. Once larger passes cost no more, because there are no more images, the chunk leaps.

    Args:
        work: does one whole step in passes of the given size.
        budget: bytes.
        most: no more images than this are ever needed in one pass.
        device: whose memory is counted.

    Raises:
        LimbeckError: one image a pass is already too much.
    """
    chunk, fits, too_many, cost = min(FIRST, most), 0, most + 1, 0
    work(chunk)
    for _ in range(TRIALS):
        grown = peak_growth(partial(work, chunk), device)
        if grown is None:
            return most
        aimed = int(chunk * min(budget * AIM / max(grown, 1), LEAP))
        if grown <= budget * AIM:
            is_flat = 0 < fits < chunk and (grown - cost) / (chunk - fits) < FLAT * grown / chunk
            aimed = chunk * LEAP if is_flat else aimed
            fits, cost = chunk, grown
        elif chunk == 1 and grown > budget:
            raise LimbeckError(
                f"one image a pass already needs {format_bytes(grown)}, but --memory allows {format_bytes(budget)}. "
                "Raise --memory, or lower data.batch_real or the network's width."
            )
        else:
            too_many = chunk
        tried, chunk = chunk, max(1, min(aimed, too_many - 1, most))
        if chunk <= fits * WORTH or chunk == tried:
            break
    return max(fits, 1)


def available_memory(device: torch.device) -> int | None:
    """Return the bytes that can still be had on a device, or None where nobody says."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        match = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        return None
    return int(match[1]) * 1024 if match else None


def _resident() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


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
