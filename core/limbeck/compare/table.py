"""From finished rows to the one table: a line for each method and ipc, over all networks of all seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from limbeck.compare.asked import Asked, gathered, training
from limbeck.compare.rows import BASELINE, WHOLE, Row, Rows, write_csv
from limbeck.errors import ArtifactError
from limbeck.evaluation.scores import label_robust_score
from limbeck.files import read_json, signed, write_json

FILE, ROWS_CSV, TABLE_CSV = "comparison.json", "rows.csv", "table.csv"


@dataclass(frozen=True)
class Line:
    """What the runs of one method at one ipc came to.

    Attributes:
        method: name of the method, or "whole".
        ipc: images per class; 0 for the whole data set.
        rows: its finished rows, one a seed.
        planned: rows it will have.
        lrs: label-robust score in [0, 1], or None where one of its parts is missing.
        over_random: percentage points above the baseline of the same ipc and recipe, or None.
    """

    method: str
    ipc: int
    rows: tuple[Row, ...]
    planned: int
    lrs: float | None = None
    over_random: float | None = None

    @property
    def accuracies(self) -> list[float]:
        """Of all networks of all seeds, each in [0, 1]."""
        return [accuracy for row in self.rows for accuracy in row.evaluation["accuracies"]]

    @property
    def mean(self) -> float:
        """Mean accuracy over all networks."""
        return statistics.fmean(self.accuracies)

    @property
    def std(self) -> float:
        """Population standard deviation over all networks of all seeds."""
        return statistics.pstdev(self.accuracies)

    @property
    def seed_means(self) -> list[float]:
        """Mean accuracy of each seed."""
        return [row.measured.mean for row in self.rows]

    @property
    def seconds(self) -> float | None:
        """Mean time distilling or selecting, the training of a selector's features apart; None for the whole set."""
        return None if self.method == WHOLE else statistics.fmean(row.cost["seconds"] for row in self.rows)

    @property
    def features_seconds(self) -> float:
        """Mean time that training the network of a selector's features took."""
        return statistics.fmean(row.cost.get("features") or 0.0 for row in self.rows)

    @property
    def steps(self) -> float:
        """Mean number of updates of the set."""
        return statistics.fmean(row.cost["steps"] for row in self.rows)

    @property
    def pace(self) -> float | None:
        """Mean seconds a step; None where there are no steps."""
        return None if self.seconds is None or not self.steps else self.seconds / self.steps

    @property
    def growth(self) -> int | None:
        """Bytes by which memory grew at most in any of the runs; None where it was not measured."""
        return max((row.cost["growth"] for row in self.rows if row.cost["growth"] is not None), default=None)

    def to_record(self) -> dict[str, Any]:
        """Return the line for a spreadsheet; accuracies in [0, 1]."""
        first = self.rows[0].measured
        return {
            "method": self.method,
            "ipc": self.ipc,
            "seeds": len(self.rows),
            "networks": len(self.accuracies),
            "accuracy": self.mean,
            "std": self.std,
            "seed_means": " ".join(map(str, self.seed_means)),
            "over_random_points": self.over_random,
            "lrs": self.lrs,
            "seconds": self.seconds,
            "features_seconds": self.features_seconds,
            "steps": self.steps,
            "seconds_per_step": self.pace,
            "growth_bytes": self.growth,
            "set_bytes": first.bytes,
            "images": first.images,
            **_how(self.rows[0]),
        }


@dataclass(frozen=True)
class Table:
    """A comparison as far as it got.

    Attributes:
        asked: what is compared.
        lines: those with a finished row, by ipc and then in the order of the methods; the whole data set last.
        rows: every finished row that was asked for, in the order of the comparison.
    """

    asked: Asked
    lines: tuple[Line, ...]
    rows: tuple[Row, ...]

    def save(self, folder: Path) -> None:
        """Write ``rows.csv``, a line for each run, and ``table.csv``, a line for each method and ipc."""
        runs = [_record(row) for row in self.rows]
        lines = [line.to_record() for line in self.lines]
        for name, records in ((ROWS_CSV, runs), (TABLE_CSV, lines)):
            if records:
                write_csv(folder / name, records, list(records[0]))


@dataclass(frozen=True)
class Outcome:
    """What a comparison came to.

    Attributes:
        table: of all finished rows.
        failures: why other rows are missing, by their names.
    """

    table: Table
    failures: dict[str, str] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write ``comparison.json``, with which ``load`` finds the table again, and the tables for spreadsheets."""
        write_json(folder / FILE, signed({"asked": self.table.asked.to_dict(), "failures": self.failures}))
        self.table.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Outcome:
        """Read a comparison as far as it got; without ``comparison.json``, what its rows tell.

        Raises:
            ArtifactError: a file is damaged, or there is no finished row.
        """
        path, rows = folder / FILE, Rows(folder)
        if not rows.all():
            raise ArtifactError(f"{folder} holds no finished row. Type the command of the comparison again.")
        if not path.exists():
            return cls(tabulate(gathered(folder, rows.all()), rows))
        try:
            kept = read_json(path)
            return cls(tabulate(Asked.from_dict(kept["asked"]), rows), kept["failures"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path} is altered ({error}). Type the command of the comparison again.") from None


def tabulate(asked: Asked, rows: Rows) -> Table:
    """Gather what is finished of a comparison."""
    found = [row for place in asked.places if (row := rows.get(place.key)) is not None]
    lines = [_line(asked, found, method, ipc) for ipc in asked.ipcs for method in asked.methods]
    whole = _line(asked, found, WHOLE, 0)
    baseline = {line.ipc: line for line in lines if line is not None and line.method == BASELINE}
    scored = [_scored(line, baseline.get(line.ipc), whole) for line in lines if line is not None]
    return Table(asked, (*scored, *([whole] if whole else [])), tuple(found))


def _line(asked: Asked, rows: Sequence[Row], method: str, ipc: int) -> Line | None:
    own = tuple(row for row in rows if (row.method, row.ipc) == (method, ipc))
    planned = sum((place.method, place.ipc) == (method, ipc) for place in asked.places)
    return Line(method, ipc, own, planned) if own else None


def _scored(line: Line, baseline: Line | None, whole: Line | None) -> Line:
    """Add what a line is worth beside the baseline and the whole set, where they were trained alike."""
    if baseline is None or training(line.rows[0]) != training(baseline.rows[0]):
        return line
    known: dict[str, float | None] = {
        "synthetic": line.mean,
        "random": baseline.mean,
        "synthetic_hard": line.mean,
        "whole": None if whole is None else whole.mean,
    }
    if line.rows[0].measured.labels != "hard" or line.rows[0].measured.label_kind != "hard":
        known |= {"random": _beside(line, "random_soft"), "synthetic_hard": _beside(line, "synthetic_hard")}
    given = {name: value for name, value in known.items() if value is not None}
    lrs = label_robust_score(**given) if len(given) == len(known) else None
    return replace(line, lrs=lrs, over_random=100 * (line.mean - baseline.mean))


def _beside(line: Line, label: str) -> float | None:
    """Return the mean accuracy of a row measured beside the set in every run of a line, or None."""
    found = [value for row in line.rows if label in row.beside for value in row.beside[label]["accuracies"]]
    return statistics.fmean(found) if all(label in row.beside for row in line.rows) else None


def _record(row: Row) -> dict[str, Any]:
    measured, cost = row.measured, row.cost
    return {
        "method": row.method,
        "ipc": row.ipc,
        "seed": row.seed,
        "networks": measured.networks,
        "accuracy": measured.mean,
        "std": measured.std,
        "accuracies": " ".join(map(str, measured.accuracies)),
        "best": measured.best_mean,
        "seconds": cost["seconds"],
        "features_seconds": cost.get("features"),
        "steps": cost["steps"],
        "growth_bytes": cost["growth"],
        "evaluating_seconds": cost["evaluating"],
        "set_bytes": measured.bytes,
        "images": measured.images,
        **_how(row),
        "run": row.run,
    }


def _how(row: Row) -> dict[str, Any]:
    measured = row.measured
    return {
        "network": measured.recipe["network"],
        "protocol": measured.protocol,
        "passes": measured.recipe["epochs"],
        "augmentation": measured.augmentation,
        "labels": measured.labels,
        "features": row.features,
        "deviations": "; ".join(row.deviations),
    }
