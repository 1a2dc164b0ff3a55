"""Correlations of ranks of many resamples at once: resamples are counts, and are never written out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau, rankdata, weightedtau

from limbeck.seeding import generator

Array = NDArray[np.float64]

RESAMPLES = 1000
"""Resamples of an interval."""

ROUNDING = 1e-12
"""Share of a sum below which it counts as nothing."""


def resamples(number: int, times: int = RESAMPLES) -> Array:
    """Return how often each resample holds each architecture, shape [times, number]; the same in every process."""
    chance = generator(0, "nas", "bootstrap", f"{number}")
    places = torch.randint(number, (times, number), generator=chance)
    counts = torch.zeros(times, number, dtype=torch.float64)
    return np.asarray(counts.scatter_add_(1, places, torch.ones_like(counts)).numpy(), dtype=np.float64)


def rho(scores: Array, truth: Array) -> float:
    """Return Spearman's rho of what is not resampled."""
    return float(rhos(scores, truth, np.ones((1, len(truth))))[0])


def rhos(scores: Array, truth: Array, counts: Array) -> Array:
    """Return rho of resamples, shape [times]; NaN where one side is constant.

    Args:
        scores: shape [n].
        truth: shape [n].
        counts: how often each resample holds each architecture, shape [times, n].
    """
    one, other = _Ties(scores).ranks(counts), _Ties(truth).ranks(counts)

    def summed(products: Array) -> Array:
        found: Array = (counts * products).sum(1)
        return found

    return _divided(summed(one * other), np.sqrt(summed(one * one) * summed(other * other)))


def tau(scores: Array, truth: Array) -> float:
    """Return Kendall's tau-b of what is not resampled."""
    return float(kendalltau(rankdata(scores), rankdata(truth), variant="b").statistic)


def taus(scores: Array, truth: Array, counts: Array) -> Array:
    """Return tau-b of resamples; arguments and shape as of ``rhos``."""
    return _signed(scores, truth, counts, counts)


def weighted_tau(scores: Array, truth: Array) -> float:
    """Return the weighted tau of what is not resampled, ranked by scores first and by truth first, the mean of both."""
    return float(weightedtau(rankdata(scores), rankdata(truth)).statistic)


def weighted_taus(scores: Array, truth: Array, counts: Array) -> Array:
    """Return the weighted tau of resamples, ranked by scores first and by truth first, the mean of both.

    The copies of an architecture stand one after the other, so their weights are a difference of harmonic numbers.
    """
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, len(truth) + 1))])
    found = []
    for order in (np.lexsort((truth, scores))[::-1], np.lexsort((scores, truth))[::-1]):
        own = counts[:, order].astype(np.int64)
        last, weights = own.cumsum(1), np.empty_like(counts)
        weights[:, order] = harmonic[last] - harmonic[last - own]
        found.append(_signed(scores, truth, counts, weights))
    return (found[0] + found[1]) / 2


def _signed(scores: Array, truth: Array, counts: Array, weights: Array) -> Array:
    """Return the weighted sum of signs over pairs, divided by the geometric mean of the weights of pairs without ties.

    With v the weights, w the counts and S the signs of all differences it is v S S' w: copies of one architecture tie.
    """
    one, other = _Ties(scores), _Ties(truth)
    above: Array = ((weights @ (one.signs() * other.signs())) * counts).sum(1)
    return _divided(above, np.sqrt(one.apart(weights, counts) * other.apart(weights, counts)))


class _Ties:
    """Values sorted, and which of them are equal."""

    def __init__(self, values: Array) -> None:
        self.order = np.argsort(values, kind="stable")
        found = np.unique(values, return_index=False, return_inverse=True)
        self.groups = found[1].reshape(-1)
        self.starts = np.searchsorted(self.groups[self.order], np.arange(len(found[0])))

    def summed(self, counts: Array) -> Array:
        """Sum what equal values have, shape [times, different values]."""
        found: Array = np.add.reduceat(counts[:, self.order], self.starts, axis=1)
        return found

    def ranks(self, counts: Array) -> Array:
        """Return each value's mean rank in each resample less the mean of all ranks, shape [times, n]."""
        own = self.summed(counts)
        ranks = own.cumsum(1) - (own - 1) / 2 - (counts.sum(1, keepdims=True) + 1) / 2
        found: Array = ranks[:, self.groups]
        return found

    def signs(self) -> Array:
        """Return the sign of each difference, shape [n, n]."""
        found: Array = np.sign(self.groups[:, None] - self.groups[None]).astype(np.float64)
        return found

    def apart(self, weights: Array, counts: Array) -> Array:
        """Return the weight of the pairs whose values differ, shape [times]."""
        alike: Array = (self.summed(weights) * self.summed(counts)).sum(1)
        every: Array = weights.sum(1) * counts.sum(1)
        return np.where(every - alike > ROUNDING * every, every - alike, 0.0)


def _divided(above: Array, below: Array) -> Array:
    found: Array = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    return found
