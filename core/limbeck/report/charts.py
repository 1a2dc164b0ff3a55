"""Charts as inline SVG: text stays text, and colours are the page's, so that they follow light and dark."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from limbeck.files import sha256

WIDTH = 440
"""Width in SVG units; a page shows one unit as about one pixel."""

LONGEST = 19
"""Letters of a name that are written; of a longer one the middle is cut."""

BINS = 300
"""Points of a curve; a longer log is drawn as the mean of each bin over the range it spans."""

INK, LINE, ACCENT, OTHER = "#0a0b0c", "#1a1b1c", "#2a2b2c", "#3a3b3c"
SERIES = ("#4a4b4c", "#5a5b5c", "#6a6b6c", "#7a7b7c", "#8a8b8c", "#9a9b9c")
COLOURS = {
    INK: "var(--ink, #222)",
    LINE: "var(--line, #ccc)",
    ACCENT: "var(--accent, #a8481f)",
    OTHER: "var(--other, #8a94a3)",
    **{own: f"var(--series-{k}, #444)" for k, own in enumerate(SERIES, 1)},
}
"""Stand-ins that matplotlib draws with, and what they become in the page."""

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "limbeck",
    "svg.fonttype": "none",
    "font.size": 12,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": LINE,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.unicode_minus": False,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
}


def loss_curve_svg(rows: Sequence[Mapping[str, float]]) -> str:
    """Draw the loss against steps, with the seconds spent along the upper edge.

    Args:
        rows: "step", "loss" and "seconds" of each logged step, by rising step, all finite; at least one.

    Returns:
        An ``<svg>`` element. The loss axis is logarithmic when the losses span two decades or more.
    """
    return _against_steps(rows, "loss", "loss")


def rate_curve_svg(rows: Sequence[Mapping[str, float]]) -> str:
    """Draw the learning rate of students against steps, with the seconds spent along the upper edge.

    Args:
        rows: "step", "syn_lr" and "seconds" of each logged step, by rising step, all finite; at least one.

    Returns:
        An ``<svg>`` element, as of the loss.
    """
    return _against_steps(rows, "syn_lr", "learning rate")


def _against_steps(rows: Sequence[Mapping[str, float]], key: str, name: str) -> str:
    steps, values, seconds = (np.array([row[each] for row in rows]) for each in ("step", key, "seconds"))
    with drawing():
        figure, axes = new_axes(280, left=84, top=44, right=18, bottom=42)
        _curve(axes, steps, values)
        if values.min() > 0 and values.max() >= 100 * values.min():
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(numticks=8))
            axes.yaxis.set_minor_formatter(NullFormatter())
        else:
            axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(_short))
        axes.xaxis.set_major_formatter(FuncFormatter(_short))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
        axes.grid(axis="y")
        axes.set_xlabel("step")
        axes.set_ylabel(name)
        _seconds_axis(axes, steps, seconds)
        ends = (f"{values[k]:.3g} at step {steps[k]:.0f}" for k in (0, -1))
        return svg(figure, f"{name.capitalize()} against steps: {', '.join(ends)}")


def class_bars_svg(names: Sequence[str], series: Mapping[str, Sequence[float]]) -> str:
    """Draw the accuracy of every class as horizontal bars.

    Args:
        names: of the classes, in the order they are drawn from the top.
        series: accuracies in [0, 1] of each class, by what was trained on; the first is the accented one.

    Returns:
        An ``<svg>`` element.
    """
    thick = 11 if len(series) == 1 else 8
    pitch = thick * len(series) + 8
    left = 16 + 7 * min(LONGEST, max(map(len, names)))
    with drawing():
        figure, axes = new_axes(34 + pitch * len(names), left, top=4, right=26, bottom=30)
        places = np.arange(len(names), dtype=float)
        for k, values in enumerate(series.values()):
            offset = (k - (len(series) - 1) / 2) * thick / pitch
            colour = ACCENT if k == 0 else OTHER
            axes.barh(places + offset, np.array(values) * 100, height=thick / pitch, color=colour)
        axes.set(xlim=(0, 100), ylim=(len(names) - 0.5, -0.5))
        axes.set_yticks(places, [stand_in(k) for k in range(len(names))])
        axes.tick_params(axis="y", length=0)
        axes.set_xticks(range(0, 101, 20), [f"{tick}" for tick in range(0, 100, 20)] + ["100 %"])
        axes.grid(axis="x")
        return svg(figure, f"Test accuracy of each class: {', '.join(series)}", names)


def accuracies_svg(rows: Mapping[str, Sequence[float]], accent: str | None = None) -> str:
    """Draw the accuracy of every single network as a dot, and the mean of each row as a line across.

    Args:
        rows: accuracies in [0, 1], at least one each, by what was trained, or trained on.
        accent: the row that is accented; the first by default.

    Returns:
        An ``<svg>`` element.
    """
    left = 16 + 7 * min(LONGEST, max(map(len, rows)))
    with drawing():
        figure, axes = new_axes(34 + 30 * len(rows), left, top=4, right=26, bottom=30)
        for k, (name, values) in enumerate(rows.items()):
            is_accented = name == accent if accent else k == 0
            colour, points = ACCENT if is_accented else OTHER, 100 * np.array(values)
            axes.scatter(points, np.full(len(points), k), s=50, color=colour, alpha=0.55, linewidth=0)
            axes.plot([points.mean()] * 2, [k - 0.3, k + 0.3], color=colour, linewidth=2)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_yticks(range(len(rows)), [stand_in(k) for k in range(len(rows))])
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
        axes.margins(x=0.06)
        axes.grid(axis="x")
        return svg(figure, f"Test accuracy of each network: {', '.join(rows)}", list(rows))


def learning_curves_svg(curves: Mapping[str, tuple[Sequence[int], Sequence[Sequence[float]]]]) -> str:
    """Draw test accuracy against passes over the images: the mean over networks, and the range they span.

    Args:
        curves: by what was trained on, the finished passes at which networks were tested, and for each network its
            accuracies in [0, 1] there; at least one network each. The first is the accented one.

    Returns:
        An ``<svg>`` element.
    """
    with drawing():
        figure, axes = new_axes(250, left=58, top=8, right=18, bottom=42)
        for k, (passes, networks) in reversed(list(enumerate(curves.values()))):
            points, colour = 100 * np.array(networks), ACCENT if k == 0 else OTHER
            marker = "o" if len(passes) == 1 else None
            axes.fill_between(passes, points.min(0), points.max(0), color=colour, alpha=0.2, linewidth=0)
            axes.plot(passes, points.mean(0), color=colour, linewidth=1.6, marker=marker)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
        axes.xaxis.set_major_formatter(FuncFormatter(_short))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
        axes.margins(x=0.01)
        axes.grid(axis="y")
        axes.set_xlabel("passes over the images")
        return svg(figure, f"Test accuracy while networks learn, trained on: {', '.join(curves)}")


@contextmanager
def drawing() -> Iterator[None]:
    """Draw with our own settings whatever the user's are, and give the user's back."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def new_axes(height: int, left: int, top: int, right: int, bottom: int) -> tuple[Figure, Axes]:
    """Make a figure of ``WIDTH`` by ``height`` units, and axes that leave the margins free."""
    figure = Figure(figsize=(WIDTH / 72, height / 72))
    place = (left / WIDTH, bottom / height, 1 - (left + right) / WIDTH, 1 - (top + bottom) / height)
    axes = figure.add_axes(place)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure, axes


def _curve(axes: Axes, steps: NDArray[np.float64], losses: NDArray[np.float64]) -> None:
    if len(steps) > BINS:
        edges = np.linspace(0, len(steps), BINS + 1).astype(int)[:-1]
        sizes = np.diff(np.append(edges, len(steps)))
        lowest, highest = np.minimum.reduceat(losses, edges), np.maximum.reduceat(losses, edges)
        steps, losses = np.add.reduceat(steps, edges) / sizes, np.add.reduceat(losses, edges) / sizes
        axes.fill_between(steps, lowest, highest, color=ACCENT, alpha=0.2, linewidth=0)
    axes.plot(steps, losses, color=ACCENT, linewidth=1.6, marker="o" if len(steps) == 1 else None)
    axes.margins(x=0.01)


def _seconds_axis(axes: Axes, steps: NDArray[np.float64], seconds: NDArray[np.float64]) -> None:
    """Mark round seconds above the steps they were reached at.

    Steps that were logged together share their seconds: the last of them is when the clock was read.
    """
    read = np.append(np.diff(seconds) != 0, True)
    steps, seconds = steps[read], seconds[read]
    if len(steps) < 2 or (np.diff(seconds) < 0).any():
        return
    ticks = MaxNLocator(5).tick_values(seconds[0], seconds[-1])
    ticks = ticks[(ticks >= seconds[0]) & (ticks <= seconds[-1])]
    above = axes.secondary_xaxis("top")
    above.set_xticks(np.interp(ticks, seconds, steps), [f"{tick:,g}" for tick in ticks])
    above.spines["top"].set_visible(False)
    above.set_xlabel("seconds")


def _short(value: float, _: int) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def log_ticks(axes: Axes, values: Sequence[float] | NDArray[np.float64], most: int = 6) -> None:
    """Mark powers of ten along a logarithmic axis or, where these would be one or none, both ends and a middle.

    Args:
        axes: theirs is the axis along.
        values: that are drawn, above 0, at least one.
        most: powers of ten that are marked.
    """
    low, high = float(min(values)), float(max(values))
    if high >= 100 * low:
        axes.xaxis.set_major_locator(LogLocator(numticks=most))
    else:
        axes.set_xticks(sorted({float(f"{tick:.2g}") for tick in (low, math.sqrt(low * high), high)}))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(NullLocator())


def stand_in(k: int) -> str:
    """Return the text to draw in place of the k-th name, which ``svg`` puts in."""
    return f"@{k}@"


def shortened(name: str, longest: int = LONGEST) -> str:
    """Cut the middle of a long name, since names that begin alike differ at their ends."""
    if len(name) <= longest:
        return name
    end = longest // 2
    return f"{name[: longest - 1 - end]}…{name[-end:]}"


def svg(figure: Figure, label: str, names: Sequence[str] = (), longest: int = LONGEST) -> str:
    """Return the figure as one ``<svg>`` element that can stand beside others in an HTML page.

    Names are put in only here: in matplotlib a ``$`` would start a formula, and a letter its font lacks would raise a
    warning.

    Args:
        figure: what is drawn.
        label: what a screen reader says of it.
        names: take the place of ``stand_in(0)``, ``stand_in(1)`` and so on.
        longest: letters of a name that are written.
    """
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(stream.getvalue())
    _plain(root, f"c{sha256(stream.getvalue())[:8]}-")
    written = {stand_in(k): shortened(name, longest) for k, name in enumerate(names)}
    for text in root.iter("text"):
        text.text = written.get(text.text or "", text.text)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": label}
    markup = ElementTree.tostring(root, encoding="unicode")
    return re.sub("|".join(COLOURS), lambda match: COLOURS[match[0]], markup)


def _plain(root: ElementTree.Element, prefix: str) -> None:
    """Drop what a page has no use for, namespaces and metadata, and make names unlike another chart's."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        attributes = ((key.rpartition("}")[2], value) for key, value in element.attrib.items())
        element.attrib = {key: _renamed(key, value, prefix) for key, value in attributes}


def _renamed(key: str, value: str, prefix: str) -> str:
    if key == "id":
        return prefix + value
    return f"#{prefix}{value[1:]}" if key == "href" else value.replace("url(#", f"url(#{prefix}")
