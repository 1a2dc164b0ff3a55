"""Accuracies as they are stated: rows, their differences, and how numbers are written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limbeck.evaluation.rows import Evaluation
from limbeck.execution.memory import format_bytes

LABELS = {
    "synthetic": "Synthetic set",
    "random": "Random, same ipc",
    "random_bytes": "Random, same bytes",
    "random_soft": "Random, the set's labels",
    "random_plain": "Random, not augmented",
    "synthetic_plain": "Synthetic set, not augmented",
    "synthetic_hard": "Synthetic set, hard labels",
    "whole": "Whole data set",
}
"""How the rows of an evaluation are called in the page."""


@dataclass(frozen=True)
class Gap:
    """How far one mean accuracy lies above another.

    Attributes:
        points: percentage points, negative when below.
        errors: the same in standard errors of the difference, or None where it has no estimate.
    """

    points: float
    errors: float | None


def gap(row: Evaluation, other: Evaluation) -> Gap:
    """Compare the means of two evaluation rows."""
    points = 100 * (row.mean - other.mean)
    error = 100 * math.hypot(row.standard_error, other.standard_error)
    return Gap(points, points / error if error > 0 else None)


def find(rows: Sequence[Evaluation], label: str, like: Evaluation | None = None) -> Evaluation | None:
    """Return the first row of a label, of the network and protocol of ``like`` where that is given."""
    for row in rows:
        if row.label == label and (like is None or _setting(row) == _setting(like)):
            return row
    return None


def _setting(row: Evaluation) -> tuple[str, str]:
    return row.protocol, str(row.recipe.get("network"))


@dataclass(frozen=True)
class Columns:
    """What a table of rows says beside accuracy and size.

    Attributes:
        heads: names of the columns in which rows differ, and "number" or nothing for how they are set.
        cells: texts of those columns, by name.
        common: names and texts of what is the same for all rows, and needs no column.
    """

    heads: list[tuple[str, str]]
    cells: dict[str, list[str]]
    common: list[tuple[str, str]]


def columns(rows: Sequence[Evaluation], features: str = "") -> Columns:
    """Split what rows of an evaluation say into columns and what they have in common.

    Args:
        rows: at least one.
        features: what a selector looked through to choose the set's images; empty where it used none.
    """
    cells = {
        "Networks": [str(row.networks) for row in rows],
        "Network": [str(row.recipe["network"]) for row in rows],
        "Protocol": [row.protocol or "the set's own" for row in rows],
        "Epochs": [f"{row.recipe['epochs']:,}" for row in rows],
        "Augmentation": [row.augmentation for row in rows],
        "Labels": [_labels(row) for row in rows],
        "Features": [features if features and row.label.startswith("synthetic") else "none" for row in rows],
        "Reported": ["last epoch" if row.selection == "last" else "best test" for row in rows],
    }
    common = [(name, texts[0]) for name, texts in cells.items() if len(set(texts)) == 1]
    alike = {name for name, _ in common}
    heads = [(name, "number" if name in ("Networks", "Epochs") else "") for name in cells if name not in alike]
    return Columns(heads, cells, [pair for pair in common if pair != ("Features", "none")])


def _labels(row: Evaluation) -> str:
    return row.labels if row.label_kind == "hard" else f"{row.labels} ({row.label_kind})"


def label(name: str) -> str:
    """Write what networks were trained on for the eye."""
    return LABELS.get(name, name)


def percent(value: float) -> str:
    """Write a share in [0, 1] as per cent with one decimal, without the sign."""
    return f"{100 * value:.1f}"


def duration(seconds: float) -> str:
    """Write a time for the eye: 0.4 s, 48 s, 12 min 5 s, 3 h 20 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, hours = whole // 60, whole // 3600
    return f"{minutes} min {whole % 60} s" if hours == 0 else f"{hours} h {minutes % 60} min"


def flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Turn nested settings into (dotted name, text) pairs, leaving out what is not set."""
    pairs: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            pairs += flatten(value, f"{prefix}{key}.")
        elif value is not None:
            pairs.append((f"{prefix}{key}", _plain(value)))
    return pairs


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(_plain(part) for part in value.values())
    if isinstance(value, list | tuple):
        return ", ".join(_plain(part) for part in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


FILTERS = {
    "percent": percent,
    "label": label,
    "columns": columns,
    "size": format_bytes,
    "duration": duration,
    "flatten": flatten,
}
"""What the template may write numbers with."""
