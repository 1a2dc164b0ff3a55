"""Charts of a comparison, drawn as those of a run are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from limbeck.report.charts import ACCENT, INK, LINE, LONGEST, OTHER, drawing, log_ticks, new_axes, stand_in, svg

GAP = 15
"""Least distance of two names that stand below each other, in SVG units."""


def methods_svg(accuracies: Mapping[str, Sequence[float]], best: str, ceiling: float | None = None) -> str:
    """Draw the accuracy of every network of each method as a dot, and mean ± deviation as a bar with ends.

    Args:
        accuracies: in [0, 1], at least one each, by method, in the order they are drawn from the top.
        best: the method that is accented.
        ceiling: accuracy on the whole data set, drawn as a line down, or None.

    Returns:
        An ``<svg>`` element.
    """
    left = 16 + 7 * min(LONGEST, max(map(len, accuracies)))
    with drawing():
        figure, axes = new_axes(34 + 30 * len(accuracies), left, top=4, right=26, bottom=30)
        for k, (method, values) in enumerate(accuracies.items()):
            colour, points = ACCENT if method == best else OTHER, 100 * np.array(values)
            axes.scatter(points, np.full(len(points), k), s=26, color=colour, alpha=0.45, linewidth=0)
            axes.errorbar(points.mean(), k, xerr=points.std(), color=colour, capsize=5, elinewidth=1.6, capthick=1.6)
            axes.plot([points.mean()] * 2, [k - 0.3, k + 0.3], color=colour, linewidth=2.4)
        if ceiling is not None:
            axes.axvline(100 * ceiling, color=INK, linewidth=1, linestyle=(0, (4, 4)))
        axes.set_ylim(len(accuracies) - 0.5, -0.5)
        axes.set_yticks(range(len(accuracies)), [stand_in(k) for k in range(len(accuracies))])
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
        axes.margins(x=0.06)
        axes.grid(axis="x")
        means = (f"{name} {100 * float(np.mean(values)):.1f} %" for name, values in accuracies.items())
        return svg(figure, f"Test accuracy of each method: {', '.join(means)}", list(accuracies))


def seconds_svg(points: Mapping[str, tuple[float, float, float]], best: str) -> str:
    """Draw accuracy against the time that making a set took, each method by name.

    Args:
        points: seconds (above 0), mean accuracy and its deviation in [0, 1], by method.
        best: the method that is accented.

    Returns:
        An ``<svg>`` element; see ``against_seconds_svg``.
    """
    ranges = {
        name: (seconds, 100 * mean, 100 * (mean - std), 100 * (mean + std))
        for name, (seconds, mean, std) in points.items()
    }
    return against_seconds_svg(ranges, best, "Accuracy", unit=" %")


def against_seconds_svg(
    points: Mapping[str, tuple[float, float, float, float]],
    best: str,
    what: str,
    *,
    unit: str = "",
    digits: int = 1,
    longest: int = LONGEST,
) -> str:
    """Draw a figure against the time it took, each point by name.

    Args:
        points: seconds (above 0), figure, and the lower and upper end of its range, by name.
        best: the name that is accented.
        what: the figure's name.
        unit: of the figure.
        digits: that a screen reader is told behind its point.
        longest: letters of a name that are written.

    Returns:
        An ``<svg>`` element. The axis of time is logarithmic; names stand at its end, on lines to their points.
    """
    right, height = 24 + 7 * min(longest, max(map(len, points))), max(230, 60 + GAP * len(points))
    names = sorted(points, key=lambda name: points[name][1])
    with drawing():
        figure, axes = new_axes(height, left=52, top=8, right=right, bottom=42)
        for name, (seconds, value, least, most) in points.items():
            colour, ends = ACCENT if name == best else OTHER, [[value - least], [most - value]]
            axes.errorbar(seconds, value, yerr=ends, color=colour, marker="o", markersize=6, capsize=4)
        axes.set_xscale("log")
        log_ticks(axes, [seconds for seconds, *_ in points.values()])
        axes.margins(x=0.1, y=0.1)
        low, high = axes.get_ylim()
        places = apart([(points[name][1] - low) / (high - low) for name in names], GAP / (height - 50))
        across = axes.get_yaxis_transform()
        for k, (name, place) in enumerate(zip(names, places, strict=True)):
            beside = (1.03, low + place * (high - low))
            axes.annotate("", points[name][:2], beside, "data", across, {"arrowstyle": "-", "color": LINE})
            axes.text(1.05, place, stand_in(k), va="center", transform=axes.transAxes)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}{unit}"))
        axes.grid(axis="y")
        axes.set_xlabel("seconds")
        said = (f"{name} {value:.{digits}f}{unit} in {seconds:.3g} s" for name, (seconds, value, *_) in points.items())
        return svg(figure, f"{what} against seconds: {', '.join(said)}", names, longest)


def apart(places: Sequence[float], gap: float) -> list[float]:
    """Move rising places in [0, 1] up where they are nearer than ``gap``, and down where they would leave the top."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + gap) if moved else place)
    top = 1.0
    for k in reversed(range(len(moved))):
        moved[k] = min(moved[k], top)
        top = moved[k] - gap
    return moved
