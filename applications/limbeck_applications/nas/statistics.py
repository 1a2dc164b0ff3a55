"""How well scores rank what full training ranks: correlations of ranks, with intervals.

Formulas, with r the ranks of n architectures (1 the lowest, the mean rank where values tie):

- Spearman's rho: the correlation coefficient of the ranks of scores and of accuracies.
- Kendall's tau-b: (C - D) / sqrt((P - T) (P - U)) of P = n (n - 1) / 2 pairs: C ordered alike, D ordered the other way
  round, T and U tied in scores and in accuracies.
- Weighted tau (Vigna, arXiv:1404.3325): tau-b in which a pair weighs 1 / (i + 1) + 1 / (j + 1), i and j counted from 0
  at the best, so that the top matters most.

Intervals are percentile bootstraps (Efron, 10.1214/aos/1176344552) over architectures: of so many resamples of the same
size, drawn with replacement, the middle 95 %. The same resamples serve every proxy, so that of a difference of two
proxies is a paired one. Over several seeds of a proxy everything is the mean over seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau, rankdata, weightedtau

from limbeck.seeding import generator

Array = NDArray[np.float64]

RESAMPLES = 1000
"""Resamples of an interval."""

LEVEL = 95
"""Per cent of the resamples that an interval holds."""

LEAST = 3
"""Architectures from which a correlation says anything."""

FEWEST = 8
"""Architectures from which an interval does: of fewer, resamples often hold two or three different ones."""

PAIRS = 1000
"""Architectures up to which tau has an interval: pairs are many."""


ROUNDING = 1e-12
"""Share of a sum below which it counts as nothing."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        value: None where it is not defined.
        low: lower end of the interval; None where it has none.
        high: upper end.
        number: architectures it is made of.
        reason: why it is not defined.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    number: int = 0
    reason: str = ""


def usable(scores: Sequence[float | None]) -> Array:
    """Return scores as numbers that can be ranked, shape [n]; one that is missing or not finite ranks lowest.

    Args:
        scores: the greater the better.
    """
    found = np.array([np.nan if score is None else score for score in scores], dtype=np.float64)
    return np.where(np.isfinite(found), found, -np.inf)


def resamples(number: int, times: int = RESAMPLES) -> Array:
    """Return how often each resample holds each architecture, shape [times, number]; the same in every process."""
    chance = generator(0, "nas", "bootstrap", f"{number}")
    places = torch.randint(number, (times, number), generator=chance)
    counts = torch.zeros(times, number, dtype=torch.float64)
    return np.asarray(counts.scatter_add_(1, places, torch.ones_like(counts)).numpy(), dtype=np.float64)


def spearman(scores: Sequence[Array], truth: Array) -> Estimate:
    """Return Spearman's rho with its interval.

    Args:
        scores: of each seed of a proxy, shape [n] each, as ``usable`` returns them.
        truth: accuracies, shape [n].
    """
    return _estimate(scores, truth, _rho, _rhos)


def kendall(scores: Sequence[Array], truth: Array, *, interval: bool = True) -> Estimate:
    """Return Kendall's tau-b.

    Args:
        scores: of each seed of a proxy, shape [n] each.
        truth: accuracies, shape [n].
        interval: whether it is wanted; of more than ``PAIRS`` architectures there is none.
    """
    return _estimate(scores, truth, _tau, _taus if interval and len(truth) <= PAIRS else None)


def weighted(scores: Sequence[Array], truth: Array, *, interval: bool = True) -> Estimate:
    """Return the weighted tau; arguments as of ``kendall``."""
    return _estimate(scores, truth, _weighted_tau, _weighted_taus if interval and len(truth) <= PAIRS else None)


def difference(scores: Sequence[Array], others: Sequence[Array], truth: Array) -> Estimate:
    """Return how far Spearman's rho of one proxy lies above another's, with the paired interval.

    Args:
        scores: of each seed of the one, shape [n] each.
        others: of each seed of the other, likewise.
        truth: accuracies, shape [n].
    """
    reason = undefined(scores, truth) or undefined(others, truth)
    if reason:
        return Estimate(None, number=len(truth), reason=reason)
    counts = resamples(len(truth))
    value = _mean([_rho(own, truth) for own in scores]) - _mean([_rho(own, truth) for own in others])
    drawn = np.mean([_rhos(own, truth, counts) for own in scores], axis=0)
    drawn -= np.mean([_rhos(own, truth, counts) for own in others], axis=0)
    return Estimate(value, *_interval(drawn, len(truth)), len(truth))


def noise_floor(truths: Sequence[Array]) -> Estimate:
    """Return Spearman's rho between trainings of all architectures from different seeds: the mean over pairs of seeds.

    Args:
        truths: accuracies of each seed, shape [n] each.
    """
    number = len(truths[0]) if truths else 0
    if len(truths) < 2:
        return Estimate(None, number=number, reason="the table of truth has one seed")
    pairs = list(combinations(truths, 2))
    reason = next(filter(None, (undefined([one], other) for one, other in pairs)), "")
    if reason:
        return Estimate(None, number=number, reason=reason)
    counts = resamples(number)
    drawn = np.mean([_rhos(one, other, counts) for one, other in pairs], axis=0)
    return Estimate(_mean([_rho(one, other) for one, other in pairs]), *_interval(drawn, number), number)


def ceiling(floor: float, seeds: int) -> float | None:
    """Return the rho that a proxy could reach if it knew what each architecture is worth without noise.

    With r between two seeds, the mean of K seeds correlates with what is behind it by sqrt(K r / (1 + (K - 1) r))
    (Spearman and Brown); of ranks it holds about.

    Args:
        floor: r.
        seeds: K, over which accuracies are averaged.

    Returns:
        None where r is not positive: then seeds say nothing of each other.
    """
    return float(np.sqrt(seeds * floor / (1 + (seeds - 1) * floor))) if floor > 0 else None


def undefined(scores: Sequence[Array], truth: Array) -> str:
    """Return why no correlation is defined, or nothing where one is."""
    if len(truth) < LEAST:
        return f"fewer than {LEAST} architectures"
    if _is_constant(truth):
        return "all accuracies are equal"
    if not scores or any(map(_is_constant, scores)):
        return "all scores are equal"
    return ""


Single = Callable[[Array, Array], float]
Many = Callable[[Array, Array, Array], Array]


def _estimate(scores: Sequence[Array], truth: Array, single: Single, many: Many | None) -> Estimate:
    reason = undefined(scores, truth)
    if reason:
        return Estimate(None, number=len(truth), reason=reason)
    value = _mean([single(own, truth) for own in scores])
    if many is None:
        return Estimate(value, number=len(truth))
    counts = resamples(len(truth))
    drawn = np.mean([many(own, truth, counts) for own in scores], axis=0)
    return Estimate(value, *_interval(drawn, len(truth)), len(truth))


def _interval(drawn: Array, number: int) -> tuple[float | None, float | None]:
    """Return the middle of resampled figures; nothing of too few architectures, or where half of them have none."""
    known = drawn[np.isfinite(drawn)]
    if number < FEWEST or 2 * len(known) < len(drawn):
        return None, None
    low, high = np.percentile(known, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return float(low), float(high)


def _rho(scores: Array, truth: Array) -> float:
    return float(_rhos(scores, truth, np.ones((1, len(truth))))[0])


def _rhos(scores: Array, truth: Array, counts: Array) -> Array:
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


def _tau(scores: Array, truth: Array) -> float:
    return float(kendalltau(rankdata(scores), rankdata(truth), variant="b").statistic)


def _taus(scores: Array, truth: Array, counts: Array) -> Array:
    """Return tau-b of resamples; arguments and shape as of ``_rhos``."""
    return _signed(scores, truth, counts, counts)


def _weighted_tau(scores: Array, truth: Array) -> float:
    return float(weightedtau(rankdata(scores), rankdata(truth)).statistic)


def _weighted_taus(scores: Array, truth: Array, counts: Array) -> Array:
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


def _is_constant(values: Array) -> bool:
    return bool((values == values[0]).all())


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
