"""The rows of a comparison on disk: one line each, in the order they were finished."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from limbeck.config import Baseline
from limbeck.errors import ArtifactError
from limbeck.evaluation import Evaluation
from limbeck.files import write_atomic

FILE = "rows.jsonl"

BASELINE = "random"
"""The method every comparison holds: what the others are measured against, and whose protocol is everyone's."""

WHOLE: Baseline = "whole"
"""Stands for a method in the row of the whole data set."""


@dataclass(frozen=True)
class Row:
    """What one run came to.

    All but ``cost`` is the same whenever the same row is measured on the same machine.

    Attributes:
        key: content address of everything the row depends on.
        method: name of the method, or ``WHOLE``.
        ipc: images per class; 0 for the whole data set.
        seed: of the run and its evaluation.
        run: name of the run folder.
        evaluation: ``Evaluation.to_dict`` without its seconds.
        network: the run's.
        beside: further rows of the same run by label, in the same form.
        features: where a selector's features come from; empty where there are none.
        deviations: how the run differs from the published settings.
        published: the figure published for exactly these settings, or None.
        cost: what was measured with a clock or a meter: "seconds" distilling or selecting, "steps", "growth" in bytes
            (None where unknown), "features" in seconds, "evaluating" in seconds of all networks together.
        data: digest of the real training images; empty in rows that do not tell.
    """

    key: str
    method: str
    ipc: int
    seed: int
    run: str
    evaluation: dict[str, Any]
    network: str
    features: str = ""
    deviations: list[str] = field(default_factory=list)
    published: dict[str, Any] | None = None
    beside: dict[str, dict[str, Any]] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    data: str = ""

    @property
    def measured(self) -> Evaluation:
        """The row's accuracies, and how they were come by."""
        return Evaluation.from_dict({**self.evaluation, "seconds": self.cost["evaluating"]})


class Rows:
    """Finished rows by key, kept in ``rows.jsonl`` of a folder.

    Args:
        folder: of the comparison. A last line that was cut off counts as absent.

    Raises:
        ArtifactError: the file cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace") if self._path.exists() else ""
        except OSError as error:
            raise ArtifactError(f"{self._path} cannot be read: {error.strerror}. Choose another --out.") from None
        self._rows = {row.key: row for row in map(_parse, text.splitlines()) if row is not None}

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def get(self, key: str) -> Row | None:
        """Return a finished row, or None."""
        return self._rows.get(key)

    def all(self) -> list[Row]:
        """Return every finished row, oldest first."""
        return list(self._rows.values())

    def add(self, row: Row) -> None:
        """Keep a finished row; the file holds all lines or those before."""
        self._rows[row.key] = row
        lines = (json.dumps(asdict(each), sort_keys=True) + "\n" for each in self._rows.values())
        write_atomic(self._path, "".join(lines).encode())


def _parse(line: str) -> Row | None:
    try:
        row = Row(**json.loads(line))
        return row if row.measured.accuracies else None
    except (ValueError, TypeError, KeyError):
        return None


def write_csv(path: Path, records: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write records as a table for spreadsheets; what a record lacks is empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: value for key, value in record.items() if value is not None} for record in records)
    write_atomic(path, stream.getvalue().encode())
