"""Fronts, ranks, crowding and hypervolumes, by hand and for random points."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck_applications.nas.cost import Cost
from limbeck_applications.nas.searcher import Trial
from limbeck_applications.nas.searchers.pareto import (
    crowding,
    dominates,
    front,
    front_of,
    hypervolume,
    layers,
    point,
    shares,
    survivors,
)
from limbeck_applications.nas.space import Architecture

CLOUDS = st.integers(1, 3).flatmap(
    lambda axes: st.lists(st.tuples(*[st.integers(0, 5).map(float)] * axes), min_size=1, max_size=14)
)


def trial(number, value, parameters, flops, failed=""):
    return Trial(number, Architecture(str(number), (number,)), value, Cost(parameters, flops, ""), 0.0, failed=failed)


def test_a_point_has_its_score_turned_around():
    assert point(0.75, 100, 2000) == (-0.75, 100.0, 2000.0)
    assert point(0.75, 100, 2000, ("flops", "score")) == (2000.0, -0.75)


def test_domination_by_hand():
    assert dominates((1, 2), (1, 3))
    assert not dominates((1, 2), (1, 2))
    assert not dominates((1, 3), (2, 2)) and not dominates((2, 2), (1, 3))


def test_layers_by_hand():
    assert layers([(1, 1), (2, 2), (0, 3), (3, 3), (2, 2)]) == [[0, 2], [1, 4], [3]]
    assert layers([]) == []


def test_crowding_by_hand():
    """Gaps of 3 of 4 in the first objective and of 3 of 4 in the second; a copy is crowded out by its first."""
    assert crowding([(0, 4), (1, 2), (3, 1), (4, 0), (1, 2)]) == [math.inf, 0.75 + 0.75, 0.75 + 0.5, math.inf, -1]
    assert crowding([(1, 1)]) == [math.inf]
    assert crowding([]) == []


def test_survivors_of_a_rank_that_does_not_fit_are_the_ends_and_the_emptiest_places():
    points = [(0, 4), (1, 2), (3, 1), (4, 0), (1, 2), (5, 5)]
    assert sorted(survivors(points, 3)) == [0, 1, 3]
    assert sorted(survivors(points, 5)) == [0, 1, 2, 3, 4]
    assert len(survivors(points, 9)) == 6


def test_trials_that_came_to_nothing_are_not_on_the_front():
    trials = [
        trial(0, 0.5, 10, 10),
        trial(1, -math.inf, 1, 1),
        trial(2, 0.9, 1, 1, failed="diverged"),
        trial(3, 0.4, 20, 20),
        trial(4, 0.6, 20, 5),
    ]
    assert [each.number for each in front_of(trials)] == [0, 4]
    assert [each.number for each in front_of(trials, ("score",))] == [4]


def test_hypervolumes_by_hand():
    assert hypervolume([(1, 3), (2, 1)], (4, 4)) == 3 * 1 + 2 * 3 - 2 * 1
    assert hypervolume([(0.25,), (0.75,)], (1,)) == 0.75
    assert hypervolume([(0, 0, 0), (5, 5, 5)], (2, 3, 4)) == 24
    assert hypervolume([(2, 2)], (2, 3)) == 0
    assert hypervolume([], (1, 1)) == 0


@given(CLOUDS)
@settings(max_examples=60, deadline=None)
def test_a_hypervolume_is_the_number_of_cells_that_a_point_dominates(points):
    """Points on a grid cover cells of volume one, which can be counted."""
    axes = len(points[0])
    cells = itertools.product(range(6), repeat=axes)
    covered = sum(any(all(a <= b for a, b in zip(own, cell, strict=True)) for own in points) for cell in cells)
    assert hypervolume(points, (6.0,) * axes) == pytest.approx(covered)


@given(CLOUDS)
@settings(max_examples=60, deadline=None)
def test_the_front_dominates_or_equals_every_point_and_nothing_dominates_it(points):
    places = front(points)
    chosen = [points[place] for place in places]
    assert len(set(chosen)) == len(chosen)
    for own in points:
        assert any(other == own or dominates(other, own) for other in chosen)
    assert not any(dominates(own, other) for own in points for other in chosen)
    assert set(chosen) == {points[place] for place in layers(points)[0]}


@given(CLOUDS, st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_no_survivor_is_dominated_by_a_point_that_did_not_survive(points, number):
    places = survivors(points, number)
    assert len(places) == len(set(places)) == min(number, len(points))
    lost = [own for place, own in enumerate(points) if place not in places]
    assert not any(dominates(own, points[place]) for own in lost for place in places)


@given(CLOUDS)
@settings(max_examples=30, deadline=None)
def test_layers_are_fronts_peeled_off_one_after_the_other(points):
    left = list(range(len(points)))
    for layer in layers(points):
        free = [a for a in left if not any(dominates(points[b], points[a]) for b in left)]
        assert layer == free
        left = [place for place in left if place not in layer]
    assert left == []


def test_shares_compare_searches_in_the_box_of_all_their_points():
    box = 1.1 * 1.1  # beyond the worst in both, so that the ends of a front count
    first, second, none = shares([[(0.0, 4.0), (2.0, 0.0)], [(1.0, 2.0)], []])
    assert (first, second, none) == (pytest.approx((0.11 + 0.1) * 1 / box), pytest.approx(0.6 * 0.6 / box), 0.0)
    assert shares([[(0.0, 7.0), (4.0, 7.0)], [(1.0, 7.0)]]) == [1.0, pytest.approx(0.85 / 1.1)]
    assert shares([[(3.0,)], []]) == [1.0, 0.0]
    ends = shares([[(-1.0, 10.0)], [(-0.5, 5.0)]])
    assert ends == [pytest.approx(0.1 * 1.1 / box)] * 2
    assert shares([[], []]) == [0.0, 0.0]
