"""Observers: what they write, what a resume does to it, and that one that fails stops nothing."""

from __future__ import annotations

import csv
import json

import pytest
from PIL import Image

from limbeck.events import CheckpointInfo, EvaluationInfo, RunInfo, RunResult
from limbeck.plugins import registry

ROW = EvaluationInfo("synthetic", "dc", 2, 0.5, 0.1, (0.4, 0.6))


def info(folder, first_step=0):
    return RunInfo(folder and str(folder), "dm", "distribution", "digits", 1, "mlp", 0, first_step, 4, "cpu", {})


def made(name, **options):
    return registry().create("observers", {"name": name, **options})


def tell(observer, folder, first=0, last=3):
    """Tell an observer of a whole run from ``first`` to ``last``."""
    run = info(folder, first)
    observer.before_run(run)
    observer.after_steps(first, last, [1.0 / (step + 1) for step in range(first, last + 1)], 0.5)
    observer.after_checkpoint(CheckpointInfo(last + 1, "checkpoint"))
    observer.after_evaluation(ROW)
    observer.after_run(run, RunResult(last + 1, 0.5, 10, 640, 0.5))


def losses(folder):
    with (folder / "losses.csv").open() as stream:
        return [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(stream)]


def test_tables_hold_every_step_and_every_network(tmp_path):
    tell(made("csv"), tmp_path)
    assert losses(tmp_path) == [(step, 1 / (step + 1)) for step in range(4)]
    with (tmp_path / "accuracies.csv").open() as stream:
        assert [(r["label"], r["network"], r["accuracy"]) for r in csv.DictReader(stream)] == [
            ("synthetic", "0", "0.4"), ("synthetic", "1", "0.6"),
        ]  # fmt: skip


def test_a_resumed_table_equals_an_uninterrupted_one(tmp_path):
    tell(made("csv"), tmp_path)
    with (tmp_path / "losses.csv").open("a") as stream:
        stream.write("4,0.2")  # cut short by a kill
    tell(made("csv"), tmp_path, first=2, last=5)
    assert losses(tmp_path) == [(step, 1 / (step + 1)) for step in range(6)]


def test_events_are_lines_of_json(tmp_path):
    observer = made("jsonl")
    tell(observer, tmp_path)
    observer.on_run_error(info(tmp_path), RuntimeError("out of ideas"))
    rows = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [row["event"] for row in rows] == [
        "before_run", "after_checkpoint", "after_evaluation", "after_run", "on_run_error",
    ]  # fmt: skip
    assert rows[0]["network"] == "mlp" and rows[2]["accuracies"] == [0.4, 0.6] and rows[4]["message"] == "out of ideas"


@pytest.mark.parametrize("name", ["jsonl", "csv", "tensorboard"])
def test_without_a_folder_nothing_is_written(name, tmp_path, monkeypatch):
    if name == "tensorboard":
        pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    monkeypatch.chdir(tmp_path)
    tell(made(name), None)
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_reads_what_was_written(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    Image.new("L", (8, 8)).save(tmp_path / "preview.png")
    tell(made("tensorboard"), tmp_path)
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in found.Scalars("loss")] == [
        (step, pytest.approx(1 / (step + 1))) for step in range(4)
    ]
    assert [event.value for event in found.Scalars("accuracy/synthetic")] == [0.5]
    assert [event.step for event in found.Images("synthetic set")] == [4]
