"""Digits from full training to pages, by the command line: every kind of proxy and searcher once."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from limbeck_applications.nas.study.kept import load_outcome

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = (
    "--images", 60, "--validation", 40, "--device", "cpu", "--set", "network=convnet-d1-w4-in",
)  # fmt: skip
PROXIES = (
    "distilled:ipc=1,steps=2,epochs=2",
    "random:ipc=1,epochs=2",
    "early_stopping:images=60",
    "parameters,synflow",
)
CHAINS = ("--space", "chains", "--set", "space.widths=[2,3,4]", "--set", "space.layers=2", "--set", "space.stages=2")
SEARCHES = {
    "evolution on cells": (
        4, "--space", "cells:channels=2", "--searcher", "eeea:population=2", "--searcher", "random",
        "--proxy", "parameters",
    ),
    "growing chains": (4, *CHAINS, "--searcher", "eas:networks=2,widen=1", "--proxy", "random:ipc=1,epochs=1"),
    "learning sizes of chains": (4, *CHAINS, "--searcher", "tas:updates=2", "--proxy", "random:ipc=4,epochs=1"),
    "all of a space": (
        3, "--space", "chains:widths=[2,3,4],stages=1,layers=1", "--searcher", "exhaustive",
        "--proxy", "synflow",
    ),
}  # fmt: skip


def table(path):
    return list(csv.DictReader(Path(path).read_text().splitlines()))


def proxies():
    return [part for text in PROXIES for part in ("--proxy", text)]


def test_a_ranking(limbeck, computed):
    sample = (*SMALL, "--sample", 6)
    assert limbeck("nas", "truth", *sample, "--epochs", 1, "--out", "truth")[0] == 0
    assert len(computed) == 12
    line = ("nas", "rank", *sample, *proxies(), "--truth", "truth/truth.csv", "--out", "it")
    status, _, err = limbeck(*line)
    assert (status, err) == (0, "")
    assert [row["proxy"].partition(" ")[0] for row in table("it/table.csv")] == [
        "distilled", "random", "early_stopping", "parameters", "synflow"
    ]  # fmt: skip
    assert all(float(row["seconds"]) > 0 and row["without_score"] == "0" for row in table("it/table.csv"))
    assert len(table("it/scores.csv")) == 6 and Path("it/report.html").stat().st_size > 10_000
    images = {row["proxy"].partition(" ")[0]: float(row["images"]) for row in table("it/table.csv")}
    assert images == {"distilled": 10, "random": 10, "early_stopping": 60, "parameters": 0, "synflow": 0}
    computed.clear()
    assert limbeck(*line)[0] == 0 and computed == []


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search(limbeck, computed, name):
    evaluations, *typed = SEARCHES[name]
    line = ("nas", "search", *SMALL, *typed, "--evaluations", evaluations, "--set", "training.epochs=1", "--out", "it")
    status, _, err = limbeck(*line)
    assert (status, err) == (0, "")
    for each in load_outcome(Path("it")).searches:
        assert each.finished and not each.failed and 1 <= len(each.found) <= evaluations
        assert len(each.retrained) == 1
    assert table("it/table.csv") and table("it/scores.csv") and Path("it/report.html").stat().st_size > 10_000
    assert computed
    computed.clear()
    assert limbeck(*line)[0] == 0 and computed == []
