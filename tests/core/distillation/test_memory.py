"""Memory is a budget that is kept, and what it costs is time, not numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from limbeck.errors import LimbeckError
from limbeck.execution import memory
from limbeck.execution.memory import AIM, Headroom, largest_chunk
from limbeck.runs import run

MIB = 2**20
CPU = torch.device("cpu")
FRESH = {"source": {"name": "fresh"}}
WALK = {"source": {"name": "inner", "outer": 3, "inner": 2}}
linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="growth is read from Linux's /proc")


@pytest.fixture
def growth(tmp_path_factory):
    """Run in a fresh process: ``growth("dc", classes=10, steps=6, ...)`` gives bytes after each step and the chunk."""

    def go(method, *, classes=10, steps=6, memory=None, exact=False, **settings):
        fixed = {
            "network": "convnet-d3-w32-in",
            "ipc": 10,
            "data": {"batch_real": 64},
            "budget": {"iterations": None, "steps": steps},
            "evaluation": {"networks": 0},
            "execution": {"device": "cpu", "flush_every": 1, "checkpoint_seconds": 0, "memory": memory},
        }
        order = {"method": method, "classes": classes, "exact": exact, "settings": {**fixed, **settings}}
        command = [
            sys.executable,
            Path(__file__).with_name("growth.py"),
            json.dumps(order),
            tmp_path_factory.mktemp("growth"),
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        return found["grown"], found["chunk"]

    return go


# What processes really take


@linux
@pytest.mark.slow
@pytest.mark.parametrize("budget", [60, 120, 400])
@pytest.mark.parametrize("method", ["dc", "dsa", "dm"])
def test_budget_is_kept_within_a_tenth(method, budget, growth, record_property):
    settings = {} if method == "dm" else WALK
    grown, chunk = growth(method, memory=f"{budget}MiB", steps=10, **settings)
    record_property("growth over budget", round(max(grown) / (budget * MIB), 3))
    assert max(grown) <= 1.1 * budget * MIB
    assert chunk > 8


@linux
@pytest.mark.slow
def test_without_a_budget_more_is_taken(growth):
    """Or the budgets above would mean nothing."""
    assert max(growth("dm")[0]) > 1.1 * 60 * MIB
    assert max(growth("dc", **WALK)[0]) > 1.1 * 60 * MIB


@linux
@pytest.mark.slow
def test_ten_times_the_classes_take_hardly_more(growth, record_property):
    def of_a_step(classes):
        grown, _ = growth("dc", classes=classes, steps=2, exact=True, **FRESH)
        images = classes * 10 * 28 * 28 * 4
        return max(grown) - 2 * images  # their gradient and their momentum

    few, many = of_a_step(10), of_a_step(100)
    record_property("growth of 100 classes over 10", round(many / few, 3))
    assert many <= 1.2 * few


# The choice of a chunk


@pytest.fixture
def costs(monkeypatch):
    """Let a pass of n images grow memory by ``fixed + each * n`` (n at most ``full``)."""
    tried = []

    def set_costs(fixed, each, full=10**9):
        def grown(work, device):
            work()
            return fixed + each * min(tried[-1], full)

        monkeypatch.setattr(memory, "peak_growth", grown)
        return tried

    return set_costs


@pytest.mark.parametrize("fixed", [0, 300, 40_000])
@pytest.mark.parametrize("each", [1, 70, 5_000])
def test_largest_chunk_fills_the_budget_without_overstepping_it(fixed, each, costs):
    tried, budget = costs(fixed, each), 100_000
    chunk = largest_chunk(tried.append, budget, 512, CPU)
    assert all(fixed + each * size <= budget for size in tried if size > 8)
    assert fixed + each * chunk <= AIM * budget
    assert chunk == 512 or fixed + each * chunk * 1.25 > AIM * budget or chunk < 8
    assert len(tried) <= 9


def test_chunk_below_the_first_trial_is_found(costs):
    tried = costs(10_000, 20_000)
    assert largest_chunk(tried.append, 100_000, 512, CPU) == 4


def test_passes_that_stop_growing_take_all_images(costs):
    tried = costs(1_000, 100, full=60)
    assert largest_chunk(tried.append, 10_000, 640, CPU) == 640


def test_few_images_are_not_exceeded(costs):
    tried = costs(10, 1)
    assert largest_chunk(tried.append, 1_000, 5, CPU) == 5
    assert max(tried) == 5


def test_budget_too_small_for_one_image_is_one_line(costs):
    tried = costs(90 * MIB, 20 * MIB)
    with pytest.raises(
        LimbeckError, match=r"one image a pass already needs 110\.0 MiB, but --memory allows 100\.0 MiB"
    ):
        largest_chunk(tried.append, 100 * MIB, 512, CPU)


@linux
@pytest.mark.parametrize("method", ["dc", "dm"])
def test_budget_too_small_for_batch_norm_is_one_line(method, tiny, tmp_path):
    config = tiny(method, ipc=10, network="convnet-d1-w64-bn", execution={"memory": "1MiB"})
    with pytest.raises(LimbeckError, match=r"batch norm, .*--memory allows .*Raise --memory, or lower") as told:
        run(config, folder=tmp_path / "run")
    assert "\n" not in str(told.value)
    assert not (tmp_path / "run").exists()


def test_memory_the_optimiser_will_take_is_kept_free(tiny, monkeypatch):
    from limbeck.distillation import trial

    budgets = []
    monkeypatch.setattr(trial, "largest_chunk", lambda work, budget, most, device: budgets.append(budget) or 8)
    monkeypatch.setattr(trial, "peak_growth", lambda work, device: work())
    for optimiser in ({"name": "sgd", "momentum": 0}, {"name": "sgd"}, {"name": "adam"}):
        run(tiny("dm", steps=1, optimiser=optimiser, execution={"memory": "1MiB"}))
    image_bytes = 10 * 8 * 8 * 4
    assert [MIB - budget for budget in budgets] == [0, image_bytes, 2 * image_bytes]


@linux
def test_headroom_releases_only_what_crowds_out_the_budget(monkeypatch):
    released = []
    monkeypatch.setattr(memory, "release_freed_memory", lambda: released.append(True))
    headroom = Headroom(64 * MIB)
    released.clear()
    headroom.keep()
    assert not released
    held = torch.ones(48 * MIB, dtype=torch.uint8)
    headroom.keep()
    assert len(released) == 1
    del held


# Chunks change nothing but rounding


@pytest.mark.parametrize("chunk", [1, 3, 8])
@pytest.mark.parametrize(("method", "ipc"), [("dc", 2), ("dc", 5), ("dsa", 2), ("dm", 5)])
def test_chunks_give_what_whole_batches_give(method, ipc, chunk, tiny):
    whole = run(tiny(method, ipc=ipc, steps=4, execution={"chunk": 1000})).synthetic.images
    cut = run(tiny(method, ipc=ipc, steps=4, execution={"chunk": chunk})).synthetic.images
    assert (cut - whole).norm() <= 1e-5 * whole.norm()


def test_inner_training_follows_the_chunk(tiny, monkeypatch):
    from limbeck.training.single import Training

    chunks = []
    original = Training.advance
    monkeypatch.setattr(Training, "advance", lambda self: chunks.append(self.settings.chunk) or original(self))
    run(tiny("dc", ipc=2, steps=2, execution={"chunk": 3}))
    assert set(chunks) == {3}
    chunks.clear()
    run(tiny("dc", ipc=2, steps=2))
    assert set(chunks) == {None}
