"""Stopping a run, running it twice, and places that cannot be written: one line, and nothing lost."""

from __future__ import annotations

import pytest
import torch

from limbeck.distillation import checkpoint
from limbeck.files import folder_lock
from limbeck.synthetic import SyntheticSet

DC = "--method dc --steps 7 --networks 1 --set source.outer=3 --set source.inner=2 --set evaluation.protocol.epochs=1"
DM = "--method dm --steps 5 --networks 1 --set evaluation.protocol.epochs=1"
TRAINING = "limbeck.training.single:Training.advance"
MOVE = "limbeck.distillation.parameters:SyntheticParameters.move"


def stop(function, *numbers, sign="SIGINT"):
    return ["function", [function, numbers], {"sign": sign}]


@pytest.fixture
def start(victims, tiny_args, tmp_path):
    """Run the command in a child: ``start(options, folder, kill=None)``; the cache is the test's own."""

    def go(options, folder, kill=None):
        return victims([*tiny_args, *options.split(), "--out", folder], cache=tmp_path / "cache", kill=kill)

    return go


@pytest.fixture
def resume(victims, tmp_path):
    """Continue a run in a child."""
    return lambda folder, *more: victims(["distill", "--resume", folder, *more], cache=tmp_path / "cache")


def errors(said):
    """The lines that say why it ended, and none of a traceback."""
    assert "Traceback" not in said
    return [line for line in said.splitlines() if line.startswith("limbeck: error: ")]


@pytest.mark.parametrize(
    ("options", "kill"),
    [
        (DC, stop(TRAINING, 9)),
        (DC, stop(TRAINING, 9, sign="SIGTERM")),
        (DM, stop(MOVE, 3)),
        (DM, stop("limbeck.distillation.checkpoint:save", 1)),
        (DM, stop(MOVE, 3, 3)),
        (DM, stop(MOVE, 5)),
    ],
    ids=["inner training", "terminated", "update", "checkpoint", "twice", "last update"],
)
def test_stopped_run_says_how_to_continue(options, kill, start, resume, rows_of, losses_of, tmp_path):
    folder, whole = tmp_path / "run", tmp_path / "whole"
    status, said = start(options, folder, kill)
    assert status == 130
    assert [f"limbeck distill --resume {folder}" in line for line in errors(said)] == [True]
    assert not (folder / "synthetic.safetensors").exists()
    stopped = checkpoint.load(folder)[0].step
    assert 0 < stopped <= 5
    assert start(options, whole)[0] == 0
    assert resume(folder)[0] == 0
    assert torch.equal(SyntheticSet.load(folder).images, SyntheticSet.load(whole).images)
    assert losses_of(folder) == losses_of(whole)
    assert rows_of(folder) == rows_of(whole)


def test_stop_saves_the_steps_since_the_last_look(start, tmp_path):
    start(DM, tmp_path / "run", stop(MOVE, 3))
    assert checkpoint.load(tmp_path / "run")[0].step == 3


def test_second_stop_does_not_wait_for_the_step(start, tmp_path):
    start(DM, tmp_path / "run", stop(MOVE, 3, 3))
    assert checkpoint.load(tmp_path / "run")[0].step == 2


def test_stopped_evaluation_keeps_the_networks_it_trained(start, resume, rows_of, tmp_path):
    folder, whole = tmp_path / "run", tmp_path / "whole"
    status, said = start(DM, folder, stop("limbeck.evaluation.job:train_and_test", 2))
    assert status == 130
    assert [f"limbeck distill --resume {folder}" in line for line in errors(said)] == [True]
    assert len(list((folder / "networks").iterdir())) == 1
    assert start(DM, whole)[0] == resume(folder)[0] == 0
    assert rows_of(folder) == rows_of(whole)


def test_run_stopped_before_anything_is_worth_keeping_leaves_nothing(start, tmp_path):
    status, said = start(DM, tmp_path / "run", stop("limbeck.runs:estimate", 1))
    assert status == 130
    assert len(errors(said)) == 1
    assert not (tmp_path / "run").exists()


def test_folder_in_use_is_refused(start, resume, tmp_path):
    folder = tmp_path / "run"
    assert start(DM, folder)[0] == 0
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with folder_lock(folder):
        refused = [start(DM, folder), resume(folder, "--steps", "9")]
    for status, said in refused:
        assert status == 2
        (line,) = errors(said)
        assert f"{folder} is in use by another run. Wait for it to end, or choose another place with --out." in line
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert resume(folder)[0] == 0


def test_place_that_cannot_be_written_is_refused(start, tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in ("/dev/full", "/proc/run", tmp_path / "file", tmp_path / "file" / "run"):
        status, said = start(DM, place)
        assert status == 2
        (line,) = errors(said)
        assert f"cannot use {place}: " in line
        assert "--out" in line
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "file"]


@pytest.mark.parametrize("size", [800, 4_000, 20_000])
def test_full_disk_ends_the_run_and_leaves_nothing_half_written(size, start, resume, rows_of, losses_of, tmp_path):
    folder, whole = tmp_path / "run", tmp_path / "whole"
    status, said = start(DM, folder, ["small_disk", [size], {}])
    assert status == 1
    (line,) = errors(said)
    assert "File too large. Make room, or choose another place with --out." in line
    assert not list(tmp_path.rglob("*.part"))
    assert start(DM, whole)[0] == 0
    again = resume(folder) if (folder / "config.yaml").exists() else start(DM, folder)
    assert again[0] == 0
    assert torch.equal(SyntheticSet.load(folder).images, SyntheticSet.load(whole).images)
    assert losses_of(folder) == losses_of(whole)
    assert rows_of(folder) == rows_of(whole)


def test_stopping_while_a_pool_is_trained_says_what_is_kept(start, tmp_path):
    options = (
        "--method ncfm --steps 3 --networks 0 --set source.networks=3 --set source.epochs=1 --set source.images=100"
    )
    status, said = start(options, tmp_path / "run", kill=stop(TRAINING, 3))
    assert status == 130
    (line,) = errors(said)
    assert "stopped before the first step" in line and "the same command finds them" in line
    assert not (tmp_path / "run").exists()
    status, said = start(options, tmp_path / "run")
    assert status == 0, said
