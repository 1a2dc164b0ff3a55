"""Tiny runs on the digits: a network of 4 channels, a few steps, everything in memory of milliseconds."""

from __future__ import annotations

import contextlib
import json

import pytest

from limbeck.configure import configure
from limbeck.runs import Listener, run

NETWORK = "convnet-d1-w4-in"
WALK = {"source": {"name": "inner", "outer": 3, "inner": 2}}
"""Three steps a network: a checkpoint after step 4 or 5 falls inside an iteration."""


@pytest.fixture(autouse=True)
def _no_report(monkeypatch):
    """Pages with figures are tested elsewhere and cost more than everything else here."""
    monkeypatch.setattr("limbeck.report.write_report", lambda folder: None)


class Halt(Exception):
    """Stands for whatever may end a run."""


@pytest.fixture(scope="session")
def tiny():
    """Settings of a tiny run: ``tiny("dc", steps=7, ...)``; ``networks`` evaluation networks, without baselines."""

    def make(method, *, steps=7, networks=0, **settings):
        fixed = {
            "network": settings.pop("network", NETWORK),
            "data": {"name": "digits", "max_per_class": 20, "batch_real": 4},
            "budget": {"iterations": None, "steps": steps},
            "evaluation": {"networks": networks, "baselines": False, "protocol": {"name": "dc", "epochs": 1}},
            "execution": {"device": "cpu", "checkpoint_seconds": 0, "flush_every": 1, **settings.pop("execution", {})},
        }
        walk = {} if method == "dm" or "source" in settings else WALK
        return configure(method, None, "small", {**fixed, **walk, **settings})

    return make


@pytest.fixture
def distil_until():
    """Run until a number of steps is flushed, then fail: ``distil_until(config, folder, 4)``."""

    def go(config, folder, step, *, resume=False):
        def halt(news):
            if news.step >= step:
                raise Halt

        with contextlib.suppress(Halt):
            run(config, folder=folder, resume=resume, listener=Listener(progress=halt))
            pytest.fail("the run was not halted")

    return go


@pytest.fixture
def losses_of():
    """Steps and losses of a run folder's log, without times."""
    return losses


@pytest.fixture
def rows_of():
    """Rows of a run folder's evaluation, without times."""
    return rows


def losses(folder):
    return [(row["step"], row["loss"]) for row in map(json.loads, (folder / "log.jsonl").read_text().splitlines())]


def without_time(row):
    return {key: value for key, value in row.items() if key != "seconds"}


def rows(folder):
    return [without_time(row) for row in json.loads((folder / "evaluation.json").read_text())["rows"]]
