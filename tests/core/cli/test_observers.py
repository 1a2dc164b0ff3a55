"""Observers on the command line: chosen by name, refused early, and never in the way of a run."""

from __future__ import annotations

import csv
import sys
from pathlib import Path


def steps():
    with Path("run/losses.csv").open() as stream:
        return [int(row["step"]) for row in csv.DictReader(stream)]


def test_tensorboard_that_is_not_installed_is_asked_for_before_the_first_step(limbeck, tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.delitem(sys.modules, "limbeck_plugins.observers.tensorboard", raising=False)
    status, _, err = limbeck(*tiny, "--observer", "tensorboard")
    assert status == 2 and "limbeck[track]" in err and err.count("\n") == 1
    assert not Path("run").exists()


def test_a_run_is_written_down_by_name_and_a_failing_observer_stops_nothing(limbeck, tiny, no_report):
    Path("sulky.py").write_text(
        "import limbeck\nfrom limbeck.observers import Observer\n\n"
        "class Sulky(Observer):\n    def after_steps(self, first, last, losses, seconds):\n"
        "        raise ValueError('no')\n\n"
        "@limbeck.hookimpl\ndef register_observers(register):\n    register('sulky', Sulky)\n"
    )
    status, _, err = limbeck(*tiny, "-p", "sulky.py", "--observer", "sulky")
    assert status == 0 and "sulky" in err and "after_steps" in err
    assert steps() == [0, 1]
    assert "after_run" in Path("run/events.jsonl").read_text()
    status, _, _ = limbeck("distill", "-p", "sulky.py", "--resume", "run", "--steps", 4, "--networks", 0)
    assert status == 0
    assert steps() == [0, 1, 2, 3]
