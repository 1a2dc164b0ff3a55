"""What an observer promises: it writes into the run's folder, and leaves nothing open behind."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from limbeck.events import CheckpointInfo, EvaluationInfo, RunInfo, RunResult
from limbeck.observers import Observer
from limbeck.testing.suite import NotApplicable, Subject, require

BASE = Observer
OPEN_FILES = Path("/proc/self/fd")


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """Give a run folder, and an empty folder to stand in."""
    with tempfile.TemporaryDirectory() as name:
        run, elsewhere = Path(name) / "run", Path(name) / "elsewhere"
        run.mkdir()
        elsewhere.mkdir()
        with contextlib.chdir(elsewhere):
            yield run
            require(not list(elsewhere.iterdir()), "it writes into the current folder")


def _run(folder: Path | None, first: int = 0) -> RunInfo:
    place = None if folder is None else str(folder)
    return RunInfo(place, "a-method", "a-matcher", "tiny", 1, "a-network", 0, first, 4, "cpu", {"threads": 1})


def _watch(observer: Observer, run: RunInfo, *, error: bool = False) -> None:
    """Tell an observer what it is told of a run of 4 steps, from ``run.first_step`` on."""
    observer.before_run(run)
    for step in range(run.first_step, 4, 2):
        observer.after_steps(step, step + 1, (1.0 / (step + 1), 0.5), float(step))
    observer.after_checkpoint(CheckpointInfo(4, str(Path(run.folder or ".") / "checkpoint.safetensors")))
    if error:
        observer.on_run_error(run, RuntimeError("the disk is full\nand so am I"))
        return
    observer.after_evaluation(EvaluationInfo("synthetic", "dc", 2, 0.5, 0.1, (0.4, 0.6)))
    observer.after_run(run, RunResult(4, 1.5, 10, 2560, 0.5))


def watches_a_run(subject: Subject) -> None:
    """It is told of a whole run, and writes into the run's folder only."""
    with _folder() as folder:
        _watch(subject.make(), _run(folder))


def watches_a_resumed_run(subject: Subject) -> None:
    """What it wrote is still there when the run was stopped and continued."""
    with _folder() as folder:
        _watch(subject.make(), replace(_run(folder), total_steps=2), error=True)
        before = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
        _watch(subject.make(), _run(folder, first=2))
        after = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
        shorter = [name for name, size in before.items() if after.get(name, 0) < size]
        require(not shorter, f"{', '.join(shorter)}: shorter than before")


def writes_nothing_without_a_folder(subject: Subject) -> None:
    """A run without a folder leaves no file."""
    with _folder() as folder:
        _watch(subject.make(), _run(None))
        require(not list(folder.iterdir()), "it does")


def closes_what_it_opened(subject: Subject) -> None:
    """No file stays open, whether the run finishes or fails."""
    if not OPEN_FILES.exists():
        raise NotApplicable("this system does not say which files are open")
    for error in (False, True):
        with _folder() as folder:
            _watch(subject.make(), _run(folder), error=error)
            left = [name for name in map(_target, OPEN_FILES.iterdir()) if name.startswith(str(folder))]
            require(not left, f"{Path(left[0]).name if left else ''} stays open")


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:
        return ""


CHECKS = (watches_a_run, watches_a_resumed_run, writes_nothing_without_a_folder, closes_what_it_opened)
