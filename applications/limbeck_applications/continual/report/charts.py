"""Accuracy after each experience, drawn as the charts of other pages are."""

from __future__ import annotations

from collections.abc import Sequence, Set

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from limbeck.report.charts import ACCENT, LINE, OTHER, drawing, new_axes, svg
from limbeck.report.compare_charts import GAP, apart
from limbeck_applications.continual.matrix import Spread

STYLES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
"""Ways to draw lines of one colour."""

BOTTOM, TOP, PITCH = 42, 8, 20
"""Margins below and above, and height for each line, in SVG units."""


def curves_svg(curves: Sequence[Sequence[Spread]], accented: Set[int]) -> str:
    """Draw ``ACC_t`` of strategies after each experience: means, and a band of one deviation on either side.

    Args:
        curves: in [0, 1], by falling last accuracy; lines are numbered from 1 in this order, at their ends.
        accented: positions of the lines in the accent's colour.

    Returns:
        An ``<svg>`` element.
    """
    height = max(260, 60 + PITCH * len(curves))
    with drawing():
        figure, axes = new_axes(height, left=52, top=TOP, right=44, bottom=BOTTOM)
        for k, curve in reversed(list(enumerate(curves))):
            steps, colour = range(1, len(curve) + 1), ACCENT if k in accented else OTHER
            mean, std = (100 * np.array([getattr(each, name) for each in curve]) for name in ("mean", "std"))
            axes.fill_between(steps, mean - std, mean + std, color=colour, alpha=0.14, linewidth=0)
            style = STYLES[sum((i in accented) == (k in accented) for i in range(k)) % len(STYLES)]
            marker = "o" if len(curve) == 1 else None
            axes.plot(steps, mean, color=colour, linewidth=1.6, linestyle=style, marker=marker)
        axes.set_ylim(bottom=max(0.0, axes.get_ylim()[0]))
        _number(axes, curves, GAP / (height - TOP - BOTTOM))
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
        axes.margins(x=0.02)
        axes.grid(axis="y")
        axes.set_xlabel("experiences learned")
        ends = (f"{k}: {100 * curve[-1].mean:.1f} %" for k, curve in enumerate(curves, 1))
        return svg(figure, f"Accuracy after each experience, at the end {', '.join(ends)}")


def _number(axes: Axes, curves: Sequence[Sequence[Spread]], gap: float) -> None:
    """Write the number of each line beside its end, with a line to it where there is no room just there."""
    low, high = axes.get_ylim()
    rising = list(enumerate(curves, 1))[::-1]
    ends = [(100 * curve[-1].mean - low) / (high - low) for _, curve in rising]
    across = axes.get_yaxis_transform()
    for (number, curve), place in zip(rising, apart(ends, gap), strict=True):
        point, beside = (len(curve), 100 * curve[-1].mean), (1.05, low + place * (high - low))
        axes.annotate("", point, beside, "data", across, {"arrowstyle": "-", "color": LINE})
        axes.text(1.06, place, f"{number}", va="center", transform=axes.transAxes, fontsize=11)
