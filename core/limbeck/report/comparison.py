"""The page of a comparison: one self-contained HTML file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from markupsafe import Markup

from limbeck.compare import BASELINE, RUNS, WHOLE, Asked, Line, Outcome, Table
from limbeck.errors import LimbeckError
from limbeck.files import write_atomic
from limbeck.report.figures import duration
from limbeck.report.gallery import NATIVE, TILE, group_names, uris
from limbeck.report.template import fill
from limbeck.synthetic import SyntheticSet
from limbeck.synthetic.preview import shrink

FILE = "compare.html"

TILES, EACH = 12, 4
"""Images a method shows at one ipc at most, about, and of one class."""


def write_comparison(folder: Path, outcome: Outcome) -> Path:
    """Write the page of a comparison into its folder: one file that needs no other and no network.

    Args:
        folder: of the comparison; sets are read from its run folders.
        outcome: what is finished and what failed.

    Returns:
        The file written.

    Raises:
        UsageError: the folder cannot be written.
    """
    path = folder / FILE
    write_atomic(path, render(folder, outcome).encode())
    return path


def rewrite_comparison(folder: Path) -> Path:
    """Write the page and the tables of a comparison again from its rows and run folders; nothing is measured.

    Args:
        folder: of the comparison, which another process may be continuing meanwhile.

    Returns:
        The page.

    Raises:
        ArtifactError: no finished row, or a damaged file.
        UsageError: the folder cannot be written.
    """
    outcome = Outcome.load(folder)
    outcome.table.save(folder)
    return write_comparison(folder, outcome)


def render(folder: Path, outcome: Outcome) -> str:
    """Return the page as HTML; every text is escaped."""
    table = outcome.table
    asked = table.asked
    methods = [line for line in table.lines if line.method != WHOLE]
    return fill(
        "compare.html.j2",
        script="compare.js",
        asked=asked,
        budget=_budget(asked),
        lines=table.lines,
        has={name: any(getattr(line, name) is not None for line in table.lines) for name in ("lrs", "pace")},
        how=table.lines[0].rows[0].measured if table.lines else None,
        whole=next((line for line in table.lines if line.method == WHOLE), None),
        best={ipc: _best(methods, ipc) for ipc in asked.ipcs},
        baseline=BASELINE,
        finished=len(table.rows),
        planned=len(asked.places),
        failures=outcome.failures,
        charts=[chart for ipc in asked.ipcs if (chart := _charts(table, ipc))],
        pictures=[shown for ipc in asked.ipcs if (shown := _pictures(folder, table, ipc))],
        changes=_changes(methods),
    )


def _budget(asked: Asked) -> str:
    """Say what every method may spend, or nothing where each has a budget of its own."""
    parts = [f"{asked.budget[name]:,} {name}" for name in ("steps", "iterations") if name in asked.budget]
    return " or ".join([*parts, *([duration(asked.budget["seconds"])] if "seconds" in asked.budget else [])])


def _best(lines: list[Line], ipc: int) -> str | None:
    own = [line for line in lines if line.ipc == ipc]
    return max(own, key=lambda line: line.mean).method if own else None


def _charts(table: Table, ipc: int) -> dict[str, Any] | None:
    from limbeck.report.compare_charts import methods_svg, seconds_svg

    lines = [line for line in table.lines if line.ipc == ipc]
    best = _best(lines, ipc)
    if best is None:
        return None
    ceiling = next((line.mean for line in table.lines if line.method == WHOLE), None)
    times = {
        line.method: (max(line.seconds + line.features_seconds, 1e-3), line.mean, line.std)
        for line in lines
        if line.seconds is not None
    }
    return {
        "ipc": ipc,
        "accuracy": Markup(methods_svg({line.method: line.accuracies for line in lines}, best, ceiling)),
        "seconds": Markup(seconds_svg(times, best)),
    }


@dataclass(frozen=True)
class Strip:
    """One method's images.

    Attributes:
        method: its name.
        classes: data URIs of each class that is shown.
    """

    method: str
    classes: list[list[str]]


@dataclass(frozen=True)
class Pictures:
    """The sets of one ipc side by side.

    Attributes:
        ipc: images per class.
        names: of the classes that are shown.
        of: number of all classes.
        each: images of a class that are shown.
        strips: one a method.
        width: displayed width of an image in CSS pixels.
        height: displayed height likewise.
    """

    ipc: int
    names: list[str]
    of: int
    each: int
    strips: list[Strip]
    width: int
    height: int


def _pictures(folder: Path, table: Table, ipc: int) -> Pictures | None:
    """Collect some classes of the first seed's sets; a set that is not there any more is passed over."""
    sets: dict[str, SyntheticSet] = {}
    for line in table.lines:
        if line.ipc == ipc:
            try:
                sets[line.method] = SyntheticSet.load(folder / RUNS / line.rows[0].run)
            except LimbeckError:
                continue
    if not sets:
        return None
    first = next(iter(sets.values()))
    names, _ = group_names(first)
    each = min(ipc, EACH)
    chosen = _spread(len(names), max(3, TILES // each))
    height, width = shrink(first.images[0], NATIVE).shape[-2:]
    factor = max(1, round(TILE / max(height, width)))
    strips = [Strip(method, _uris(synthetic, chosen, each)) for method, synthetic in sets.items()]
    return Pictures(ipc, [names[k] for k in chosen], len(names), each, strips, width * factor, height * factor)


def _uris(synthetic: SyntheticSet, groups: list[int], each: int) -> list[list[str]]:
    kept = torch.isin(synthetic.group, torch.tensor(groups))
    position = {group: k for k, group in enumerate(groups)}
    group = torch.tensor([position[int(g)] for g in synthetic.group[kept]])
    return uris(synthetic.unit()[kept], group, len(groups), each, NATIVE)


def _spread(count: int, most: int) -> list[int]:
    """Return at most so many of ``count`` classes, evenly spread."""
    if count <= most:
        return list(range(count))
    return [k * count // most for k in range(most)]


def _changes(lines: list[Line]) -> dict[str, dict[str, Any]]:
    """Gather how each method's runs differ from its published settings, and what was published for them."""
    return {
        f"{line.method}, ipc {line.ipc}": {"deviations": line.rows[0].deviations, "published": line.rows[0].published}
        for line in lines
        if line.rows[0].deviations or line.rows[0].published
    }
