"""How far memory grew at its highest point, and that it is None where nobody can tell."""

from __future__ import annotations

import resource
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from limbeck.execution import memory
from limbeck.execution.memory import PeakGrowth, peak_growth

MIB = 2**20
VAGUE = 2 * MIB
"""The kernel counts pages in lots for each core."""

CPU = torch.device("cpu")
linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="growth is read from Linux's /proc")


def touch(mib):
    """Take memory, write to all of it, and give it back."""
    taken = bytearray(mib * MIB)
    taken[:: resource.getpagesize()] = b"1" * len(taken[:: resource.getpagesize()])


@linux
def test_what_was_taken_and_given_back_counts():
    meter = PeakGrowth(CPU)
    before = meter.bytes
    touch(64)
    assert 64 * MIB - VAGUE <= meter.bytes < 64 * MIB + before + 32 * MIB


@linux
def test_each_meter_begins_anew():
    touch(128)
    assert peak_growth(lambda: touch(16), CPU) < 64 * MIB
    assert peak_growth(lambda: touch(128), CPU) >= 128 * MIB - VAGUE


@linux
def test_the_highest_point_stays():
    meter = PeakGrowth(CPU)
    touch(64)
    high = meter.bytes
    touch(4)
    assert meter.bytes >= high >= 64 * MIB - VAGUE


def test_nothing_is_told_where_the_mark_cannot_be_reset(monkeypatch):
    monkeypatch.setattr(memory, "_reset_high_water", lambda: False)
    assert PeakGrowth(CPU).bytes is None
    assert peak_growth(lambda: None, CPU) is None


def test_on_cuda_the_allocator_is_asked(monkeypatch):
    said = []
    allocator = SimpleNamespace(
        reset_peak_memory_stats=lambda device: said.append("reset"),
        memory_allocated=lambda device: 1000,
        max_memory_allocated=lambda device: 1700,
    )
    monkeypatch.setattr(memory.torch, "cuda", allocator)
    meter = PeakGrowth(torch.device("cuda"))
    assert (said, meter.bytes) == (["reset"], 700)
