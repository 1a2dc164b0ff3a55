"""The table that a study fills row by row."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def keep(path: Path, row: dict[str, Any], identity: Sequence[str]) -> None:
    """Write a row into a CSV file, in the place of an earlier one of the same run; its keys are the columns.

    Args:
        path: the file.
        row: of the same columns as the rows before it.
        identity: columns in which rows of one run are equal.
    """
    kept = list(csv.DictReader(path.open())) if path.exists() else []
    kept = [old for old in kept if any(old[key] != str(row[key]) for key in identity)]
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(row))
        writer.writeheader()
        writer.writerows([*kept, row])
