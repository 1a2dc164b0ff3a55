"""Kill -9 in the middle of a study, and the same command again: the same accuracy matrix, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

COMMAND = [
    "continual", "run", "--strategies", "distilled_gdumb,distilled_replay,naive", "--memory", "dm:steps=20",
    "--orders", "2", "--images", "3", "--network", "convnet-d2-w8-in", "--max-per-class", "60",
    "--set", "training.epochs=1", "--set", "retraining.epochs=60",
]  # fmt: skip


def start(folder):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "LIMBECK_CACHE": str(folder.parent / "cache")}
    line = [sys.executable, "-m", "limbeck", *COMMAND, "--out", str(folder)]
    return subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(folder):
    process = start(folder)
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    return matrices(folder)


def rows(folder):
    path = folder / "rows.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def matrices(folder):
    return {(row["key"], row["experience"]): row["row"]["accuracies"] for row in rows(folder)}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    found = finish(tmp_path_factory.mktemp("whole") / "study")
    assert len(found) == 3 * 2 * 5
    return found


MOMENTS = {
    "in the second memory": lambda folder: len(list((folder / "memories").glob("*/piece.json"))) >= 6,
    "after experience 2 of 5": lambda folder: any(row["experience"] == 1 for row in rows(folder)),
    "among the cells of a library": lambda folder: len({row["strategy"] for row in rows(folder)}) >= 2,
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_study_comes_to_the_same_matrix(uninterrupted, tmp_path, moment):
    folder = tmp_path / "study"
    process = start(folder)
    while not MOMENTS[moment](folder):
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    assert len(matrices(folder)) < len(uninterrupted)
    assert finish(folder) == uninterrupted
