"""The tables of full training itself: what each architecture reaches, and what seeds say of each other in groups."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.compare.rows import write_csv
from limbeck_applications.nas.cost import Cost
from limbeck_applications.nas.space import Architecture
from limbeck_applications.nas.study.kept import TABLE
from limbeck_applications.nas.study.rows import TruthOutcome
from limbeck_applications.nas.tables.results import GROUPS_CSV, SCORES_CSV
from limbeck_applications.nas.tables.searches import Spread
from limbeck_applications.nas.tables.statistics import LEAST, Estimate, estimate_record, noise_floor
from limbeck_applications.nas.tables.trained import Trained
from limbeck_applications.nas.truth import Measured, mean_accuracy, write_truth

DEVIATIONS = 2
"""Binomial standard deviations above chance up to which an accuracy is no better than that."""


@dataclass(frozen=True)
class Line:
    """What one architecture came to.

    Attributes:
        architecture: of the space.
        cost: its parameters and FLOPs.
        runs: its trainings, at least one, by seed.
    """

    architecture: Architecture
    cost: Cost
    runs: tuple[Measured, ...]

    @property
    def test(self) -> Spread:
        """Accuracy on test images."""
        found = Spread.of(each.test for each in self.runs)
        assert found is not None
        return replace(found, mean=mean_accuracy(each.test for each in self.runs))

    @property
    def validation(self) -> Spread | None:
        """Accuracy on the images that are kept aside."""
        return Spread.of(each.validation for each in self.runs)

    @property
    def seconds(self) -> Spread | None:
        """What a training took."""
        return Spread.of(each.seconds for each in self.runs)


@dataclass(frozen=True)
class Group:
    """Some architectures.

    Attributes:
        name: of what they have in common.
        number: of architectures.
        mean: of their accuracies.
        best: the greatest of them.
        floor: how well one seed ranks another among them.
    """

    name: str
    number: int
    mean: float
    best: float
    floor: Estimate


@dataclass(frozen=True)
class TruthResults(Trained):
    """Full training as far as it has come.

    Attributes:
        outcome: with the architectures that are trained from one seed at least.
        whole: with all of them.
    """

    outcome: TruthOutcome
    whole: TruthOutcome

    @classmethod
    def of(cls, outcome: TruthOutcome) -> TruthResults:
        """Gather what is trained."""
        return cls._among(outcome, {row.architecture for row in outcome.truth.rows})

    @classmethod
    def _among(cls, outcome: TruthOutcome, names: set[str]) -> TruthResults:
        kept = [each for each in outcome.architectures if each.name in names]
        return cls(replace(outcome, architectures=kept), outcome)

    @cached_property
    def paired(self) -> TruthResults:
        """The same of the architectures that are trained from every seed there is, which seeds are compared by."""
        seeds = [set(self.outcome.truth.of_seed(seed)) for seed in self.outcome.truth.seeds]
        return self._among(self.whole, set.intersection(*seeds) if seeds else set())

    @cached_property
    def lines(self) -> list[Line]:
        """The architectures, the most accurate first and of equals the first of the space."""
        runs: dict[str, list[Measured]] = {}
        for row in sorted(self.outcome.truth.rows, key=lambda row: row.seed):
            runs.setdefault(row.architecture, []).append(row)
        found = [
            Line(each, self.outcome.costs[each.name], tuple(runs[each.name])) for each in self.outcome.architectures
        ]
        return sorted(found, key=lambda line: -line.test.mean)

    @property
    def chance(self) -> str:
        """What is to be said where the best is no better than guessing; nothing where it is, or nobody can say."""
        classes, images = (self.outcome.truth.count(note) for note in ("classes", "test"))
        if not self.lines or not classes or not images:
            return ""
        share, best = 1 / classes, self.lines[0].test.mean
        if best > share + DEVIATIONS * math.sqrt(share * (1 - share) / images):
            return ""
        return (
            f"the best, {100 * best:.2f} %, is no better than chance ({100 * share:.2f} % of {classes} classes): no "
            "network has learned, and chance ranks them. Train longer (--epochs) or at another rate "
            "(--set training.lr=RATE)"
        )

    @property
    def seconds(self) -> float:
        """What all trainings took, each as long as it took when it was done."""
        return sum(row.seconds or 0.0 for row in self.outcome.truth.rows)

    @cached_property
    def deviation(self) -> float | None:
        """Mean over the architectures of the population deviation of accuracies over seeds; None of one seed."""
        found = [line.test.std for line in self.lines if line.test.number > 1]
        return float(np.mean(found)) if found else None

    @cached_property
    def groups(self) -> list[Group]:
        """All, the best by the mean accuracy, and the values of each trait; no best of fewer than a correlation needs.

        How well seeds agree is said of those of a group that are trained from every seed.
        """
        if self.truth is None or not len(self.truth):
            return []
        places = {each.name: place for place, each in enumerate(self.paired.outcome.architectures)}
        found = []
        for name, chosen in self.shared().items():
            if name.startswith("true top") and len(chosen) < LEAST:
                continue
            names = [self.outcome.architectures[place].name for place in chosen]
            both = [places[each] for each in names if each in places]
            own = self.truth[chosen]
            floor = noise_floor([each[both] for each in self.paired.trained])
            found.append(Group(name, len(chosen), float(own.mean()), float(own.max()), floor))
        return found

    def save(self, folder: Path) -> None:
        """Write ``scores.csv``, a line an architecture, ``groups.csv``, a line a group, and at the end ``truth.csv``.

        Raises:
            UsageError: the folder cannot be written.
        """
        scores, groups = [self._record(line) for line in self.lines], [_grouped(each) for each in self.groups]
        for name, records in ((SCORES_CSV, scores), (GROUPS_CSV, groups)):
            if records:
                write_csv(folder / name, records, list(records[0]))
        if self.lines and self.whole.is_over:
            write_truth(folder / TABLE, self.whole.truth)

    def _record(self, line: Line) -> dict[str, Any]:
        known = {each.seed: each.test for each in line.runs}
        return {
            "architecture": line.architecture.name,
            **line.architecture.traits,
            "parameter_count": line.cost.parameters,
            "forward_flops": line.cost.flops,
            "accuracy": line.test.mean,
            **{f"accuracy of seed {seed}": known.get(seed) for seed in self.outcome.truth.seeds},
            "validation": None if line.validation is None else line.validation.mean,
            "seconds": None if line.seconds is None else line.seconds.mean,
        }


def _grouped(group: Group) -> dict[str, Any]:
    return {
        "group": group.name,
        "architectures": group.number,
        "accuracy": group.mean,
        "best": group.best,
        "seeds_compared_by": group.floor.number,
        **estimate_record("spearman_of_seeds", group.floor),
        "undefined": group.floor.reason,
    }
