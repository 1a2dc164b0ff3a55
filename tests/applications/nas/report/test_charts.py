"""Charts of rankings and searches, read as SVG."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from limbeck_applications.nas.report.charts import (
    MARKS,
    _count,
    curves_svg,
    front_svg,
    intervals_svg,
    look,
    scatter_svg,
)
from limbeck_applications.nas.report.space import legend
from limbeck_applications.nas.tables.results import Results
from limbeck_applications.nas.tables.statistics import Estimate


def texts(svg):
    return re.findall(r"<text[^>]*>(.*?)</text>", svg)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.2, "0.2"),
        (12, "12"),
        (1500, "1.5k"),
        (1002, "1,002"),
        (25_000, "25k"),
        (3.1e6, "3.1M"),
        (2e9, "2G"),
        (-2e4, "-20k"),
        (0, "0"),
    ],
)
def test_numbers_are_written_short(value, written):
    assert _count(value, 0) == written


def test_what_has_no_score_stands_hollow_at_the_edge():
    scores, accuracies = np.array([1.0, 2.0, -np.inf]), np.array([0.2, 0.4, 0.9])
    whole, cut = (scatter_svg(own, accuracies, {"": [0, 1, 2]}, "<p>") for own in (np.array([1.0, 2, 3]), scores))
    hollow = r'fill: none[^"]*stroke: var\(--series-1'
    assert re.search(hollow, cut) and not re.search(hollow, whole)
    assert "score of &lt;p&gt;, 1 without a score" in cut and "without" not in whole
    assert "80 %" in texts(cut)  # room for the one without a score


def test_axes_are_logarithmic_where_scores_span_decades():
    accuracies, groups = np.linspace(0.1, 0.9, 3), {"": [0, 1, 2]}
    assert {"100", "10k", "1M"} <= set(texts(scatter_svg(np.array([50.0, 1e4, 2e6]), accuracies, groups, "p")))
    assert not {"10k", "1M"} & set(texts(scatter_svg(np.array([-1.0, 1e2, 1e3]), accuracies, groups, "p")))
    assert "1G" in texts(curves_svg({"random": [[1e5, 1e10]]}))


def test_the_front_counts_and_marks_who_is_beaten_by_none():
    svg = front_svg([(10.0, 0.5), (20.0, 0.4), (30.0, 0.9)], [0, 2], "accuracy", "parameters")
    assert "2 of 3 are beaten by none in both" in svg and "parameters" in texts(svg)
    assert "80 %" in texts(svg)


def test_one_axis_of_costs_is_counted_in_one_unit():
    svg = front_svg([(2690.0, 0.5), (7300.0, 0.6), (19000.0, 0.9)], [0], "accuracy", "parameters")
    assert [text for text in texts(svg) if text[-1] == "k"] == ["2.7k", "7.1k", "19k"]


def test_the_legend_names_marks_as_they_are_drawn(rank_outcome):
    names = [shape for *_, shape in legend(Results.of(rank_outcome))]
    assert [MARKS[name] for name in names] == [look(k)["marker"] for k in range(3)] == ["o", "s", "^"]


def test_curves_begin_where_there_is_a_score():
    svg = curves_svg({"random": [[-math.inf, 0.5, 0.75], [0.25, 0.25]], "eeea": [[0.5]]})
    assert "mean at the end: random 0.5, eeea 0.5" in svg and "nan" not in svg.lower()


def test_intervals_name_every_proxy_and_its_figure():
    svg = intervals_svg({"a": Estimate(0.5, 0.2, 0.7, 9), "b": Estimate(-0.1, None, None, 9)}, "a", 0.95)
    assert "a 0.500, b -0.100" in svg and {"a", "b"} <= set(texts(svg))


def test_proxies_that_differ_at_the_end_keep_names_of_their_own():
    names = ["dm, ipc=10, steps=200", "dm, ipc=10, steps=2000", "dm, ipc=10, settings.optimiser.lr_img=0.5",
             "dm, ipc=10, settings.optimiser.lr_img=5"]  # fmt: skip
    written = texts(intervals_svg({name: Estimate(0.5, 0.4, 0.6) for name in names}, names[0], None))
    assert set(names[:2]) <= set(written) and len([text for text in written if text.startswith("dm")]) == 4
    assert len({text for text in written if text.startswith("dm")}) == 4
