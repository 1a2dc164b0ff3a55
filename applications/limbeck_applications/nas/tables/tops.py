"""What the best few by a proxy are worth: precision, regret and best rank, with ties drawn by lot.

Formulas, of n architectures with accuracies a, and K the k best by score:

- precision at k: how many of K are among the k most accurate, divided by k.
- regret at k: the greatest accuracy of all minus the greatest in K.
- best rank: that of the most accurate in K among all, 1 the best; the mean rank where accuracies tie.

Where scores tie at the border of K, as parameter counts do, everything is the expectation over ways to break ties: no
proxy gains or loses by the order in which a space lists its architectures. Groups that correlations are taken of hold
all that tie with their last member.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from limbeck.errors import UsageError
from limbeck_applications.nas.tables.resampling import Array


def check_top(number: int, of: int) -> None:
    """Refuse a number of best architectures that is larger than the space.

    Raises:
        UsageError: names both.
    """
    if not 1 <= number <= of:
        raise UsageError(f"the best {number} of {of} architectures were asked for: give 1 to {of}.")


def share_of(share: float, of: int) -> int:
    """Return how many architectures a share in (0, 1] is, rounded up."""
    return max(1, math.ceil(share * of - 1e-9))


def best(values: Array, number: int) -> NDArray[np.int64]:
    """Return the places of the ``number`` greatest values and of all that tie with the last, in order.

    Raises:
        UsageError: there are not so many.
    """
    check_top(number, len(values))
    border = np.sort(values)[-number]
    return np.asarray(np.flatnonzero(values >= border), dtype=np.int64)


def precision(scores: Array, truth: Array, number: int) -> float:
    """Return the share of the best by score that are among the best by accuracy.

    Args:
        scores: shape [n].
        truth: accuracies, shape [n].
        number: k.

    Raises:
        UsageError: k is larger than n.
    """
    return float((_members(scores, number) * _members(truth, number)).sum() / number)


def regret(scores: Array, truth: Array, number: int) -> float:
    """Return how far the best accuracy lies above the best among the ``number`` best by score, in [0, 1].

    Raises:
        UsageError: k is larger than n.
    """
    return float(truth.max() - _expected_greatest(scores, truth, number))


def best_rank(scores: Array, truth: Array, number: int) -> float:
    """Return the rank, 1 the best, of the most accurate of the ``number`` best by score.

    Raises:
        UsageError: k is larger than n.
    """
    return -_expected_greatest(scores, -rankdata(-truth), number)


def _members(values: Array, number: int) -> Array:
    """Return the chance of each to be among the greatest, shape [n]: 1, 0, or a share where it ties at the border."""
    check_top(number, len(values))
    border = np.sort(values)[-number]
    above, tied = values > border, values == border
    found: Array = above + tied * (number - above.sum()) / tied.sum()
    return found


def _expected_greatest(scores: Array, wanted: Array, number: int) -> float:
    """Return the expected greatest ``wanted`` among the greatest ``scores``.

    Of t that tie for r places the j-th greatest, counted from 1, is the greatest drawn in C(t - j, r - 1) of C(t, r)
    ways.
    """
    chances = _members(scores, number)
    sure, tied = wanted[chances == 1], np.sort(wanted[(chances > 0) & (chances < 1)])[::-1]
    floor = float(sure.max()) if len(sure) else -math.inf
    if not len(tied):
        return floor
    places = number - len(sure)
    ways = [math.comb(len(tied) - j, places - 1) for j in range(1, len(tied) + 1)]
    return sum(way * max(floor, float(own)) for way, own in zip(ways, tied, strict=True) if way) / math.comb(
        len(tied), places
    )
