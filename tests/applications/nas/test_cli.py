"""``limbeck nas`` from what is typed to what lies in the folder, on the built-in digits."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from limbeck_applications.nas.study.kept import load_outcome
from limbeck_applications.nas.truth import read_truth

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = ("--sample", 4, "--images", 60, "--validation", 40, "--device", "cpu")
RANK = ("nas", "rank", *SMALL, "--proxy", "random:ipc=1,epochs=1", "--proxy", "parameters,flops")
SEARCH = (
    "nas", "search", "--images", 60, "--validation", 40, "--device", "cpu", "--set", "training.epochs=1",
    "--searcher", "random", "--proxy", "grad_norm", "--evaluations", 3,
)  # fmt: skip


@pytest.fixture
def no_page(monkeypatch):
    """Leave out pages, which are looked at elsewhere."""
    monkeypatch.setattr("limbeck_applications.nas.report.page.render", lambda results: "")


def table(path):
    return list(csv.DictReader(Path(path).read_text().splitlines()))


def test_from_full_training_to_a_ranking_and_its_page(limbeck):
    status, out, err = limbeck("nas", "truth", *SMALL, "--epochs", 1, "--seeds", 2, "--out", "truth")
    assert (status, err) == (0, "") and "done in" in out and "the table is truth/truth.csv" in out
    text = Path("truth/report.html").read_text()
    assert "4 architectures" in text and "trained in full" in text and len(table("truth/scores.csv")) == 4
    truth = read_truth(Path("truth/truth.csv"))
    assert len(truth.rows) == 8 and truth.notes["command"].startswith("limbeck nas truth --sample 4 --epochs 1")
    line = (*RANK, "--truth", "truth/truth.csv", "--top", 1, "--out", "it")
    status, out, err = limbeck(*line)
    assert (status, err) == (0, "") and "full training from another seed: rho" in out
    proxies = ["random [epochs=1, ipc=1]", "parameters", "flops"]
    assert [row["proxy"] for row in table("it/table.csv")] == proxies
    assert table("it/table.csv")[0]["precision_at_1"] and table("it/groups.csv")
    text = Path("it/report.html").read_text()
    assert "4 architectures" in text and "limbeck nas rank --proxy random:ipc=1,epochs=1" in text
    scores = Path("it/scores.jsonl").read_bytes()
    assert limbeck(*line)[0] == 0 and limbeck("nas", "rank", "--resume", "it")[0] == 0
    assert Path("it/scores.jsonl").read_bytes() == scores
    page = Path("it/report.html").read_bytes()
    Path("it/report.html").unlink()
    assert limbeck("nas", "report", "it")[:2] == (0, "it/report.html\n")
    assert Path("it/report.html").read_bytes() == page


@pytest.mark.usefixtures("no_page")
def test_a_search_and_its_continuation(limbeck):
    status, out, err = limbeck(*SEARCH, "--seeds", 2, "--out", "it")
    assert (status, err) == (0, "") and "random, seed 1: 3 of 3 evaluations" in out
    assert [row["evaluations"] for row in table("it/table.csv")] == ["3.0"] and len(table("it/scores.csv")) == 6
    assert all(each.finished and each.retrained for each in load_outcome(Path("it")).searches)
    before = Path("it/scores.jsonl").read_bytes(), Path("it/scores.csv").read_bytes()
    assert limbeck("nas", "search", "--resume", "it")[0] == 0
    assert (Path("it/scores.jsonl").read_bytes(), Path("it/scores.csv").read_bytes()) == before


@pytest.mark.usefixtures("no_page")
def test_what_is_typed_becomes_settings(limbeck):
    line = (*RANK, "--seeds", 2, "--network", "convnet-d1-w4-in", "--set", "data=digits", "--space", "convnet72")
    assert limbeck(*line)[0] == 0
    settings = load_outcome(Path("runs/nas-rank-convnet72-digits")).settings
    assert (settings.seeds, settings.network, settings.sample, settings.images) == (2, "convnet-d1-w4-in", 4, 60)
    assert [each.name for each in settings.proxies] == ["random", "parameters", "flops"]
    assert settings.proxies[0].model_dump()["ipc"] == 1


@pytest.mark.usefixtures("no_page")
def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(refused, limbeck, monkeypatch):
    def interrupt(self, *arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("limbeck_applications.nas.screen.StudyScreen.scored", interrupt)
        status, err = refused(*RANK, "--out", "it")
    assert status == 130
    assert err.endswith("type the same command again, or limbeck nas rank --resume it.\n")
    kept = Path("it/scores.jsonl").read_text()
    assert json.loads(kept.splitlines()[0])["proxy"] == "random"
    assert limbeck("nas", "rank", "--resume", "it")[0] == 0
    assert Path("it/scores.jsonl").read_text().startswith(kept) and len(table("it/table.csv")) == 3


@pytest.mark.usefixtures("no_page")
def test_full_training_is_continued_with_the_settings_it_began_with(refused, limbeck, monkeypatch):
    line = ("nas", "truth", *SMALL, "--epochs", 1, "--seeds", 1, "--out", "it")

    def interrupt(self, done, total, measured):
        if done == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("limbeck_applications.nas.screen.TruthScreen.trained", interrupt)
        status, err = refused(*line)
    assert status == 130 and err.endswith("type the same command again, or limbeck nas truth --resume it.\n")
    assert limbeck("nas", "report", "it")[:2] == (0, "it/report.html\n") and len(table("it/scores.csv")) == 2
    trained = {path.name for path in Path("it/trained").iterdir()}
    for typed in ("--seeds 2", "--epochs 2", "--out x", "--sample 3", "--set training.lr=1"):
        status, err = refused("nas", "truth", "--resume", "it", *typed.split())
        said = f"limbeck: error: --resume goes on with the settings of it: leave out {typed.split()[0]}.\n"
        assert (status, err) == (2, said)
    status, err = refused("nas", "rank", "--resume", "it")
    assert status == 2 and "it holds a study of another kind: type limbeck nas truth --resume it." in err
    assert limbeck("nas", "truth", "--resume", "it")[0] == 0
    assert trained < {path.name for path in Path("it/trained").iterdir()} and len(table("it/scores.csv")) == 4
    notes = read_truth(Path("it/truth.csv")).notes
    assert notes["command"].startswith("limbeck nas truth --sample 4") and notes["training"].startswith("epochs 1,")


def test_what_cannot_be_is_told_in_a_line(refused):
    for typed, said in (
        ((), "no proxy was asked for: name one or more with --proxy"),
        (("--proxy", "nothing"), "nothing"),
        (("--proxy", "parameters", "--top", 5), "the best 5 of 4 architectures were asked for: give 1 to 4."),
        (("--proxy", "parameters", "--sample", 73), "a sample of 73 was asked for, but convnet72 has 72"),
        (("--proxy", "random:ipc"), "--proxy 'random:ipc': 'ipc' is not OPTION=VALUE"),
        (("--proxy", "parameters", "--truth", "absent.csv"), "the truth table absent.csv cannot be read"),
        (("--proxy", "parameters", "--space", "cells"), "--sample"),
        (("--proxy", "parameters", "--executor", "nobody"), "nobody"),
    ):
        small = SMALL[2:] if "--space" in typed else SMALL
        status, err = refused("nas", "rank", *small, *typed, "--out", "it")
        assert status == 2 and said in err, err
        assert not Path("it").exists()


def test_a_table_of_another_format_is_told_what_is_missing(refused):
    Path("bench.csv").write_text("arch,accuracy\na,91\n")
    status, err = refused("nas", "rank", *SMALL, "--proxy", "parameters", "--truth", "bench.csv", "--out", "it")
    assert status == 2 and "bench.csv is no truth table: its first line has no column 'architecture'" in err


def test_resume_takes_no_other_settings_and_no_other_kind(refused, limbeck, no_page):
    assert limbeck("nas", "rank", *SMALL, "--proxy", "parameters", "--out", "it")[0] == 0
    for typed in ("--seeds 3", "--out x", "--proxy parameters", "--set a=1", "--top 2"):
        status, err = refused("nas", "rank", "--resume", "it", *typed.split())
        assert (status, err) == (
            2,
            f"limbeck: error: --resume goes on with the settings of it: leave out {typed.split()[0]}.\n",
        )
    status, err = refused("nas", "search", "--resume", "it")
    assert status == 2 and "it holds a study of another kind: type limbeck nas rank --resume it." in err
    status, err = refused(*SEARCH, "--out", "it")
    assert (
        status == 2
        and "it holds a study of another kind, of 'limbeck nas rank'. Choose another folder with --out." in err
    )
    status, err = refused("nas", "report", "nowhere")
    assert status == 2 and "nowhere holds no study" in err


@pytest.mark.parametrize("typed", ["--help", "rank --help", "search --help", "truth --help", "report --help"])
def test_help_needs_neither_torch_nor_optuna(typed):
    code = (
        "import sys; sys.modules['optuna'] = None; from limbeck.cli import main;"
        "status = main(['nas', *sys.argv[1:]]); assert 'torch' not in sys.modules; sys.exit(status)"
    )
    line = [sys.executable, "-c", code, *typed.split()]
    found = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "") and "Usage: limbeck nas" in found.stdout


def test_without_optuna_it_says_what_to_install_and_the_rest_still_runs(limbeck, monkeypatch, no_page):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "limbeck_applications.nas.searchers.eeea", raising=False)
    status, out, err = limbeck(*SEARCH, "--searcher", "eeea", "--out", "it")
    assert (status, out) == (2, "") and "Type: pip install 'limbeck[nas]'" in err and err.count("\n") == 1
    assert limbeck(*SEARCH, "--retrain", 0, "--out", "it")[0] == 0
