"""From rows to the files and tables of a study: what strategies came to, over class orders and seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from limbeck.compare.rows import write_csv
from limbeck.files import write_json
from limbeck_applications.continual.matrix import METRICS, AccuracyMatrix, Spread, mean_matrix
from limbeck_applications.continual.strategy import Row
from limbeck_applications.continual.study.rows import Cell, Outcome

TABLE_CSV, CELLS_CSV, MATRICES = "table.csv", "cells.csv", "matrices.json"

DEFINITIONS = {
    "matrix": "A[t][i]: accuracy in [0, 1] on the test images of experience i after learning experience t",
    "accuracy": "ACC = mean over i <= T of A[T, i]",
    "average_incremental": "AIA = mean over t of ACC_t, the first included",
    "backward_transfer": "BWT = mean over i < T of A[T, i] - A[i, i]",
    "forgetting": "F = mean over i < T of max over l < T of A[l, i] - A[T, i] (arXiv:1801.10112)",
    "avalanche_forgetting": "mean over i < T of A[i, i] - A[T, i], which Avalanche calls forgetting",
}
"""What the numbers in ``matrices.json`` are; the same words stand in the page."""


@dataclass(frozen=True)
class Learned:
    """One cell with the rows it has.

    Attributes:
        cell: which stream, strategy and seed.
        rows: after each experience so far, at least one.
    """

    cell: Cell
    rows: tuple[Row, ...]

    @cached_property
    def matrix(self) -> AccuracyMatrix:
        """Its accuracies."""
        return AccuracyMatrix(tuple(row.accuracies for row in self.rows))

    @property
    def seconds(self) -> float:
        """Spent learning all experiences, distilling and testing left out."""
        return math.fsum(row.seconds for row in self.rows)

    @property
    def distilling(self) -> float:
        """Spent distilling the memory, whichever cell it was distilled for first."""
        return math.fsum(row.distilling for row in self.rows)

    def record(self) -> dict[str, Any]:
        """Return the cell for a spreadsheet; metrics only of a whole stream."""
        cell, matrix = self.cell, self.matrix
        known = matrix.metrics() if matrix.is_finished else {}
        return {
            "strategy": cell.strategy,
            "memory": cell.memory,
            "order": cell.order,
            "seed": cell.seed,
            "learned": matrix.learned,
            "experiences": len(matrix.rows[0]),
            **{name: finite(known.get(name)) for name in METRICS},
            "accuracies": " ".join(f"{value!r}" for value in matrix.accuracies),
            "seconds": self.seconds,
            "distilling_seconds": self.distilling,
            "bytes": self.rows[-1].bytes,
            "images": self.rows[-1].images,
        }


@dataclass(frozen=True)
class Line:
    """What one strategy came to with one memory.

    Attributes:
        strategy: its name, with its options.
        memory: name of the memory, or "".
        learned: its finished cells, at least one.
        planned: cells it will have.
    """

    strategy: str
    memory: str
    learned: tuple[Learned, ...]
    planned: int

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.learned[0].cell.name

    def spread(self, metric: str) -> Spread | None:
        """Return a metric over all orders and seeds; None where one experience leaves it undefined."""
        return Spread.of(each.matrix.metrics()[metric] for each in self.learned)

    @property
    def curve(self) -> list[Spread]:
        """``ACC_t`` after each experience over all orders and seeds."""
        steps = zip(*(each.matrix.accuracies for each in self.learned), strict=True)
        return [Spread.of(values) or Spread(math.nan, math.nan, 0) for values in steps]

    @property
    def matrix(self) -> AccuracyMatrix:
        """Mean accuracies over all orders and seeds, by place in the stream."""
        return mean_matrix([each.matrix for each in self.learned])

    @property
    def seconds(self) -> float:
        """Mean time learning a stream."""
        return statistics.fmean(each.seconds for each in self.learned)

    @property
    def distilling(self) -> float:
        """Mean time distilling a memory."""
        return statistics.fmean(each.distilling for each in self.learned)

    @property
    def bytes(self) -> int:
        """What is kept at the end, the most of all cells."""
        return max(each.rows[-1].bytes for each in self.learned)

    @property
    def images(self) -> int:
        """Images among what is kept at the end, the most of all cells."""
        return max(each.rows[-1].images for each in self.learned)

    def record(self) -> dict[str, Any]:
        """Return the line for a spreadsheet; accuracies in [0, 1], times in seconds a stream."""
        spreads = {name: self.spread(name) for name in METRICS}
        return {
            "strategy": self.strategy,
            "memory": self.memory,
            "orders": len({each.cell.order for each in self.learned}),
            "cells": len(self.learned),
            "planned": self.planned,
            **{name: finite(spread.mean) if spread else None for name, spread in spreads.items()},
            **{f"{name}_std": finite(spread.std) if spread else None for name, spread in spreads.items()},
            "seconds": self.seconds,
            "distilling_seconds": self.distilling,
            "bytes": self.bytes,
            "images": self.images,
        }


@dataclass(frozen=True)
class Results:
    """A study as far as it has come.

    Attributes:
        outcome: what it was made of.
        lines: strategies with a finished cell, as they were asked for.
        learned: every cell with a row, finished or not.
    """

    outcome: Outcome
    lines: tuple[Line, ...] = ()
    learned: tuple[Learned, ...] = field(default=())

    @classmethod
    def of(cls, outcome: Outcome) -> Results:
        """Gather the rows of an outcome."""
        cells = tuple(Learned(cell, tuple(rows)) for cell, rows in outcome.cells.items() if rows)
        names = dict.fromkeys((cell.strategy, cell.memory) for cell in outcome.cells)
        return cls(outcome, tuple(line for name in names if (line := _line(outcome, cells, *name))), cells)

    @property
    def allowed(self) -> int:
        """Bytes that may be kept at the end of the stream."""
        experiences = self.outcome.experiences[0] if self.outcome.experiences else []
        names = [name for classes in experiences for name in classes]
        is_domain = self.outcome.scenario == "domain"
        return self.outcome.per_class * (len(names) if is_domain else len(set(names)))

    @property
    def above(self) -> tuple[Line, ...]:
        """The lines that keep more than is allowed at the end: the budget does not bound every strategy."""
        return tuple(line for line in self.lines if line.bytes > self.allowed)

    @property
    def best(self) -> Line | None:
        """The line of the highest last accuracy among those that keep something and no more than is allowed."""
        rivals = [line for line in self.lines if 0 < line.bytes <= self.allowed]
        return max(rivals, key=_last_accuracy, default=None)

    def save(self, folder: Path) -> None:
        """Write ``table.csv``, a line a strategy, ``cells.csv``, a line a cell, and ``matrices.json``.

        Raises:
            UsageError: the folder cannot be written.
        """
        for name, records in (
            (TABLE_CSV, [line.record() for line in self.lines]),
            (CELLS_CSV, [each.record() for each in self.learned]),
        ):
            if records:
                write_csv(folder / name, records, list(records[0]))
        write_json(folder / MATRICES, {"definitions": DEFINITIONS, "cells": [self._matrix(c) for c in self.learned]})

    def _matrix(self, learned: Learned) -> dict[str, Any]:
        cell, matrix = learned.cell, learned.matrix
        return {
            "strategy": cell.strategy,
            "memory": cell.memory,
            "order": cell.order,
            "seed": cell.seed,
            "experiences": self.outcome.experiences[cell.order],
            "matrix": [[finite(value) for value in row] for row in matrix.rows],
            "metrics": {k: finite(value) for k, value in matrix.metrics().items()} if matrix.is_finished else None,
        }


def _line(outcome: Outcome, cells: Sequence[Learned], strategy: str, memory: str) -> Line | None:
    """Gather a strategy's finished cells; None where there is none yet."""
    named = [each for each in cells if (each.cell.strategy, each.cell.memory) == (strategy, memory)]
    whole = tuple(each for each in named if each.cell in outcome.finished)
    planned = sum((cell.strategy, cell.memory) == (strategy, memory) for cell in outcome.cells)
    return Line(strategy, memory, whole, planned) if whole else None


def _last_accuracy(line: Line) -> float:
    spread = line.spread("accuracy")
    return spread.mean if spread and math.isfinite(spread.mean) else -1.0


def finite(value: float | None) -> float | None:
    """Return a number, or None for what JSON and spreadsheets have no word for."""
    return value if value is not None and math.isfinite(value) else None
