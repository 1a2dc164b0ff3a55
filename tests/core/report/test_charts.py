"""Charts: what they show, and that they can stand in any page and beside each other."""

from __future__ import annotations

import re
import sys
from xml.etree import ElementTree

import matplotlib
import pytest

from limbeck.report.charts import (
    BINS,
    accuracies_svg,
    class_bars_svg,
    learning_curves_svg,
    loss_curve_svg,
    rate_curve_svg,
)
from limbeck.report.compare_charts import against_seconds_svg


def rows(losses, seconds=None):
    seconds = seconds or [0.5 * (k + 1) for k in range(len(losses))]
    return [{"step": k, "loss": v, "seconds": s} for k, (v, s) in enumerate(zip(losses, seconds, strict=True))]


def texts(svg):
    return [text.text for text in ElementTree.fromstring(svg).iter("text")]


def bars(svg, colour):
    """Return the width of every bar of a colour, from the top."""
    found = []
    for path in ElementTree.fromstring(svg).iter("path"):
        if f"fill: var(--{colour}" in path.get("style", ""):
            xs = [float(x) for x in re.findall(r"[ML] (\S+) \S+", path.get("d"))]
            found.append(max(xs) - min(xs))
    return found


def test_loss_axis_is_logarithmic_over_decades_only():
    assert {"1", "10", "100"} <= set(texts(loss_curve_svg(rows([100, 20, 3, 0.9]))))
    assert "100" not in texts(loss_curve_svg(rows([90, 40, 30, 20])))


@pytest.mark.parametrize("losses", [[3.0], [2.0, 2.0], [5.0, 0.0], [-1.0, 40.0], [1e-9, 1e9]])
def test_loss_curve_takes_whatever_was_logged(losses):
    assert "loss" in texts(loss_curve_svg(rows(losses)))


def test_rate_of_students_says_where_it_went():
    logged = [{**row, "syn_lr": rate} for row, rate in zip(rows([9, 8, 7]), [0.01, 0.02, 0.03], strict=True)]
    svg = rate_curve_svg(logged)
    assert "learning rate" in texts(svg) and "loss" not in texts(svg)
    assert "Learning rate against steps: 0.01 at step 0, 0.03 at step 2" in svg


@pytest.mark.parametrize("ends", [(0.0091, 0.0251), (1.1e-6, 9.3e-6), (1e-5, 9.5), (0.00123, 0.00124)])
def test_numbers_of_rates_leave_room_for_their_name(ends):
    rates = [ends[0] + (ends[1] - ends[0]) * k / 9 for k in range(10)]
    svg = rate_curve_svg([{**row, "syn_lr": rate} for row, rate in zip(rows(range(10)), rates, strict=True)])
    (name,) = (text for text in ElementTree.fromstring(svg).iter("text") if text.text == "learning rate")
    assert float(name.get("x") or re.search(r"translate\(([-\d.]+)", name.get("transform"))[1]) > 9


def test_seconds_stand_where_they_were_reached():
    logged_in_lots = rows([3, 2, 1, 1, 0.5, 0.5], [1, 1, 2, 2, 3, 3])
    assert "seconds" in texts(loss_curve_svg(logged_in_lots))
    assert "seconds" not in texts(loss_curve_svg(rows([3, 2, 1], [3, 2, 1])))


def test_long_log_is_drawn_short_with_its_range():
    long = loss_curve_svg(rows([1.0 + k % 7 for k in range(50 * BINS)]))
    assert len(long) < 60_000
    assert "fill-opacity" in long or "opacity" in long


def test_bars_are_as_long_as_accuracies_are_high():
    svg = class_bars_svg(["a", "b"], {"set": [0.25, 1.0], "random": [0.5, 0.75]})
    quarter, whole = bars(svg, "accent")
    assert whole == pytest.approx(4 * quarter)
    assert bars(svg, "other") == pytest.approx([2 * quarter, 3 * quarter])


def curve(svg, colour):
    """Return the heights above the lowest point of the first line of a colour, from the left."""
    for path in ElementTree.fromstring(svg).iter("path"):
        if f"stroke: var(--{colour}" in path.get("style", ""):
            ys = [float(y) for y in re.findall(r"[ML] \S+ (\S+)", path.get("d"))]
            return [max(ys) - y for y in ys]
    return None


def test_learning_is_drawn_as_the_mean_over_networks():
    networks = [[0.1, 0.5, 0.9], [0.3, 0.5, 0.7]]
    svg = learning_curves_svg({"set": ([1, 2, 3], networks), "random": ([2, 3], [[0.2, 0.4]])})
    start, middle, end = curve(svg, "accent")
    assert (start, end) == (0, pytest.approx(2 * middle))
    assert len(curve(svg, "other")) == 2
    assert "passes over the images" in texts(svg)
    assert "<use" in learning_curves_svg({"set": ([7], [[0.5]])})


def test_the_row_asked_for_is_accented():
    rows = {"mlp": [0.2], "own": [0.7]}
    first, second = (accuracies_svg(rows, accent=accent) for accent in (None, "own"))
    assert curve(first, "accent") is not None and first != second
    assert curve(accuracies_svg(rows, accent="absent"), "accent") is None


def test_class_without_test_images_has_no_bar():
    drawn = bars(class_bars_svg(["a", "b"], {"set": [0.5, float("nan")]}), "accent")
    assert len([width for width in drawn if width > 0]) == 1


def test_names_are_text_never_formulas_or_markup():
    names = ["$x", "a $\\frac$ b", "<b>&", "猫と犬", "a name that is far too long for a chart"]
    written = texts(class_bars_svg(names, {"set": [0.5] * 5}))
    assert set(names[:4]) <= set(written)
    assert any("…" in text and names[4].startswith(text.split("…")[0]) for text in written)


def test_charts_can_share_a_page():
    charts = [
        loss_curve_svg(rows([3, 2, 1])),
        class_bars_svg(["a"], {"set": [0.5]}),
        class_bars_svg(["b"], {"set": [0.7]}),
        accuracies_svg({"set": [0.9, 0.8], "random": [0.7]}),
    ]
    page = "".join(charts)
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:href="|url\()#([^")]+)', page)
    assert used
    assert set(used) <= set(ids)
    assert "http" not in page
    assert not re.search(r"(fill|stroke): #", page), "a colour that does not follow the page"
    for chart in charts:
        assert ElementTree.fromstring(chart).get("aria-label")


def test_same_rows_same_bytes_whatever_the_user_set():
    first = loss_curve_svg(rows([3, 2, 1]))
    with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 40, "axes.grid": True}):
        before = dict(matplotlib.rcParams)
        assert loss_curve_svg(rows([3, 2, 1])) == first
        assert dict(matplotlib.rcParams) == before


def test_pyplot_stays_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    assert class_bars_svg(["a"], {"set": [0.5]})
    assert loss_curve_svg(rows([3, 2, 1]))


@pytest.mark.parametrize(
    ("seconds", "ticks"),
    [((0.0172, 0.062), ["0.017", "0.033", "0.062"]), ((3.0, 3.0), ["3"]), ((0.5, 2000.0), ["1", "10", "100", "1000"])],
)
def test_seconds_have_ticks_however_little_they_span(seconds, ticks):
    points = {f"p{k}": (each, 50.0, 40.0, 60.0) for k, each in enumerate(seconds)}
    written = texts(against_seconds_svg(points, "p0", "accuracy", unit=" %"))
    assert [text for text in written if re.fullmatch(r"[0-9.]+", text)] == ticks
