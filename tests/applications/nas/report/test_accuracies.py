"""Charts of full training, read as SVG."""

from __future__ import annotations

import re

import numpy as np

from limbeck_applications.nas.report.accuracies import SPANS, seeds_svg, sorted_svg


def texts(svg):
    return re.findall(r"<text[^>]*>(.*?)</text>", svg)


def marks(svg):
    """Count the points that are drawn, of all groups."""
    return len(re.findall(r'<use [^>]*style="fill: var\(--series', svg))


def test_accuracies_are_told_and_every_architecture_is_a_mark():
    svg = sorted_svg([[0.9, 0.8], [0.5], [0.1, 0.2]], {"batch": [0, 2], "none": [1]})
    assert "the best 85.00 %, the median 50.00 %, the worst 15.00 %" in svg and {"rank", "80 %"} <= set(texts(svg))
    assert "var(--series-1" in svg and "var(--series-2" in svg and "var(--series-3" not in svg
    assert marks(svg) == 3


def test_ranges_are_left_out_where_they_would_cover_each_other():
    few, many = ([[0.5, 0.4]] * number for number in (SPANS, SPANS + 1))
    paths = [len(re.findall(r"LineCollection", sorted_svg(own, {"": range(len(own))}))) for own in (few, many)]
    assert paths[0] > paths[1]


def test_two_seeds_share_their_range_and_name_themselves():
    svg = seeds_svg(np.array([0.1, 0.9]), np.array([0.2, 0.3]), {"": [0, 1]}, (0, 2))
    found = texts(svg)
    assert {"seed 0", "seed 2"} <= set(found) and found.count("80 %") == 2
    assert "Accuracy of 2 architectures from seed 2 against that from 0" in svg


def test_a_group_without_architectures_leaves_its_colour_to_nobody():
    one, other = np.array([0.1, 0.9]), np.array([0.2, 0.3])
    first, second = (seeds_svg(one, other, groups, (0, 1)) for groups in ({"b": [0, 1]}, {"a": [], "b": [0, 1]}))
    colours = [set(re.findall(r"series-\d|#[0-9a-fA-F]{6}", svg)) for svg in (first, second)]
    assert colours[0] != colours[1]
