"""Tiny runs on the digits: a network of 4 channels, a few steps, milliseconds each."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from limbeck.configure import configure
from limbeck.runs import Listener, run

NETWORK = "convnet-d1-w4-in"
WALK = {"source": {"name": "inner", "outer": 3, "inner": 2}}
"""Three steps a network: a checkpoint after step 4 or 5 falls inside an iteration."""


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Two threads wait for each other longer than such small tensors take."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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


@pytest.fixture(scope="session")
def tiny_args():
    """The command line of a tiny run but for method, steps and folder."""
    line = (
        "distill --profile small --ipc 1 --max-per-class 20 --network convnet-d1-w4-in --device cpu "
        "--set data.batch_real=4 --set execution.checkpoint_seconds=0 --set execution.flush_every=2"
    )
    return line.split()


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


class Victims:
    """Runs of the command in forked children, which may be killed; see ``victim.py``."""

    def __init__(self, process, folder):
        self._process, self._folder = process, folder

    def __call__(self, args, *, cache, kill=None, report=False):
        """Run to whatever end and return (status, what was said)."""
        output = self._folder / "output"
        order = {
            "args": list(map(str, args)),
            "cache": str(cache),
            "output": str(output),
            "kill": kill,
            "report": report,
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer["status"], output.read_text()


@pytest.fixture(scope="session")
def victims(tmp_path_factory):
    """A callable that runs ``limbeck`` in a child of a warm process: ``victims(args, cache=folder, kill=moment)``."""
    command = [sys.executable, Path(__file__).with_name("victim.py")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        yield Victims(process, tmp_path_factory.mktemp("victims"))
        process.stdin.close()
