"""The page of a comparison: one self-contained HTML file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from markupsafe import Markup

from limbeck.compare import BASELINE, WHOLE, Comparison, Line, Outcome, Table
from limbeck.compare.run import RUNS
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


def write_comparison(folder: Path, outcome: Outcome, command: str = "") -> Path:
    """Write the page of a comparison into its folder: one file that needs no other and no network.

    Args:
        folder: of the comparison; sets are read from its run folders.
        outcome: what is finished and what failed.
        command: what was typed, to be typed again.

    Returns:
        The file written.

    Raises:
        UsageError: the folder cannot be written.
    """
    path = folder / FILE
    write_atomic(path, render(folder, outcome, command).encode())
    return path


def render(folder: Path, outcome: Outcome, command: str = "") -> str:
    """Return the page as HTML; every text is escaped."""
    table = outcome.table
    config = table.comparison.config
    methods = [line for line in table.lines if line.method != WHOLE]
    return fill(
        "compare.html.j2",
        script="compare.js",
        title={"data": config.data.name, "ipcs": table.comparison.ipcs, "methods": table.comparison.methods},
        config=config,
        budget=_budget(table.comparison),
        own_recipes=table.comparison.own_recipes,
        lines=table.lines,
        how=table.lines[0].rows[0].measured if table.lines else None,
        whole=next((line for line in table.lines if line.method == WHOLE), None),
        best={ipc: _best(methods, ipc) for ipc in table.comparison.ipcs},
        baseline=BASELINE,
        finished=len(table.rows),
        planned=len(table.comparison.entries),
        failures=outcome.failures,
        charts=[chart for ipc in table.comparison.ipcs if (chart := _charts(table, ipc))],
        pictures=[shown for ipc in table.comparison.ipcs if (shown := _pictures(folder, table, ipc))],
        changes=_changes(methods),
        command=command,
    )


def _budget(comparison: Comparison) -> str:
    """Say what every method may spend, or nothing where each has a budget of its own."""
    budgets = {entry.config.budget for entry in comparison.entries if entry.config.matcher is not None}
    if len(budgets) != 1:
        return ""
    budget = budgets.pop()
    parts = [f"{budget.steps:,} steps"] if budget.steps else []
    parts += [f"{budget.iterations:,} iterations"] if budget.iterations else []
    return " or ".join([*parts, *([duration(budget.seconds)] if budget.seconds else [])])


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
