"""Architectures drawn: boxes in rows, with operations as pills on the arrows between them, as inline SVG.

Rows are the longest ways to a box (Sugiyama et al., 10.1109/TSMC.1981.4308636): arrows that skip rows get a place in
each, rows are sorted by the mean place of their neighbours, and places are moved towards these as far as there is room.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from markupsafe import Markup, escape

from limbeck_applications.nas.drawing import Drawing

LETTER, PAD, HEIGHT = 6.6, 9.0, 24.0
"""Width of a letter, room beside a text, and height of a box, in SVG units."""

ROW, APART = 46.0, 12.0
"""Distance of two rows, and least room between two boxes of a row."""

SWEEPS = 8
"""Times that rows are sorted, and places moved, down and up."""


@dataclass(eq=False)
class _Box:
    """A box, a pill, or the place where an arrow passes a row.

    Attributes:
        text: what stands in it; nothing where an arrow passes.
        kind: input, inner, output, operation or way.
        row: counted from the top.
        above: boxes that arrows come from.
        below: boxes that arrows go to.
        x: of its middle.
    """

    text: str
    kind: str
    row: int
    above: list[_Box] = field(default_factory=list)
    below: list[_Box] = field(default_factory=list)
    x: float = 0.0

    @property
    def width(self) -> float:
        return 4.0 if self.kind == "way" else LETTER * len(self.text) + 2 * PAD


def graph_svg(drawing: Drawing) -> Markup:
    """Draw a graph without cycles from top to bottom.

    Args:
        drawing: at least one node.

    Returns:
        An ``<svg>`` element as wide as it needs to be; every text is escaped.
    """
    rows = _rows(drawing)
    _sort(rows)
    _place(rows)
    left = min(box.x - box.width / 2 for row in rows for box in row) - 4
    width = max(box.x + box.width / 2 for row in rows for box in row) + 4 - left
    height = ROW * (len(rows) - 1) + HEIGHT + 8
    boxes = [box for row in rows for box in row]
    arrows = Markup("").join(_arrow(box, other, left) for box in boxes for other in box.below)
    shapes = Markup("").join(_shape(box, left) for box in boxes if box.kind != "way")
    said = f"{drawing.title}: {', '.join(_said(drawing))}"
    return Markup(
        '<svg class="graph" viewBox="0 0 {w:.0f} {h:.0f}" style="width: {w:.0f}px; max-width: 100%" role="img" '
        'aria-label="{said}">{arrows}{shapes}</svg>'
    ).format(w=width, h=height, said=said, arrows=arrows, shapes=shapes)


def is_column(drawing: Drawing) -> bool:
    """Return whether boxes stand one below the other, which a list shows better than a graph."""
    ways = [(edge.start, edge.end) for edge in drawing.edges]
    names = [node.name for node in drawing.nodes]
    return ways == list(pairwise(names)) and not any(edge.label for edge in drawing.edges)


def _said(drawing: Drawing) -> list[str]:
    labels = {node.name: node.label for node in drawing.nodes}
    return [
        f"{labels[edge.start]} to {labels[edge.end]}{f' by {edge.label}' if edge.label else ''}"
        for edge in drawing.edges
    ]


def _rows(drawing: Drawing) -> list[list[_Box]]:
    """Put boxes into every other row, their operations into those between."""
    ranks = drawing.ranks()
    boxes = {node.name: _Box(node.label, node.role, 2 * ranks[node.name]) for node in drawing.nodes}
    rows: list[list[_Box]] = [[] for _ in range(2 * max(ranks.values()) + 1)]
    for box in boxes.values():
        rows[box.row].append(box)
    for edge in drawing.edges:
        own, end = boxes[edge.start], boxes[edge.end]
        for row in range(own.row + 1, end.row):
            is_last = row == end.row - 1
            step = _Box(edge.label, "operation", row) if is_last and edge.label else _Box("", "way", row)
            rows[row].append(step)
            _join(own, step)
            own = step
        _join(own, end)
    return [row for row in rows if row]


def _join(one: _Box, other: _Box) -> None:
    one.below.append(other)
    other.above.append(one)


def _sort(rows: Sequence[list[_Box]]) -> None:
    """Sort each row by the mean place of the neighbours above, then below, and so on."""
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else rows[::-1]:
            places = {id(box): place for other in rows for place, box in enumerate(other)}
            keys = {
                id(box): statistics.fmean(places[id(near)] for near in nears) if nears else float(places[id(box)])
                for box in row
                for nears in (box.above if down else box.below,)
            }
            row.sort(key=lambda box: keys[id(box)])


def _place(rows: Sequence[list[_Box]]) -> None:
    """Give every box a place: first packed around the middle, then towards its neighbours."""
    for row in rows:
        x = -sum(box.width + APART for box in row) / 2
        for box in row:
            box.x = x + box.width / 2
            x += box.width + APART
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wanted = [
                statistics.fmean(near.x for near in box.above + box.below) for box in row if box.above + box.below
            ]
            if len(wanted) == len(row):
                _spread(row, wanted)


def _spread(row: Sequence[_Box], wanted: Sequence[float]) -> None:
    """Move boxes as near to where they are wanted as their order and the room between them allow."""
    right, left = list(wanted), list(wanted)
    for k in range(1, len(row)):
        right[k] = max(right[k], right[k - 1] + _gap(row[k - 1], row[k]))
    for k in reversed(range(len(row) - 1)):
        left[k] = min(left[k], left[k + 1] - _gap(row[k], row[k + 1]))
    for box, one, other in zip(row, left, right, strict=True):
        box.x = (one + other) / 2


def _gap(one: _Box, other: _Box) -> float:
    return (one.width + other.width) / 2 + APART


def _arrow(box: _Box, other: _Box, left: float) -> Markup:
    """Draw a curve from below one box to above another; a place that an arrow passes has no height."""
    x, last = box.x - left, other.x - left
    y = 4 + ROW * box.row + (HEIGHT if box.kind != "way" else HEIGHT / 2)
    end = 4 + ROW * other.row + (0 if other.kind != "way" else HEIGHT / 2)
    middle = (y + end) / 2
    return Markup('<path d="M{:.1f} {:.1f}C{:.1f} {:.1f} {:.1f} {:.1f} {:.1f} {:.1f}"/>').format(
        x, y, x, middle, last, middle, last, end
    )


def _shape(box: _Box, left: float) -> Markup:
    y, radius = 4 + ROW * box.row, HEIGHT / 2 if box.kind == "operation" else 4
    return Markup(
        '<g class="{kind}"><rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.0f}" rx="{r:.0f}"/>'
        '<text x="{m:.1f}" y="{t:.1f}">{text}</text></g>'
    ).format(
        kind=box.kind,
        x=box.x - left - box.width / 2,
        y=y,
        w=box.width,
        h=HEIGHT,
        r=radius,
        m=box.x - left,
        t=y + HEIGHT / 2 + 4,
        text=escape(box.text),
    )
