"""Charts of rankings and searches, drawn as those of other pages are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from limbeck.report.charts import (
    ACCENT,
    INK,
    LINE,
    OTHER,
    SERIES,
    drawing,
    log_ticks,
    new_axes,
    stand_in,
    svg,
)
from limbeck_applications.nas.tables.resampling import Array
from limbeck_applications.nas.tables.statistics import Estimate

LONG = 28
"""Letters of a proxy's name that are written: enough for a method and what else was asked."""

STYLES = ("-", (0, (5, 2)), (0, (1, 1.5)))
"""Ways to draw lines, of one colour after the other."""

MARKS = {"disc": "o", "square": "s", "triangle": "^", "diamond": "D", "wedge": "v", "plus": "P"}
"""Shapes of points by what pages call them, so that colours are not all that tells groups apart."""


def scatter_svg(scores: Array, accuracies: Array, groups: Mapping[str, Sequence[int]], name: str) -> str:
    """Draw the accuracy of full training against a proxy's score, one mark for each architecture.

    Args:
        scores: shape [n]; those without a score are minus infinity and stand at the left edge, hollow.
        accuracies: in [0, 1], shape [n].
        groups: places of the architectures of each group, at most as many groups as there are colours.
        name: of the proxy.

    Returns:
        An ``<svg>`` element. The axis of scores is logarithmic where they are positive and span two decades or more.
    """
    known = scores[np.isfinite(scores)]
    with drawing():
        figure, axes = new_axes(270, left=58, top=8, right=14, bottom=42)
        for k, places in enumerate(groups.values()):
            chosen = np.asarray(places)
            has = chosen[np.isfinite(scores[chosen])]
            without = chosen[~np.isfinite(scores[chosen])]
            own = look(k)
            axes.scatter(scores[has], 100 * accuracies[has], s=26, alpha=0.7, linewidth=0, **own)
            if len(without):
                edge = np.full(len(without), 0.015)
                across = axes.get_yaxis_transform()
                hollow: dict[str, Any] = {"facecolors": "none", "edgecolors": own["color"], "marker": own["marker"]}
                axes.scatter(edge, 100 * accuracies[without], s=22, transform=across, clip_on=False, **hollow)
        _scores(axes.xaxis, known)
        room = 0.06 * max(100 * float(np.ptp(accuracies)), 0.1)
        axes.margins(x=0.06)
        axes.set_ylim(100 * float(accuracies.min()) - room, 100 * float(accuracies.max()) + room)
        percents(axes.yaxis)
        axes.grid()
        axes.set_xlabel("score")
        axes.set_ylabel("accuracy")
        missing = len(scores) - len(known)
        gone = f", {missing} without a score" if missing else ""
        return svg(figure, f"Accuracy of {len(scores)} architectures against the score of {name}{gone}")


def intervals_svg(estimates: Mapping[str, Estimate], best: str, floor: float | None) -> str:
    """Draw correlations as dots with their intervals, one proxy below the other.

    Args:
        estimates: defined ones, at least one, by proxy in the order they are drawn from the top.
        best: the proxy that is accented.
        floor: correlation of one seed of full training with another, a line down, or None.

    Returns:
        An ``<svg>`` element.
    """
    left = 16 + 7 * min(LONG, max(map(len, estimates)))
    with drawing():
        figure, axes = new_axes(34 + 26 * len(estimates), left, top=4, right=20, bottom=30)
        for k, (name, found) in enumerate(estimates.items()):
            value, colour = found.value or 0.0, ACCENT if name == best else OTHER
            low, high = (value if end is None else end for end in (found.low, found.high))
            ends = [[max(0.0, value - low)], [max(0.0, high - value)]]
            axes.errorbar(value, k, xerr=ends, color=colour, marker="o", markersize=6, capsize=4, elinewidth=1.6)
        if floor is not None:
            axes.axvline(floor, color=INK, linewidth=1, linestyle=(0, (4, 4)))
        if axes.get_xlim()[0] < 0:
            axes.axvline(0, color=LINE, linewidth=1.4)
        axes.set_ylim(len(estimates) - 0.5, -0.5)
        axes.set_yticks(range(len(estimates)), [stand_in(k) for k in range(len(estimates))])
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.margins(x=0.04)
        axes.grid(axis="x")
        said = (f"{name} {found.value:.3f}" for name, found in estimates.items())
        return svg(figure, f"Spearman correlation with full training: {', '.join(said)}", list(estimates), LONG)


def front_svg(points: Sequence[tuple[float, float]], chosen: Sequence[int], what: str, cost: str) -> str:
    """Draw what architectures reach against what they cost, and a line along those that none beats in both.

    Args:
        points: cost (above 0) and accuracy or score of each architecture.
        chosen: places of those that none beats.
        what: "accuracy", drawn in per cent, or "score".
        cost: name of the cost.

    Returns:
        An ``<svg>`` element; the axis of costs is logarithmic.
    """
    factor = 100 if what == "accuracy" else 1
    costs, values = (np.array([point[k] for point in points]) for k in (0, 1))
    front = sorted(chosen, key=lambda place: points[place])
    with drawing():
        figure, axes = new_axes(270, left=66, top=8, right=14, bottom=42)
        axes.scatter(costs, factor * values, s=20, color=OTHER, alpha=0.6, linewidth=0)
        axes.plot(costs[front], factor * values[front], color=ACCENT, linewidth=1.4, drawstyle="steps-post", marker="o")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(_count))
        log_ticks(axes, costs, 5)
        axes.margins(x=0.05, y=0.06)
        percents(axes.yaxis) if factor == 100 else _scores(axes.yaxis, values)
        axes.grid()
        axes.set_xlabel(cost)
        axes.set_ylabel(what)
        return svg(
            figure, f"{what.capitalize()} against {cost}: {len(front)} of {len(points)} are beaten by none in both"
        )


def curves_svg(curves: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """Draw the best score so far after each evaluation: a thin line a search, and the mean of each searcher's.

    Args:
        curves: of each search, by searcher; minus infinity while there is no score. At least one point each.

    Returns:
        An ``<svg>`` element. The axis of scores is logarithmic where they are positive and span two decades or more.
    """
    with drawing():
        figure, axes = new_axes(300, left=58, top=8, right=14, bottom=42)
        for k, searches in enumerate(curves.values()):
            own: dict[str, Any] = {
                "color": SERIES[k % len(SERIES)],
                "linestyle": STYLES[k // len(SERIES) % len(STYLES)],
            }
            for curve in searches:
                axes.plot(
                    range(1, len(curve) + 1), _finite(curve), alpha=0.4, linewidth=0.9, drawstyle="steps-post", **own
                )
            shortest = min(map(len, searches))
            mean = np.mean([_finite(curve[:shortest]) for curve in searches], axis=0)
            mark = "o" if shortest == 1 else None
            axes.plot(range(1, shortest + 1), mean, linewidth=2, drawstyle="steps-post", marker=mark, **own)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
        _scores(axes.yaxis, np.concatenate([np.asarray(own) for searches in curves.values() for own in searches]))
        axes.margins(x=0.02)
        axes.grid(axis="y")
        axes.set_xlabel("evaluations")
        axes.set_ylabel("best score so far")
        ends = (f"{name} {np.mean([own[-1] for own in each]):.4g}" for name, each in curves.items())
        return svg(figure, f"Best score so far, mean at the end: {', '.join(ends)}")


def _scores(axis: Axis, values: Array) -> None:
    """Mark an axis of scores, logarithmic where they are positive and span two decades or more."""
    known = values[np.isfinite(values)]
    if len(known) > 0 and known.min() > 0 and known.max() >= 100 * known.min():
        (axis.axes.set_xscale if axis is axis.axes.xaxis else axis.axes.set_yscale)("log")
        axis.set_major_locator(LogLocator(numticks=6))
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(_count))


def look(group: int) -> dict[str, Any]:
    """Return the colour and the mark of a group's points."""
    return {"color": SERIES[group % len(SERIES)], "marker": tuple(MARKS.values())[group % len(MARKS)]}


def percents(axis: Axis) -> None:
    """Mark an axis in per cent."""
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))


def _finite(curve: Sequence[float]) -> Array:
    values = np.array(curve, dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _count(value: float, _: int) -> str:
    """Write a number short: 0.2, 1.5k, 1,002, 25k, 3.1M, 2e+12."""
    size = abs(value)
    if 1e3 <= size < 1e4 and float(f"{value:.3g}") != value:
        return f"{value:,.0f}"
    for least, divisor, unit in ((1e12, 0.0, ""), (1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e3, 1e3, "k")):
        if size >= least:
            return f"{value / divisor:.3g}{unit}" if divisor else f"{value:.0e}"
    return f"{value:g}"
