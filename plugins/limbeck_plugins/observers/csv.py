"""Losses and accuracies as tables: ``losses.csv`` and ``accuracies.csv`` in the run folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from limbeck.events import EvaluationInfo, RunInfo
from limbeck.files import append, write_atomic
from limbeck.observers import Observer

LOSSES, ACCURACIES = "losses.csv", "accuracies.csv"
LOSS_COLUMNS = ("step", "loss", "seconds")
ACCURACY_COLUMNS = ("label", "protocol", "network", "accuracy")


class CSV(Observer):
    """Write one line a step and one line an evaluated network; a resumed run's later lines replace the earlier ones."""

    folder: Path | None = None

    def before_run(self, run: RunInfo) -> None:
        """Keep the lines of the steps that are not done again."""
        self.folder = None if run.folder is None else Path(run.folder)
        self._evaluated: list[EvaluationInfo] = []
        if self.folder is None:
            return
        path = self.folder / LOSSES
        lines = path.read_text().splitlines()[1:] if path.exists() else []
        kept = [line for line in lines if _is_before(line, run.first_step)]
        write_atomic(path, (_lines([LOSS_COLUMNS]) + "".join(f"{line}\n" for line in kept)).encode())

    def after_steps(self, first: int, last: int, losses: Sequence[float], seconds: float) -> None:
        """Add a line for each step."""
        if self.folder is not None:
            rows = [
                (step, repr(loss), round(seconds, 4)) for step, loss in zip(range(first, last + 1), losses, strict=True)
            ]
            append(self.folder / LOSSES, _lines(rows))

    def after_evaluation(self, evaluation: EvaluationInfo) -> None:
        """Write the rows so far: one line a network."""
        self._evaluated.append(evaluation)
        if self.folder is not None:
            rows: list[Sequence[Any]] = [ACCURACY_COLUMNS]
            for row in self._evaluated:
                rows += [(row.label, row.protocol, k, repr(value)) for k, value in enumerate(row.accuracies)]
            write_atomic(self.folder / ACCURACIES, _lines(rows).encode())


def _lines(rows: Iterable[Sequence[Any]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def _is_before(line: str, step: int) -> bool:
    """Whether a line is whole and of an earlier step; the last one may have been cut short by a kill."""
    cells = line.split(",")
    return len(cells) == len(LOSS_COLUMNS) and cells[0].isdigit() and int(cells[0]) < step
