"""``limbeck continual`` from what is typed to what lies in the folder."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.screen import StudyScreen
from limbeck_applications.continual.study.audience import Audience
from limbeck_applications.continual.study.kept import load_outcome
from limbeck_applications.continual.study.rows import Cell

pytestmark = pytest.mark.usefixtures("one_thread", "no_report")

avalanche()  # here, since importing it takes longer than a test may

TINY = (
    "continual", "run", "--network", "convnet-d1-w4-in", "--max-per-class", 20, "--device", "cpu", "--images", 2,
    "--set", "training.epochs=1", "--set", "retraining.epochs=5", "--set", "retraining.augmentation=null",
)  # fmt: skip
DM = ("--strategies", "distilled_gdumb", "--memory", "dm:steps=2")


@pytest.fixture
def no_page(monkeypatch):
    """Leave out the page, which is looked at elsewhere."""
    monkeypatch.setattr("limbeck_applications.continual.report.page.write_page", lambda folder, results: None)


def matrices(folder):
    return [cell["matrix"] for cell in json.loads((Path(folder) / "matrices.json").read_text())["cells"]]


# What is typed


def test_split_digits_end_to_end_and_a_second_time_there_is_nothing_to_do(limbeck):
    line = [*TINY, "--strategies", "naive,distilled_gdumb", "--memory", "dm:steps=2", "--memory", "random"]
    line += ["--orders", 2, "--out", "it"]
    status, out, err = limbeck(*line)
    assert (status, err) == (0, "")
    assert "naive, distilled_gdumb on split_digits: 2 orders x 1 seed, network convnet-d1-w4-in\n" in out
    assert "5 experiences, 10 classes; a class may keep 130 B, growing with them\n6 cells\n" in out
    assert "distilled_gdumb [dm], order 1, seed 0: " in out and "\nnaive, order 0, seed 0: " in out
    assert {path.name for path in Path("it").iterdir()} >= {
        "study.json", "rows.jsonl", "table.csv", "cells.csv", "matrices.json", "report.html", "memories",
    }  # fmt: skip
    lines = list(csv.DictReader(Path("it/table.csv").read_text().splitlines()))
    assert [(line["strategy"], line["memory"], line["cells"]) for line in lines] == [
        ("naive", "", "2"), ("distilled_gdumb", "dm", "2"), ("distilled_gdumb", "random", "2"),
    ]  # fmt: skip
    assert all(0 < int(line["bytes"]) <= 1300 for line in lines[1:])
    rows, kept = Path("it/rows.jsonl").read_bytes(), matrices("it")
    assert all(len(matrix) == 5 for matrix in kept)
    status, out, _ = limbeck(*line)
    assert status == 0 and "6 cells, 6 of them finished already\n" in out and "distilled 1 of" not in out
    assert Path("it/rows.jsonl").read_bytes() == rows
    assert matrices("it") == kept


@pytest.mark.usefixtures("no_page")
def test_everything_typed_arrives(limbeck):
    line = [
        "continual", "run", "--benchmark", "split_digits:experiences=2,class_order=natural", "--strategies",
        "distilled_gdumb", "--memory", "random:ipc=3,storage=float16,shrink=redistil", "--fixed", "--seeds", 2,
        "--network", "convnet-d1-w4-in", "--max-per-class", 15, "--device", "cpu", "--executor", "serial",
        "--set", "retraining.epochs=2", "--set", "training.lr=0.5", "--out", "it",
    ]  # fmt: skip
    assert limbeck(*line)[::2] == (0, "")
    outcome = load_outcome(Path("it"))
    settings = outcome.settings
    assert outcome.experiences == [[list("01234"), list("56789")]]
    assert settings.memories[0].model_dump(exclude_defaults=True) == {
        "method": "random", "ipc": 3, "storage": "float16", "shrink": "redistil",
    }  # fmt: skip
    assert (settings.grows, settings.seeds, settings.max_per_class) == (False, 2, 15)
    assert (settings.retraining.epochs, settings.training.lr) == (2, 0.5)
    assert outcome.per_class == 3 * (8 * 8 * 2 + 1)
    said = outcome.command
    assert said.startswith("limbeck continual run --benchmark split_digits:experiences=2,class_order=natural ")
    assert said.endswith("--set retraining.epochs=2 --set training.lr=0.5 --device cpu --executor serial --out it")


@pytest.mark.parametrize(
    ("typed", "status", "said"),
    [
        ([], 2, "nothing to run: name strategies, for example --strategies naive,distilled_gdumb"),
        (["--strategies", "naiv"], 2, "unknown continual strategy 'naiv'. Did you mean 'naive'?"),
        (["--strategies", "naive", "--benchmark", "split_digit"], 2, "Did you mean 'split_digits'?"),
        (["--strategies", "naive,,joint"], 2, "--strategies 'naive,,joint' has an empty name"),
        (["--strategies", "distilled_gdumb"], 2, "needs a distilled memory. Name one, for example --memory dm:ipc=10"),
        (["--strategies", "naive", "--memory", "dm"], 2, "no strategy uses the memory 'dm'"),
        ([*DM[:2], "--memory", "dm:ipx=1"], 2, "unknown option 'memories.0.ipx'. Did you mean 'ipc'?"),
        ([*DM[:2], "--memory", "dm:ipc=0"], 2, "memories.0.ipc"),
        ([*DM[:2], "--memory", "dn"], 2, "unknown method 'dn'"),
        ([*DM[:2], "--memory", "dm:ipc=4"], 2, "Drop ipc"),
        ([*DM, "--images", "0"], 2, "option 'images' is 0: must be 1 or more"),
        ([*DM, "--benchmark", "split_digits:experiences=3"], 2, "uneven=true"),
        ([*DM, "--benchmark", "split_digits:class_order=[0,0]"], 2, "class_order"),
        ([*DM, "--set", "retraining.epoch=1"], 2, "unknown option 'retraining.epoch'. Did you mean 'epochs'?"),
        ([*DM, "--protocol", "dmm"], 2, "--protocol"),
        ([*DM, "--set", "retraining"], 2, "--set"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_takes_one_line_and_leaves_nothing(refused, typed, status, said):
    found = refused(*TINY, *typed, "--out", "it")
    assert found[0] == status and said in found[1], found[1]
    assert not Path("it").exists()


@pytest.mark.usefixtures("no_page")
def test_a_protocol_is_where_settings_start_and_its_deviations_are_kept(limbeck):
    line = [*TINY, "--protocol", "dm", "--benchmark", "split_digits:experiences=2", "--memory", "random:ipc=2"]
    assert limbeck(*line, "--orders", 1, "--seeds", 1, "--set", "retraining.milestone=3", "--out", "it")[0] == 0
    outcome = load_outcome(Path("it"))
    assert outcome.settings.protocol == "dm"
    assert [spec.name for spec in outcome.settings.strategies] == ["distilled_gdumb"]
    assert outcome.settings.retraining.batch_size == 256
    assert any(text.startswith("benchmark: split_cifar100 -> split_digits") for text in outcome.deviations)
    assert "retraining.epochs: 1001 -> 5" in outcome.deviations


# Continued, and shown again


class Killed(BaseException):
    """Ends a study where it stands, as a signal would that nobody can catch."""


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize("again", ["same", "resume"])
def test_what_was_killed_after_an_experience_goes_on_to_the_same_matrix(limbeck, monkeypatch, again):
    line = [*TINY, *DM, "--out"]
    assert limbeck(*line, "whole")[0] == 0

    def kill(self, cell, position, row):
        if position == 1:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("limbeck_applications.continual.screen.StudyScreen.row", kill)
        limbeck(*line, "it")
    assert len(Path("it/rows.jsonl").read_text().splitlines()) == 2
    command = load_outcome(Path("it")).command
    status, out, err = limbeck(*line, "it") if again == "same" else limbeck("continual", "run", "--resume", "it")
    assert (status, err) == (0, "") and "distilled 1 of" not in out
    assert matrices("it") == matrices("whole")
    assert load_outcome(Path("it")).command == command


@pytest.mark.usefixtures("no_page")
def test_ctrl_c_ends_with_130_and_says_how_to_go_on(refused, monkeypatch):
    def interrupt(self, cells):
        raise KeyboardInterrupt

    monkeypatch.setattr("limbeck_applications.continual.screen.StudyScreen.begins", interrupt)
    status, err = refused(*TINY, *DM, "--out", "it")
    assert status == 130 and "type the same command again, or limbeck continual run --resume it." in err


def test_a_cell_that_an_interrupt_broke_is_not_told_as_failed(tmp_path):
    screen = StudyScreen(tmp_path, None, [signal.SIGINT])
    with pytest.raises(KeyboardInterrupt):
        screen.failed(Cell("naive", "", 0, 0, "key"), "half imported")


def test_a_place_for_scalars_that_cannot_be_is_told_before_anything(refused, tmp_path):
    (tmp_path / "file").write_text("")
    status, err = refused(*TINY, *DM, "--out", "it", "--tensorboard", "file/below")
    assert status == 2 and "Choose another place with --tensorboard" in err
    assert not (tmp_path / "it").exists()


def test_resume_takes_no_other_settings(refused, outcome_in, kept, tmp_path):
    kept(outcome_in(tmp_path / "it"), tmp_path / "it")
    for typed in ("--seeds 3", "--out x", "--max-per-class 3", "--memory dm", "--set a=1"):
        status, err = refused("continual", "run", "--resume", "it", *typed.split())
        said = f"--resume goes on with the settings of it: leave out {typed.split()[0]}."
        assert (status, err) == (2, f"limbeck: error: {said}\n")
    status, err = refused("continual", "run", "--resume", "nowhere")
    assert status == 2 and "nowhere holds no study" in err


def test_report_writes_the_page_and_the_tables_again(limbeck, outcome_in, kept, tmp_path):
    kept(outcome_in(tmp_path / "it"), tmp_path / "it")
    status, out, err = limbeck("continual", "report", "it", "--tensorboard", "scalars")
    assert (status, out, err) == (0, "it/report.html\n", "")
    page = Path("it/report.html").read_text()
    assert "<b>16</b> of 16 cells finished" in page
    assert len(list(csv.DictReader(Path("it/cells.csv").read_text().splitlines()))) == 16
    assert len(list(Path("scalars").glob("*/*/events.*"))) == 16
    status, out, err = limbeck("continual", "report", "nowhere")
    assert status == 2 and "nowhere holds no study" in err


# What it costs to ask


def python(code, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, **options
    )


@pytest.mark.parametrize("typed", ["--help", "run --help", "report --help"])
def test_help_needs_neither_torch_nor_avalanche(typed):
    code = (
        "import sys; sys.modules['avalanche'] = None; from limbeck.cli import main;"
        "status = main(['continual', *sys.argv[1:]]); assert 'torch' not in sys.modules; sys.exit(status)"
    )
    line = [sys.executable, "-c", code, *typed.split()]
    found = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
    assert "Usage: limbeck continual" in found.stdout


def test_without_avalanche_it_says_what_to_install_and_what_needs_none_still_runs(limbeck, monkeypatch):
    monkeypatch.setitem(sys.modules, "avalanche", None)
    status, out, err = limbeck(*TINY, *DM, "--strategies", "naive,distilled_gdumb", "--out", "it")
    assert (status, out) == (2, "") and not Path("it").exists()
    assert err.endswith("is not installed. Type: pip install 'limbeck[continual]'\n") and err.count("\n") == 1
    monkeypatch.setattr("limbeck_applications.continual.report.page.write_page", lambda folder, results: None)
    assert limbeck(*TINY, *DM, "--out", "it")[0] == 0


def test_without_tensorboard_it_says_so_first(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    status, err = refused(*TINY, *DM, "--out", "it", "--tensorboard", "scalars")
    assert status == 2 and "Type: pip install 'limbeck[track]'" in err
    assert not Path("it").exists()


def test_a_screen_is_told_everything():
    """A method that the study calls and the screen misspells would show nothing."""
    from limbeck_applications.continual.screen import StudyScreen

    told = {name for name in vars(Audience) if not name.startswith("_")}
    assert told <= set(vars(StudyScreen))
