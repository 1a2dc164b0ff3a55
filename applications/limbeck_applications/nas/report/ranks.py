"""What the page of a ranking shows beside the drawings: charts and tables of correlations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from limbeck.report.compare_charts import against_seconds_svg
from limbeck_applications.nas.report.charts import LONG, intervals_svg, scatter_svg
from limbeck_applications.nas.report.space import colours, front_rows, fronts, legend
from limbeck_applications.nas.tables.ranked import Line
from limbeck_applications.nas.tables.results import Results
from limbeck_applications.nas.tables.statistics import Estimate

FEWEST_SECONDS = 1e-3
"""Where a proxy that takes no time stands on an axis of seconds."""


@dataclass(frozen=True)
class Row:
    """One proxy in the table.

    Attributes:
        line: what it came to.
        above: how far its rho lies above that of the parameter count, among the architectures it has scores for.
        scored: its rho among these; None where it has a score for every one.
        baseline: that of the parameter count among them, likewise.
    """

    line: Line
    above: Estimate | None
    scored: Estimate | None
    baseline: Estimate | None


@dataclass(frozen=True)
class Within:
    """Spearman's rho within groups of one kind.

    Attributes:
        title: of the kind.
        heads: name of each group, and its number of architectures, 0 where that differs from proxy to proxy.
        rows: for each proxy an estimate for each group, the difference to the parameter count or None, and whether the
            proxy has a score for all of the group.
        floor: what full training from another seed reaches in each group.
    """

    title: str
    heads: list[tuple[str, int]]
    rows: list[tuple[str, list[tuple[Estimate, Estimate | None, bool]]]]
    floor: list[Estimate]


def rank_values(results: Results) -> dict[str, Any]:
    """Return what the template of a ranking's page is filled with."""
    rows, worth = [_row(results, line) for line in results.lines], _worth(results)
    return {
        "rows": rows,
        "unfinished": _unfinished(results),
        "verdict": next((row for row in rows if row.line is results.best), None),
        "intervals": _intervals(results),
        "costs": _against_seconds(results),
        "scatters": _scatters(results),
        "legend": legend(results),
        "trait": colours(results)[0],
        "within": _within(results),
        "fronts": fronts(results, *worth) if worth else [],
        "cheapest": front_rows(results, worth[1]) if worth else [],
    }


def _unfinished(results: Results) -> str:
    """Return one sentence on the rankings that are not finished."""
    total, rankings = len(results.outcome.architectures), results.outcome.rankings
    left = [each for each in rankings if not each.failed and len(each.scores) < total]
    begun = [f"{each.proxy}, seed {each.seed}, {len(each.scores)} of {total} scored" for each in left if each.scores]
    if not left:
        return ""
    return f"{len(left)} of {len(rankings)} rankings are not finished{': ' if begun else ''}{'; '.join(begun)}."


def _row(results: Results, line: Line) -> Row:
    above, baseline = results.above(line), results.baseline
    if line.whole or line.truth is None:
        return Row(line, above, None, None)
    return Row(line, above, line.within(line.scored), baseline.within(line.scored) if baseline else None)


def _short(proxy: str) -> str:
    """Return what a chart calls a proxy: of a distilled set the method and what else was asked."""
    return proxy.removeprefix("distilled [").removesuffix("]") if proxy.startswith("distilled [") else proxy


def _named(line: Line) -> str:
    """Return what a chart calls a line, with the number of architectures where it is not that of all."""
    return _short(line.proxy) + ("" if line.whole else f", {len(line.scored)} scored")


def _defined(results: Results) -> dict[str, Estimate]:
    known = {
        _named(line): line.spearman if line.whole else line.within(line.scored)
        for line in results.lines
        if line.truth is not None
    }
    return {name: found for name, found in known.items() if found is not None and found.value is not None}


def _intervals(results: Results) -> Markup:
    known = _defined(results)
    if not known:
        return Markup("")
    order = dict(sorted(known.items(), key=lambda each: -(each[1].value or 0.0)))
    return Markup(intervals_svg(order, _best_short(results), results.floor.value if results.floor else None))


def _best_short(results: Results) -> str:
    return "" if results.best is None else _short(results.best.proxy)


def _against_seconds(results: Results) -> Markup:
    known = _defined(results)
    if not known:
        return Markup("")
    points = {}
    for line in results.lines:
        if found := known.get(_named(line)):
            value = found.value or 0.0
            low, high = (value if end is None else end for end in (found.low, found.high))
            points[_named(line)] = max(FEWEST_SECONDS, line.seconds), value, min(value, low), max(value, high)
    return Markup(against_seconds_svg(points, _best_short(results), "Spearman correlation", digits=3, longest=LONG))


def _scatters(results: Results) -> list[tuple[Line, Markup]]:
    """Draw a panel for each proxy, of the first seed where it has several."""
    groups = colours(results)[1]
    return [
        (line, Markup(scatter_svg(line.scores[0], line.truth, groups, line.proxy)))
        for line in results.lines
        if line.truth is not None
    ]


def _within(results: Results) -> list[Within]:
    """Gather the groups by kind: the best of full training, the best by the proxy itself, and each trait.

    A group in which no proxy has a correlation, such as the best two of a few, is left out.
    """
    if results.truth is None or not results.lines:
        return []
    kinds = {"Best by full training": "true top", "Best by the proxy itself": "own top"}
    kinds |= {trait.capitalize(): trait for trait in results.traits}
    found = [_kind(results, title, f"{prefix} ") for title, prefix in kinds.items()]
    return [table for table in found if table.heads]


def _kind(results: Results, title: str, prefix: str) -> Within:
    every = {line.proxy: results.groups(line) for line in results.lines}
    names = [name for name in next(iter(every.values())) if name.startswith(prefix)]
    names = [
        name for name in names if any(line.within(every[line.proxy][name]).value is not None for line in results.lines)
    ]
    heads = []
    for name in names:
        sizes = {len(groups[name]) for groups in every.values()}
        heads.append((name.removeprefix(prefix), sizes.pop() if len(sizes) == 1 else 0))
    rows = []
    for line in results.lines:
        groups = every[line.proxy]
        other = results.baseline if not prefix.startswith("own") else None
        cells = []
        for places in (groups[name] for name in names):
            above = line.within(places, other) if other else None
            cells.append((line.within(places), above, bool(line.known[places].all())))
        rows.append((line.proxy, cells))
    return Within(title, heads, rows, [results.floors[name] for name in names])


def _worth(results: Results) -> tuple[str, list[float]] | None:
    """Return what architectures are worth: accuracy of full training or, without a table, the first proxy's rank."""
    if results.truth is not None:
        return "accuracy", [float(value) for value in results.truth]
    return None if results.best is None else ("rank", [float(value) for value in results.best.order])
