"""What the best few are worth, against every way to break ties."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from limbeck.errors import UsageError
from limbeck_applications.nas.tables.tops import best, best_rank, check_top, precision, regret, share_of


def array(*values):
    return np.array(values, dtype=np.float64)


def selections(values, number):
    """Every choice of the ``number`` greatest values."""
    border = sorted(values)[-number]
    sure = [place for place, value in enumerate(values) if value > border]
    tied = [place for place, value in enumerate(values) if value == border]
    return [[*sure, *some] for some in itertools.combinations(tied, number - len(sure))]


def test_hand_cases():
    scores, truth = array(5, 4, 3, 2, 1), array(0.7, 0.9, 0.5, 0.8, 0.6)
    assert [precision(scores, truth, k) for k in (1, 2, 3, 5)] == pytest.approx([0, 0.5, 2 / 3, 1])
    assert [regret(scores, truth, k) for k in (1, 2)] == pytest.approx([0.2, 0])
    assert [best_rank(scores, truth, k) for k in (1, 2)] == [3, 1]
    assert best(scores, 2).tolist() == [0, 1]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=7), st.data())
def test_ties_count_as_the_mean_over_ways_to_break_them(pairs, data):
    scores, truth = (np.array(side, dtype=np.float64) for side in zip(*pairs, strict=True))
    number = data.draw(st.integers(1, len(pairs)))
    chosen, true = selections(scores, number), selections(truth, number)
    shares = [len(set(one) & set(other)) / number for one in chosen for other in true]
    assert precision(scores, truth, number) == pytest.approx(np.mean(shares))
    regrets = [truth.max() - truth[one].max() for one in chosen]
    assert regret(scores, truth, number) == pytest.approx(np.mean(regrets))
    ranks = rankdata(-truth)
    assert best_rank(scores, truth, number) == pytest.approx(np.mean([ranks[one].min() for one in chosen]))


def test_scores_that_are_missing_tie_at_the_bottom():
    scores, truth = array(-np.inf, 3, -np.inf, -np.inf), array(0.9, 0.5, 0.6, 0.7)
    assert precision(scores, truth, 2) == pytest.approx((1 / 3 + 1 / 3) / 2)
    assert regret(scores, truth, 2) == pytest.approx(0.9 - (0.9 + 0.6 + 0.7) / 3)


def test_groups_hold_what_ties_with_their_last():
    assert best(array(3, 1, 2, 2, 0), 2).tolist() == [0, 2, 3]
    assert best(array(1, 1, 1), 1).tolist() == [0, 1, 2]


def test_shares_are_rounded_up():
    assert [share_of(share, 72) for share in (0.05, 0.1, 0.2)] == [4, 8, 15]
    assert [share_of(0.1, number) for number in (1, 10, 11, 720)] == [1, 1, 2, 72]


@pytest.mark.parametrize("number", [0, -1, 6])
def test_more_than_there_are_is_refused(number):
    said = rf"^the best {number} of 5 architectures were asked for: give 1 to 5\.$"
    values = np.arange(5.0)
    for ask in (
        lambda: check_top(number, 5),
        lambda: best(values, number),
        lambda: precision(values, values, number),
        lambda: regret(values, values, number),
        lambda: best_rank(values, values, number),
    ):
        with pytest.raises(UsageError, match=said):
            ask()
