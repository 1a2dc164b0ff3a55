"""What one proxy came to: its scores against full training, over its seeds."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from limbeck_applications.nas.study.rows import Ranking
from limbeck_applications.nas.tables import tops
from limbeck_applications.nas.tables.resampling import Array
from limbeck_applications.nas.tables.statistics import Estimate, difference, kendall, spearman, usable, weighted

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Top:
    """What the best few by a proxy are worth, the mean over its seeds; see ``tops``.

    Attributes:
        number: how many.
        precision: share of them that full training has among as many.
        regret: how far the best accuracy lies above theirs, in [0, 1].
        best_rank: rank of the most accurate of them.
    """

    number: int
    precision: float
    regret: float
    best_rank: float


@dataclass(frozen=True)
class Line:
    """What one proxy came to, over its seeds.

    Attributes:
        proxy: its name, with its options where they are not the defaults.
        rankings: its finished ones, at least one.
        planned: seeds it will have.
        names: of the architectures.
        truth: accuracies, shape [n], or None where there is no table.
    """

    proxy: str
    rankings: tuple[Ranking, ...]
    planned: int
    names: tuple[str, ...]
    truth: Array | None

    @cached_property
    def scores(self) -> list[Array]:
        """Scores of each seed in the order of the architectures, shape [n]; what is missing ranks lowest."""
        return [usable([each.scores[name].value for name in self.names]) for each in self.rankings]

    @cached_property
    def order(self) -> Array:
        """Mean rank of each architecture over the seeds, the greater the better, shape [n]."""
        found: Array = np.mean([rankdata(own) for own in self.scores], axis=0)
        return found

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """Which architectures have a score from every seed, shape [n]."""
        return np.asarray(np.isfinite(np.stack(self.scores)).all(axis=0), dtype=np.bool_)

    @property
    def whole(self) -> bool:
        """Whether every architecture has a score.

        A line that is not whole is held against no other: that it ranks lowest what it has no score for may be a good
        guess, but it is none of the proxy's.
        """
        return bool(self.known.all())

    @property
    def scored(self) -> Places:
        """The architectures that have a score from every seed."""
        return np.flatnonzero(self.known)

    @property
    def undefined(self) -> int:
        """Architectures without a score, the most of all seeds: they rank lowest."""
        return max(sum(scored.value is None for scored in each.scores.values()) for each in self.rankings)

    @property
    def reason(self) -> str:
        """Why the first of them has none."""
        return next((own.failed for each in self.rankings for own in each.scores.values() if own.failed), "")

    @property
    def tied(self) -> int:
        """How many architectures have the greatest mean rank: all of them where all scores are equal."""
        return int((self.order == self.order.max()).sum())

    @property
    def ties(self) -> str:
        """What is to be said of that; nothing where one architecture is the best."""
        if 1 < self.tied == len(self.order):
            return "all scores are equal: the proxy tells nothing apart"
        return f"{self.tied} architectures tie for the best score" if self.tied > 1 else ""

    @property
    def making(self) -> float:
        """Mean seconds before the first architecture, such as distilling."""
        return statistics.fmean(0.0 if each.made is None else each.made.seconds for each in self.rankings)

    @property
    def seconds(self) -> float:
        """Mean seconds of a seed in all, what was made first included."""
        return statistics.fmean(each.seconds for each in self.rankings)

    @property
    def images(self) -> int:
        """Images that the proxy stores."""
        return max(0 if each.made is None else each.made.images for each in self.rankings)

    @property
    def bytes(self) -> int:
        """Bytes of these and their labels."""
        return max(0 if each.made is None else each.made.bytes for each in self.rankings)

    @cached_property
    def spearman(self) -> Estimate | None:
        """Spearman's rho over all; None without a table of truth."""
        return None if self.truth is None else spearman(self.scores, self.truth)

    @cached_property
    def kendall(self) -> Estimate | None:
        """Kendall's tau-b over all."""
        return None if self.truth is None else kendall(self.scores, self.truth)

    @cached_property
    def weighted(self) -> Estimate | None:
        """The weighted tau over all."""
        return None if self.truth is None else weighted(self.scores, self.truth)

    @property
    def per_second(self) -> float | None:
        """Spearman's rho divided by seconds; None where an architecture has no score."""
        value = None if self.spearman is None or not self.whole else self.spearman.value
        return None if value is None or self.seconds <= 0 else value / self.seconds

    def top(self, number: int) -> Top | None:
        """Return what its ``number`` best are worth; None without a table of truth."""
        if self.truth is None:
            return None
        means = (
            statistics.fmean(figure(own, self.truth, number) for own in self.scores)
            for figure in (tops.precision, tops.regret, tops.best_rank)
        )
        return Top(number, *means)

    def within(self, places: Places, other: Line | None = None) -> Estimate:
        """Return Spearman's rho over some architectures or, with another line, how far it lies above that one's."""
        key = places.tobytes(), "" if other is None else other.proxy
        if key not in self._known:
            self._known[key] = self._within(places, other)
        return self._known[key]

    def _within(self, places: Places, other: Line | None) -> Estimate:
        assert self.truth is not None
        own, truth = [each[places] for each in self.scores], self.truth[places]
        if other is None:
            return spearman(own, truth)
        missing = int((~self.known[places] | ~other.known[places]).sum())
        if missing:
            return Estimate(None, number=len(places), reason=f"{missing} of {len(places)} have no score")
        return difference(own, [each[places] for each in other.scores], truth)

    @cached_property
    def _known(self) -> dict[tuple[object, str], Estimate]:
        return {}

    def over(self, other: Line) -> Estimate:
        """Return how far its rho over all lies above another line's."""
        return self.within(np.arange(len(self.names)), other)
