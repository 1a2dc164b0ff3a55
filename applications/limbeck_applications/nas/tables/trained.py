"""What full training says of a space: accuracies, how far seeds agree, and the groups that it is also said of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import permutations

import numpy as np

from limbeck_applications.nas.study.rows import RankOutcome, TruthOutcome
from limbeck_applications.nas.tables import tops
from limbeck_applications.nas.tables.ranked import Places
from limbeck_applications.nas.tables.resampling import Array
from limbeck_applications.nas.tables.statistics import Estimate, ceiling, noise_floor

SHARES = (0.05, 0.1, 0.2)
"""Of the space: the best that figures are given for."""

KINDS = 6
"""Values up to which a trait divides a space into groups."""


@dataclass(frozen=True)
class Trained:
    """Architectures with a table of full training, or without one.

    Attributes:
        outcome: what it was made of.
    """

    outcome: RankOutcome | TruthOutcome

    @property
    def truth(self) -> Array | None:
        """Mean accuracy of each architecture over the seeds of the table, shape [n], or None."""
        return accuracies(self.outcome)

    @cached_property
    def trained(self) -> list[Array]:
        """Accuracies of each seed of the table that has all architectures, shape [n] each."""
        table, names = self.outcome.truth, [each.name for each in self.outcome.architectures]
        by_seed = [] if table is None else [table.of_seed(seed) for seed in table.seeds]
        return [np.array([own[name] for name in names]) for own in by_seed if all(name in own for name in names)]

    @cached_property
    def floor(self) -> Estimate | None:
        """How well one seed of full training ranks another; None without a table."""
        return None if self.outcome.truth is None else noise_floor(self.trained)

    @property
    def ceiling(self) -> float | None:
        """The rho over all that a proxy without any error could be expected to reach."""
        found = None if self.floor is None else self.floor.value
        return None if found is None else ceiling(found, len(self.trained))

    @cached_property
    def floors(self) -> dict[str, Estimate]:
        """How well one seed of full training ranks another in each group; its own top is that of the one seed."""
        if self.truth is None:
            return {}
        found = {name: noise_floor([each[places] for each in self.trained]) for name, places in self.shared().items()}
        return found | {f"own top {100 * share:g} %": self._own_floor(share) for share in SHARES}

    def _own_floor(self, share: float) -> Estimate:
        """Take each seed for a proxy and every other for the truth; groups differ, so that there is no interval."""
        number = tops.share_of(share, len(self.outcome.architectures))
        found = []
        for one, other in permutations(self.trained, 2):
            places = tops.best(one, number)
            found.append(noise_floor([one[places], other[places]]))
        reasons = [each.reason for each in found if each.value is None] or ["the table of truth has one seed"]
        if not found or any(each.value is None for each in found):
            return Estimate(None, number=number, reason=reasons[0])
        return Estimate(float(np.mean([each.value for each in found])), number=number)

    @cached_property
    def traits(self) -> dict[str, dict[str, Places]]:
        """Groups of architectures by trait and value, of traits with a few values."""
        found: dict[str, dict[str, Places]] = {}
        for trait in dict.fromkeys(name for each in self.outcome.architectures for name in each.traits):
            words = [each.traits.get(trait, "") for each in self.outcome.architectures]
            kinds = list(dict.fromkeys(words))
            if 1 < len(kinds) <= KINDS:
                found[trait] = {kind: np.flatnonzero([word == kind for word in words]) for kind in kinds}
        return found

    def shared(self) -> dict[str, Places]:
        """Return the groups that depend on no proxy: all, the best by full training, and those of each trait."""
        count, truth = len(self.outcome.architectures), self.truth
        found = {"all": np.arange(count)}
        if truth is not None:
            for share in SHARES:
                found[f"true top {100 * share:g} %"] = tops.best(truth, tops.share_of(share, count))
        for trait, kinds in self.traits.items():
            found |= {f"{trait} {kind}": places for kind, places in kinds.items()}
        return found


def accuracies(outcome: RankOutcome | TruthOutcome) -> Array | None:
    """Return the mean accuracy of each architecture over the seeds of its table, shape [n], or None without one."""
    if outcome.truth is None:
        return None
    known = outcome.truth.mean()
    return np.array([known[each.name] for each in outcome.architectures])
