"""Kill -9 in the middle of a ranking or a search, and the same command again: the same scores."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from limbeck_applications.nas.study.kept import load_outcome

SMALL = ["--data", "digits", "--images", "200", "--validation", "100", "--device", "cpu"]
COMMANDS = {
    "rank": ["nas", "rank", "--sample", "24", "--proxy", "random:ipc=10,epochs=15", "--proxy", "parameters"],
    "search": [
        "nas", "search", "--space", "chains", "--searcher", "eas", "--evaluations", "24",
        "--proxy", "random:ipc=10,epochs=15", "--set", "training.epochs=1",
    ],
}  # fmt: skip


def start(kind, folder):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "LIMBECK_CACHE": str(folder.parent / "cache")}
    line = [sys.executable, "-m", "limbeck", *COMMANDS[kind], *SMALL, "--out", str(folder)]
    return subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(kind, folder):
    process = start(kind, folder)
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    outcome = load_outcome(folder)
    if kind == "rank":
        return [{name: each.value for name, each in ranking.scores.items()} for ranking in outcome.rankings]
    return [
        ([(one.architecture.name, one.value, one.notes) for one in each.found], [m.test for m in each.retrained])
        for each in outcome.searches
    ]


def scores(folder):
    path = folder / "scores.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line)["key"] for line in lines if line.endswith("\n")]


@pytest.mark.slow
@pytest.mark.parametrize("kind", COMMANDS)
def test_a_killed_study_comes_to_the_same(tmp_path, kind):
    expected = finish(kind, tmp_path / "whole")
    folder = tmp_path / "killed"
    for number in (3, 9):
        process = start(kind, folder)
        while len(scores(folder)) < number:
            assert process.poll() is None, process.stderr.read().decode()
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
    killed = scores(folder)
    assert number <= len(killed) < 24
    assert finish(kind, folder) == expected
    assert scores(folder)[: len(killed)] == killed and len(set(scores(folder))) == len(scores(folder))
