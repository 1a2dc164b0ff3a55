"""Charts of full training: what architectures reach, and what one seed says of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from limbeck.report.charts import OTHER, drawing, new_axes, svg
from limbeck_applications.nas.report.charts import look, percents
from limbeck_applications.nas.tables.resampling import Array

SPANS = 300
"""Architectures up to which the range over seeds is drawn: of more, lines would cover each other."""


def sorted_svg(runs: Sequence[Sequence[float]], groups: Mapping[str, Sequence[int]]) -> str:
    """Draw the mean accuracy of each architecture, the best at the left, with a line down its range over seeds.

    Args:
        runs: accuracies of each architecture in [0, 1], the best first, at least one each.
        groups: places of the architectures of each group, at most as many groups as there are colours.

    Returns:
        An ``<svg>`` element.
    """
    means = np.array([100 * float(np.mean(own)) for own in runs])
    with drawing():
        figure, axes = new_axes(300, left=58, top=8, right=14, bottom=42)
        for k, places in enumerate(groups.values()):
            chosen, own = np.asarray(places), look(k)
            if len(runs) <= SPANS:
                low, high = ([100 * end(runs[place]) for place in places] for end in (min, max))
                axes.vlines(chosen + 1, low, high, color=own["color"], linewidth=1.2, alpha=0.6)
            axes.scatter(chosen + 1, means[chosen], s=20, alpha=0.85, linewidth=0, **own)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
        axes.set_xlim(0.2, len(runs) + 0.8)
        axes.margins(y=0.06)
        percents(axes.yaxis)
        axes.grid(axis="y")
        axes.set_xlabel("rank")
        axes.set_ylabel("accuracy")
        said = f"the best {means[0]:.2f} %, the median {np.median(means):.2f} %, the worst {means[-1]:.2f} %"
        return svg(figure, f"Accuracies of {len(runs)} architectures in order: {said}")


def seeds_svg(one: Array, other: Array, groups: Mapping[str, Sequence[int]], seeds: tuple[int, int]) -> str:
    """Draw accuracies from one seed against those from another, with the line on which both are equal.

    Args:
        one: in [0, 1], shape [n].
        other: likewise, of the same architectures.
        groups: places of the architectures of each group, none where a colour is only to be passed over.
        seeds: numbers of the two, along and up.

    Returns:
        An ``<svg>`` element.
    """
    both = 100 * np.concatenate([one, other])
    room = 0.05 * max(float(np.ptp(both)), 0.1)
    ends = float(both.min()) - room, float(both.max()) + room
    with drawing():
        figure, axes = new_axes(300, left=58, top=8, right=14, bottom=42)
        axes.plot(ends, ends, color=OTHER, linewidth=1, linestyle=(0, (4, 4)))
        for k, places in enumerate(groups.values()):
            chosen = np.asarray(places, dtype=np.intp)
            axes.scatter(100 * one[chosen], 100 * other[chosen], s=26, alpha=0.7, linewidth=0, **look(k))
        axes.set(xlim=ends, ylim=ends)
        percents(axes.xaxis)
        percents(axes.yaxis)
        axes.grid()
        axes.set_xlabel(f"seed {seeds[0]}")
        axes.set_ylabel(f"seed {seeds[1]}")
        return svg(figure, f"Accuracy of {len(one)} architectures from seed {seeds[1]} against that from {seeds[0]}")
