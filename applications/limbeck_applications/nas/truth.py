"""Tables of what full training gives: a CSV file with a line for each architecture and seed."""

from __future__ import annotations

import csv
import io
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from limbeck.errors import DataError, UsageError
from limbeck.files import write_atomic

COLUMNS = ("architecture", "seed", "validation", "test", "seconds")
"""Of a table: name, whole number, two accuracies in [0, 1] and seconds; validation and seconds may be empty."""

SHIPPED = Path(__file__).parent / "truths"

EQUAL = 9
"""Decimals to which mean accuracies are kept: one image more or less shows, and what is equal is not told apart."""


@dataclass(frozen=True)
class Measured:
    """One architecture fully trained once.

    Attributes:
        architecture: its name in the space.
        seed: of the training.
        test: accuracy on test images, in [0, 1].
        validation: accuracy on the images that proxies rank on, or None where the table does not say.
        seconds: that the training took, or None.
    """

    architecture: str
    seed: int
    test: float
    validation: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Truth:
    """A table.

    Attributes:
        rows: its lines.
        notes: what stands above them: the command that made the table, machine, versions.
    """

    rows: tuple[Measured, ...]
    notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def seeds(self) -> list[int]:
        """The seeds, ascending."""
        return sorted({row.seed for row in self.rows})

    @property
    def images(self) -> int | None:
        """Training images that the table was made with, or None where its notes do not say."""
        return self.count("images")

    def count(self, note: str) -> int | None:
        """Return the whole number that a note is, or None where it is none or there is no such note."""
        text = self.notes.get(note, "")
        return int(text) if re.fullmatch("[0-9]+", text) else None

    def of_seed(self, seed: int) -> dict[str, float]:
        """Return the test accuracy of each architecture that was trained from a seed."""
        return {row.architecture: row.test for row in self.rows if row.seed == seed}

    def mean(self) -> dict[str, float]:
        """Return the mean test accuracy of each architecture over its seeds; see ``mean_accuracy``."""
        found: dict[str, list[float]] = {}
        for row in self.rows:
            found.setdefault(row.architecture, []).append(row.test)
        return {name: mean_accuracy(values) for name, values in found.items()}

    def seconds(self) -> float | None:
        """Return what one seed of all architectures took, or None where the table does not say for all."""
        known = [row.seconds for row in self.rows]
        if not known or any(value is None for value in known):
            return None
        return sum(value for value in known if value is not None) / len(self.seeds)


def mean_accuracy(values: Iterable[float]) -> float:
    """Return the mean of accuracies; where as many images are right in all, means are equal to the last digit."""
    return round(statistics.fmean(values), EQUAL)


def shipped(space: str, data: str) -> Path | None:
    """Return the table that comes with Limbeck for a space and a data set, or None."""
    path = SHIPPED / f"{space}-{data}.csv"
    return path if path.exists() else None


def differing(truth: Truth | None, images: int) -> str:
    """Return a warning where a table was made with another number of training images, or nothing.

    Args:
        truth: the table, or None.
        images: training images of what is held against it; 0 where that is not known.
    """
    its = None if truth is None else truth.images
    if not images or its is None or its == images:
        return ""
    return (
        f"the table of full training was made with {its:,} training images, and here there are {images:,}: give "
        f"--images {its}, or make a table of your own with 'limbeck nas truth'."
    )


def write_truth(path: Path, truth: Truth) -> None:
    """Write a table, its notes as lines that begin with ``#``.

    Raises:
        UsageError: the file cannot be written.
    """
    text = io.StringIO()
    for name, value in truth.notes.items():
        text.write(f"# {name}: {' '.join(value.split())}\n")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for row in sorted(truth.rows, key=lambda row: (row.architecture, row.seed)):
        lines.writerow([row.architecture, row.seed, _exact(row.validation), _exact(row.test), _exact(row.seconds, 2)])
    write_atomic(path, text.getvalue().encode())


def read_truth(path: Path) -> Truth:
    """Read a table.

    Raises:
        UsageError: there is no such file.
        DataError: it is of another format; names the line and what should stand there.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"the truth table {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise DataError(
            f"{path} is no CSV file: it holds bytes that are no text. A truth table has the columns "
            f"{','.join(COLUMNS)}; export it from the benchmark's own file first."
        ) from None
    lines = text.splitlines()
    notes = dict(_note(line) for line in lines if line.startswith("#"))
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    return Truth(_rows(path, numbered), notes)


def _rows(path: Path, numbered: Sequence[tuple[int, str]]) -> tuple[Measured, ...]:
    """Read the header and the lines below it."""
    parsed = [_cells(path, number, line) for number, line in numbered]
    header = [name.strip() for name in parsed[0]] if parsed else []
    missing = [name for name in ("architecture", "test") if name not in header]
    if missing:
        raise DataError(
            f"{path} is no truth table: its first line has no column '{missing[0]}', but "
            f"{', '.join(header[:6]) or 'nothing'}. Give the columns {','.join(COLUMNS)}; seed, "
            "validation and seconds may be left out."
        )
    rows, seen = [], set()
    for (number, _), cells in zip(numbered[1:], parsed[1:], strict=True):
        row = _row(path, number, dict(zip(header, cells, strict=False)))
        if (row.architecture, row.seed) in seen:
            raise DataError(f"{path}, line {number}: '{row.architecture}' with seed {row.seed} stands there twice.")
        seen.add((row.architecture, row.seed))
        rows.append(row)
    if not rows:
        raise DataError(f"{path} holds a header and no line below it.")
    return tuple(rows)


def _cells(path: Path, number: int, line: str) -> list[str]:
    """Split one line, which is all of a record: names and numbers hold no line ends."""
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:
        raise DataError(f"{path}, line {number} is no line of a CSV file: {error}.") from None


def _row(path: Path, number: int, cells: Mapping[str, str]) -> Measured:
    where = f"{path}, line {number}"
    name, seed = cells.get("architecture", "").strip(), cells.get("seed", "").strip() or "0"
    if not name:
        raise DataError(f"{where}: architecture is empty; give its name in the space.")
    if re.fullmatch("-?[0-9]+", seed) is None:
        raise DataError(f"{where}: seed is '{seed}'; give a whole number.")
    test = _accuracy(where, "test", cells.get("test", ""))
    if test is None:
        raise DataError(f"{where}: test is empty; give an accuracy in [0, 1].")
    return Measured(
        name,
        int(seed),
        test,
        _accuracy(where, "validation", cells.get("validation", "")),
        _value(where, "seconds", cells.get("seconds", ""), "0 or more", 0, float("inf")),
    )


def _accuracy(where: str, column: str, text: str) -> float | None:
    return _value(where, column, text, "an accuracy in [0, 1], not in per cent", 0, 1)


def _value(where: str, column: str, text: str, allowed: str, least: float, most: float) -> float | None:
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise DataError(f"{where}: {column} is '{text.strip()}'; give {allowed}.")
    return value


def _exact(value: float | None, digits: int | None = None) -> str:
    """Write a number in as few digits as give it again, or in so many decimals."""
    return "" if value is None else repr(float(value)) if digits is None else f"{value:.{digits}f}"


def _note(line: str) -> tuple[str, str]:
    name, _, value = line.lstrip("# ").partition(":")
    return name.strip(), value.strip()


def covering(truth: Truth, names: Iterable[str], path: Path | str) -> dict[str, float]:
    """Return the mean test accuracy of some architectures.

    Raises:
        DataError: the table has none for one of them.
    """
    known, asked = truth.mean(), list(names)
    absent = [name for name in asked if name not in known]
    if absent:
        raise DataError(
            f"{path} has no line for {len(absent)} of {len(asked)} architectures, '{absent[0]}' among them; it names "
            f"architectures like '{next(iter(known))}'."
        )
    return {name: known[name] for name in asked}
