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

from limbeck_applications.nas.tables.resampling import (
    Array,
    resamples,
    rho,
    rhos,
    tau,
    taus,
    weighted_tau,
    weighted_taus,
)

LEVEL = 95
"""Per cent of the resamples that an interval holds."""

LEAST = 3
"""Architectures from which a correlation says anything."""

FEWEST = 8
"""Architectures from which an interval does: of fewer, resamples often hold two or three different ones."""

PAIRS = 1000
"""Architectures up to which tau has an interval: pairs are many."""


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


def spearman(scores: Sequence[Array], truth: Array) -> Estimate:
    """Return Spearman's rho with its interval.

    Args:
        scores: of each seed of a proxy, shape [n] each, as ``usable`` returns them.
        truth: accuracies, shape [n].
    """
    return _estimate(scores, truth, rho, rhos)


def kendall(scores: Sequence[Array], truth: Array, *, interval: bool = True) -> Estimate:
    """Return Kendall's tau-b.

    Args:
        scores: of each seed of a proxy, shape [n] each.
        truth: accuracies, shape [n].
        interval: whether it is wanted; of more than ``PAIRS`` architectures there is none.
    """
    return _estimate(scores, truth, tau, taus if interval and len(truth) <= PAIRS else None)


def weighted(scores: Sequence[Array], truth: Array, *, interval: bool = True) -> Estimate:
    """Return the weighted tau; arguments as of ``kendall``."""
    return _estimate(scores, truth, weighted_tau, weighted_taus if interval and len(truth) <= PAIRS else None)


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
    value = _mean([rho(own, truth) for own in scores]) - _mean([rho(own, truth) for own in others])
    drawn = np.mean([rhos(own, truth, counts) for own in scores], axis=0)
    drawn -= np.mean([rhos(own, truth, counts) for own in others], axis=0)
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
    drawn = np.mean([rhos(one, other, counts) for one, other in pairs], axis=0)
    return Estimate(_mean([rho(one, other) for one, other in pairs]), *_interval(drawn, number), number)


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


def estimate_record(name: str, found: Estimate | None) -> dict[str, float | None]:
    """Return a figure and its interval for a spreadsheet."""
    values = (None, None, None) if found is None else (found.value, found.low, found.high)
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


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


def _is_constant(values: Array) -> bool:
    return bool((values == values[0]).all())


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
