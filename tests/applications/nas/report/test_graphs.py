"""Architectures drawn: every box and every arrow, none upon another."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree

import pytest

from limbeck.plugins import registry
from limbeck.seeding import generator
from limbeck_applications.nas.drawing import Drawing, Edge, Node, column
from limbeck_applications.nas.report.graphs import graph_svg, is_column


def drawings(name, seed):
    space = registry().create("nas_spaces", name)
    return space.drawing(space.sample(generator(seed, "drawn")))


def boxes(root):
    for group in root.iter("g"):
        rect, text = group.find("rect"), group.find("text")
        x, y, width, height = (float(rect.get(key)) for key in ("x", "y", "width", "height"))
        yield text.text, x, y, x + width, y + height


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["cells", "nb201"])
def test_every_box_is_there_and_none_overlaps_another(name, seed):
    for drawing in drawings(name, seed):
        root = ElementTree.fromstring(graph_svg(drawing))
        found = list(boxes(root))
        labels = [node.label for node in drawing.nodes] + [edge.label for edge in drawing.edges if edge.label]
        assert sorted(text for text, *_ in found) == sorted(labels)
        width, height = (float(size) for size in root.get("viewBox").split()[2:])
        for _, left, top, right, bottom in found:
            assert left >= 0 and top >= 0 and right <= width and bottom <= height
        for (_, a, b, c, d), (_, e, f, g, h) in combinations(found, 2):
            assert c <= e or g <= a or d <= f or h <= b


def test_arrows_go_from_box_to_box():
    drawing = Drawing(
        "cell",
        (Node("a", "in", "input"), Node("b", "sum"), Node("c", "out", "output")),
        (Edge("a", "b", "skip"), Edge("a", "b", "conv"), Edge("b", "c"), Edge("a", "c")),
    )
    root = ElementTree.fromstring(graph_svg(drawing))
    places = {text: (left, top, right, bottom) for text, left, top, right, bottom in boxes(root)}
    ways = [[float(number) for number in re.findall(r"-?[\d.]+", path.get("d"))] for path in root.iter("path")]
    assert len(ways) == 2 * 2 + 2 + 4  # two operations of two arrows, one row and three rows passed
    tops, bottoms = {top for _, top, _, _ in places.values()}, {bottom for *_, bottom in places.values()}
    assert {way[1] for way in ways} & bottoms and {way[-1] for way in ways} & tops
    assert all(way[1] < way[-1] for way in ways)
    assert "in to sum by skip" in root.get("aria-label") and "sum to out" in root.get("aria-label")


def test_texts_are_escaped():
    drawing = Drawing("<t>", (Node("a", "<b>&", "input"), Node("c", '"', "output")), (Edge("a", "c", "<i>"),))
    text = graph_svg(drawing)
    assert "<b>" not in text and "<i>" not in text
    assert sorted(found for found, *_ in boxes(ElementTree.fromstring(text))) == ['"', "<b>&", "<i>"]


def test_layers_one_below_the_other_are_a_column():
    assert is_column(column("layers", ["conv", "linear"]))
    assert not any(is_column(each) for each in drawings("cells", 0))
