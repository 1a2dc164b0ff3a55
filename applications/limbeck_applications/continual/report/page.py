"""What a study found, put into its template."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from limbeck.files import write_atomic
from limbeck.report.strips import Strips, strips_of
from limbeck.report.template import fill
from limbeck_applications.continual.report.charts import curves_svg
from limbeck_applications.continual.results import DEFINITIONS, Line, Results

FILE = "report.html"

NUMBERED = 10
"""Experiences up to which the cells of a drawn matrix hold their numbers."""


def write_page(folder: Path, results: Results) -> Path:
    """Write the page of a study into its folder: one file that needs no other and no network.

    Args:
        folder: of the study.
        results: what is finished and what failed.

    Returns:
        The file written.

    Raises:
        UsageError: the folder cannot be written.
    """
    path = folder / FILE
    write_atomic(path, render(results).encode())
    return path


def render(results: Results) -> str:
    """Return the page as HTML; every text is escaped."""
    outcome, lines = results.outcome, results.lines
    ranked = sorted(lines, key=lambda line: -_last(line))
    return fill(
        "continual.html.j2",
        script="compare.js",
        package=__package__,
        settings=outcome.settings,
        outcome=outcome,
        values=_values(results),
        lines=lines,
        best=results.best,
        allowed=results.allowed,
        above=results.above,
        ranked=ranked,
        curves=Markup(curves_svg([line.curve for line in ranked], _distilled(ranked))) if ranked else "",
        maps=[Heat.of(line) for line in lines],
        memories=pictures(results),
        definitions=DEFINITIONS,
        finished=len(outcome.finished),
    )


def _last(line: Line) -> float:
    return line.curve[-1].mean if math.isfinite(line.curve[-1].mean) else -1.0


def _distilled(lines: list[Line]) -> set[int]:
    return {k for k, line in enumerate(lines) if line.memory}


def _values(results: Results) -> dict[str, Any]:
    """Return the settings as a page lists them: memories by name, and nothing that stands elsewhere."""
    settings = results.outcome.settings
    memories = {
        name: memory.model_dump(mode="json")
        for name, memory in zip(settings.memory_names, settings.memories, strict=True)
    }
    values = settings.model_dump(mode="json", exclude={"strategies", "memories", "executor"})
    return {**values, **({"memory": memories} if memories else {})}


@dataclass(frozen=True)
class Heat:
    """An accuracy matrix to be drawn.

    Attributes:
        name: of the strategy.
        rows: for each experience learned, of each cell its text, its share of colour in per cent, and its kind:
            "seen", "now" on the diagonal, "later" above it.
        numbered: whether the texts fit into the cells.
    """

    name: str
    rows: list[list[tuple[str, int, str]]]
    numbered: bool

    @classmethod
    def of(cls, line: Line) -> Heat:
        """Prepare the mean matrix of a line."""
        rows = [
            [_cell(value, "seen" if i < t else "now" if i == t else "later") for i, value in enumerate(row)]
            for t, row in enumerate(line.matrix.rows)
        ]
        return cls(line.name, rows, len(rows) <= NUMBERED)


def _cell(value: float, kind: str) -> tuple[str, int, str]:
    return (f"{100 * value:.0f}", round(55 * value), kind) if math.isfinite(value) else ("–", 0, kind)


def pictures(results: Results) -> list[Strips]:
    """Collect the images of each memory; one whose folder is not there any more is passed over."""
    first: dict[str, tuple[int, list[Path]]] = {}
    for (name, order), folders in results.outcome.memories.items():
        if name not in first or order < first[name][0]:
            first[name] = (order, folders)
    shown = (strips_of(name, folders) for name, (_, folders) in first.items())
    return [each for each in shown if each is not None]
