"""Metrics of the accuracy matrix: by hand, and by their properties."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck_applications.continual.matrix import METRICS, AccuracyMatrix, Spread, mean_matrix

HAND = AccuracyMatrix(((0.9, 0.1, 0.0), (0.6, 0.8, 0.2), (0.7, 0.4, 1.0)))


@st.composite
def matrices(draw, size=None):
    size = size or draw(st.integers(1, 6))
    share = st.integers(0, 1000).map(lambda n: n / 1000)
    return AccuracyMatrix(tuple(tuple(draw(share) for _ in range(size)) for _ in range(size)))


def test_metrics_by_hand():
    assert HAND.accuracies == pytest.approx((0.9, 0.7, 0.7))
    assert HAND.accuracy == pytest.approx((0.7 + 0.4 + 1.0) / 3)
    assert HAND.average_incremental == pytest.approx((0.9 + 0.7 + 0.7) / 3)
    assert HAND.backward_transfer == pytest.approx(((0.7 - 0.9) + (0.4 - 0.8)) / 2)
    assert HAND.forgetting == pytest.approx(((0.9 - 0.7) + (0.8 - 0.4)) / 2)
    assert HAND.avalanche_forgetting == pytest.approx(0.3)
    assert list(HAND.metrics()) == list(METRICS)


def test_forgetting_starts_from_the_best_value_and_avalanches_from_the_first():
    """Experience 1 is best known after experience 2: 0.9, not 0.5 as just after it was learned."""
    matrix = AccuracyMatrix(((0.5, 0.0, 0.0), (0.9, 0.6, 0.0), (0.4, 0.6, 0.8)))
    assert matrix.forgetting == pytest.approx(((0.9 - 0.4) + 0.0) / 2)
    assert matrix.avalanche_forgetting == pytest.approx(((0.5 - 0.4) + 0.0) / 2)


def test_the_best_value_may_be_one_from_before_the_experience():
    """As published: the maximum is over all rows but the last, those before the experience included."""
    matrix = AccuracyMatrix(((0.5, 0.9, 0.0), (0.5, 0.6, 0.0), (0.5, 0.6, 0.8)))
    assert matrix.forgetting == pytest.approx((0.0 + 0.3) / 2)


def test_one_experience_has_nothing_to_forget():
    matrix = AccuracyMatrix(((0.25,),))
    assert (matrix.accuracy, matrix.average_incremental) == (0.25, 0.25)
    assert matrix.backward_transfer is matrix.forgetting is matrix.avalanche_forgetting is None


@given(matrices())
def test_forgetting_lies_between_avalanches_and_one(matrix):
    if matrix.learned == 1:
        return
    assert -1 <= matrix.avalanche_forgetting <= matrix.forgetting + 1e-12 <= 1 + 1e-12
    assert matrix.avalanche_forgetting == -matrix.backward_transfer
    assert min(matrix.accuracies) - 1e-12 <= matrix.average_incremental <= max(matrix.accuracies) + 1e-12


@given(matrices())
def test_later_experiences_say_nothing_of_the_accuracy_before(matrix):
    """What lies above the diagonal enters neither ACC, AIA nor backward transfer."""
    rows = tuple(
        tuple(1 - value if i > t else value for i, value in enumerate(row)) for t, row in enumerate(matrix.rows)
    )
    other = AccuracyMatrix(rows)
    for name in ("accuracy", "average_incremental", "backward_transfer"):
        assert getattr(other, name) == getattr(matrix, name)


@given(matrices())
def test_an_unfinished_matrix_is_that_of_a_shorter_stream(matrix):
    learned = matrix.rows[: max(1, matrix.learned - 1)]
    short = AccuracyMatrix(tuple(row[: len(learned)] for row in learned))
    assert AccuracyMatrix(learned).metrics() == short.metrics()
    assert AccuracyMatrix(learned).is_finished == (matrix.learned == 1)


@given(st.lists(matrices(size=3), min_size=1, max_size=4))
def test_the_mean_matrix_has_the_mean_of_every_linear_metric(several):
    mean = mean_matrix(several)
    for name in ("accuracy", "average_incremental", "backward_transfer"):
        assert getattr(mean, name) == pytest.approx(sum(getattr(m, name) for m in several) / len(several))
    assert mean.forgetting <= sum(m.forgetting for m in several) / len(several) + 1e-12  # a maximum of means is less


def test_a_value_that_was_not_measured_spoils_what_needs_it_and_nothing_else():
    for t, i in ((0, 0), (1, 0), (2, 0), (2, 2)):
        rows = [list(row) for row in HAND.rows]
        rows[t][i] = math.nan
        spoilt = AccuracyMatrix(tuple(map(tuple, rows)))
        assert math.isnan(spoilt.accuracy) == (t == 2)
        assert math.isnan(spoilt.average_incremental)
        assert math.isnan(spoilt.forgetting) == (i == 0)  # every row of experience 1 enters
        assert math.isnan(spoilt.backward_transfer) == ((t, i) in ((0, 0), (2, 0)))
    above = AccuracyMatrix(((0.9, math.nan), (0.6, 0.8)))
    assert above.metrics() == AccuracyMatrix(((0.9, 0.0), (0.6, 0.8))).metrics()


@pytest.mark.parametrize("order", list(permutations((math.nan, 0.9, 0.2))))
def test_the_order_of_what_was_not_measured_does_not_matter(order):
    rows = [(value, 0.5, 0.5, 0.5) for value in order]
    assert math.isnan(AccuracyMatrix((*rows, (0.1, 0.5, 0.5, 0.5))).forgetting)


@pytest.mark.parametrize(
    "rows", [(), ((),), ((0.1, 0.2), (0.1,)), ((0.1,), (0.1,)), ((1.2,),), ((-0.1,),), ((math.inf,),)]
)
def test_what_is_no_accuracy_matrix_is_refused(rows):
    with pytest.raises(ValueError, match="accurac"):
        AccuracyMatrix(rows)


def test_means_are_of_one_size():
    with pytest.raises(ValueError, match="one size"):
        mean_matrix([HAND, AccuracyMatrix(((0.5,),))])
    with pytest.raises(ValueError, match="one size"):
        mean_matrix([])


def test_a_spread_is_of_what_is_finite():
    assert Spread.of([0.2, 0.4, math.nan]) == Spread(pytest.approx(0.3), pytest.approx(0.1), 2)
    assert Spread.of([0.7]) == Spread(0.7, 0.0, 1)
    assert Spread.of([None, None]) is None
    nothing = Spread.of([math.nan])
    assert nothing.count == 0 and math.isnan(nothing.mean)
