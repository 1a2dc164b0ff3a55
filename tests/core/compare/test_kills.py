"""The command killed for real, wherever it stands, comes to the same rows when it is typed again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

LINE = (
    "compare --methods dm,k_center --profile small --network convnet-d1-w4-in --max-per-class 10 --device cpu "
    "--steps 60 --networks 2 --set data.batch_real=4 --set evaluation.protocol.epochs=30 "
    "--set execution.checkpoint_seconds=0 --set execution.flush_every=5"
)
MOMENTS = {
    "in the first row": lambda out: next(out.glob("runs/random-*/networks/*.json"), None),
    "while it distils": lambda out: next(out.glob("runs/dm-*/checkpoint.safetensors"), None),
    "while a set is measured": lambda out: next(out.glob("runs/dm-*/networks/*.json"), None),
    "when a row was written": lambda out: len((out / "rows.jsonl").read_bytes().splitlines()) == 3,
    "at its last row": lambda out: len((out / "rows.jsonl").read_bytes().splitlines()) == 4,
}


def command(folder):
    arguments = [sys.executable, "-m", "limbeck", *LINE.split(), "--out", str(folder)]
    return {"args": arguments, "env": {**os.environ, "OMP_NUM_THREADS": "1"}, "stdout": subprocess.DEVNULL}


def killed(folder, is_there):
    """Kill the command as soon as something is there; whether it was still at work."""
    with subprocess.Popen(**command(folder)) as process:
        while process.poll() is None:
            try:
                found = is_there(folder)
            except OSError:
                found = False
            if found:
                process.kill()
                return process.wait() == -signal.SIGKILL
            time.sleep(0.002)
    return False


@pytest.mark.slow
def test_killed_again_and_again_it_comes_to_the_same_rows(rows_of, tmp_path):
    subprocess.run(**command(tmp_path / "whole"), check=True)
    died = [killed(tmp_path / "it", is_there) for is_there in MOMENTS.values()]
    assert sum(died) >= len(MOMENTS) - 1, dict(zip(MOMENTS, died, strict=True))
    subprocess.run(**command(tmp_path / "it"), check=True)
    assert rows_of(tmp_path / "it") == rows_of(tmp_path / "whole")
    assert not list(tmp_path.rglob("*.part"))
    before = {path: path.read_bytes() for path in (tmp_path / "it").rglob("*.json*")}
    subprocess.run(**command(tmp_path / "it"), check=True)
    assert {path: path.read_bytes() for path in (tmp_path / "it").rglob("*.json*")} == before
    assert (tmp_path / "it" / "compare.html").exists()
