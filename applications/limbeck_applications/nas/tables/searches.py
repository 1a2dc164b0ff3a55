"""From trials to the tables of a study of searches: what each searcher found, and how soon."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from limbeck.compare.rows import write_csv
from limbeck_applications.nas.searchers.pareto import Objective, front, point, shares
from limbeck_applications.nas.study.rows import Found, Searched, SearchOutcome
from limbeck_applications.nas.tables.results import SCORES_CSV, TABLE_CSV
from limbeck_applications.nas.truth import mean_accuracy

COSTS: tuple[Objective, ...] = ("parameters", "flops")
"""What a score is weighed against."""

LARGE = 1e5
"""Scores from which powers of ten are written."""


@dataclass(frozen=True)
class Spread:
    """Mean and population standard deviation over searches.

    Attributes:
        mean: of those that have the figure.
        std: likewise.
        number: how many have it.
    """

    mean: float
    std: float
    number: int

    @property
    def form(self) -> str:
        """How mean and deviation are written: with four significant digits of the mean."""
        size = abs(self.mean)
        digits = 4 if not size else 3 - math.floor(math.log10(size))
        return f".{max(0, digits)}f" if size == 0 or 1e-4 <= size < LARGE else ".4g"

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread | None:
        """Gather figures; None where there is none."""
        known = [value for value in values if value is not None and math.isfinite(value)]
        return cls(statistics.fmean(known), statistics.pstdev(known), len(known)) if known else None


@dataclass(frozen=True)
class Line:
    """What one searcher came to, over its seeds.

    Attributes:
        searcher: its name, with its options where they are not the defaults.
        searches: those with a trial, at least one.
        planned: seeds it will have.
        truth: accuracy of full training by architecture; empty without a table.
        volumes: hypervolume of each search in score, parameters and FLOPs, as a share of one box for all, see
            ``pareto.shares``; None where all their scores are equal.
    """

    searcher: str
    searches: tuple[Searched, ...]
    planned: int
    truth: dict[str, float]
    volumes: tuple[float | None, ...]

    @cached_property
    def curves(self) -> list[list[float]]:
        """The best score after each evaluation of each search; minus infinity before the first."""
        return [best_so_far(each) for each in self.searches]

    def spread(self, figure: Callable[[Searched], float | None]) -> Spread | None:
        """Return a figure of its searches."""
        return Spread.of(figure(each) for each in self.searches)

    @property
    def best(self) -> Spread | None:
        """Best score."""
        return self.spread(lambda each: each.best.value if each.best else None)

    @property
    def accuracy(self) -> Spread | None:
        """Test accuracy, from the table, of the best by score."""
        return self.spread(lambda each: self.truth.get(each.best.architecture.name) if each.best else None)

    @property
    def retrained(self) -> Spread | None:
        """Test accuracy of the best by score, trained on all the images."""
        return self.spread(lambda each: each.reached)

    @property
    def trainings(self) -> Spread | None:
        """How many trainings by the proxy the best by score has behind it: more than one where a searcher grows it."""
        return self.spread(lambda each: float(each.best.notes.get("trainings", 1)) if each.best else None)

    @property
    def volume(self) -> Spread | None:
        """Hypervolume."""
        return Spread.of(self.volumes)

    @property
    def evaluations(self) -> float:
        """Mean number of architectures scored."""
        return statistics.fmean(len(each.found) for each in self.searches)

    @property
    def seconds(self) -> float:
        """Mean seconds of a search, without what the proxy made first."""
        return statistics.fmean(each.seconds for each in self.searches)

    @property
    def finished(self) -> int:
        """Searches that came to their end."""
        return sum(each.finished for each in self.searches)


@dataclass(frozen=True)
class SearchResults:
    """A study of searches as far as it has come.

    Attributes:
        outcome: what it was made of.
        lines: searchers with a trial, as they were asked for.
    """

    outcome: SearchOutcome
    lines: tuple[Line, ...]

    @classmethod
    def of(cls, outcome: SearchOutcome) -> SearchResults:
        """Gather the trials of an outcome."""
        begun = [each for each in outcome.searches if each.found]
        volumes: list[float | None] = list(shares([[_point(one) for one in sound(each)] for each in begun]))
        if Searched("", 0, [one for each in begun for one in each.found]).is_flat:
            volumes = [None] * len(begun)
        truth = {} if outcome.truth is None else outcome.truth.mean()
        lines = []
        for title in dict.fromkeys(each.searcher for each in outcome.searches):
            own = [place for place, each in enumerate(begun) if each.searcher == title]
            planned = sum(each.searcher == title for each in outcome.searches)
            if own:
                found = tuple(begun[place] for place in own), planned, truth, tuple(volumes[place] for place in own)
                lines.append(Line(title, *found))
        return cls(outcome, tuple(lines))

    @property
    def best(self) -> Line | None:
        """The line of the greatest mean accuracy of full training or, unless all have one, of the best score.

        None where there is none, or several are equal.
        """
        known = [(mean_accuracy([line.retrained.mean]), line) for line in self.lines if line.retrained]
        if not known or len(known) < len(self.lines):
            known = [(line.best.mean, line) for line in self.lines if line.best]
        greatest = max((value for value, _ in known), default=None)
        first = [line for value, line in known if value == greatest]
        return first[0] if len(first) == 1 else None

    @property
    def unequal(self) -> bool:
        """Whether a best score comes after more trainings than one: then scores are not of equal training."""
        return any(line.trainings is not None and line.trainings.mean != 1 for line in self.lines)

    @cached_property
    def every(self) -> list[Found]:
        """The trials of all searches, an architecture once: its best score."""
        found: dict[str, Found] = {}
        for one in (one for each in self.outcome.searches for one in sound(each)):
            name = one.architecture.name
            if name not in found or (one.value or 0) > (found[name].value or 0):
                found[name] = one
        return list(found.values())

    def front(self, cost: Objective) -> list[Found]:
        """Return the trials of all searches that none beats in score and in one cost, by rising cost."""
        points = [point(one.value or 0.0, one.parameters, one.flops, ("score", cost)) for one in self.every]
        return sorted((self.every[place] for place in front(points)), key=lambda one: getattr(one, cost))

    def save(self, folder: Path) -> None:
        """Write ``table.csv``, a line a searcher, and ``scores.csv``, a line a trial.

        Raises:
            UsageError: the folder cannot be written.
        """
        trials = [self._trial(each, one) for each in self.outcome.searches for one in each.found]
        for name, records in ((TABLE_CSV, [_record(line) for line in self.lines]), (SCORES_CSV, trials)):
            if records:
                write_csv(folder / name, records, list(records[0]))

    def _trial(self, search: Searched, one: Found) -> dict[str, Any]:
        truth = {} if self.outcome.truth is None else self.outcome.truth.mean()
        again = {each.architecture: each.test for each in search.retrained}
        return {
            "searcher": search.searcher,
            "seed": search.seed,
            "number": one.number,
            "architecture": one.architecture.name,
            "score": one.value,
            "parameters": one.parameters,
            "flops": one.flops,
            "seconds": one.seconds,
            "accuracy": truth.get(one.architecture.name),
            "retrained": again.get(one.architecture.name),
            "failed": one.failed,
            "notes": json.dumps(dict(one.notes)) if one.notes else "",
        }


def best_so_far(search: Searched) -> list[float]:
    """Return the best score after each evaluation; minus infinity while there is none."""
    found: list[float] = []
    for one in search.found:
        value = -math.inf if one.value is None else one.value
        found.append(max(value, found[-1]) if found else value)
    return found


def sound(search: Searched) -> list[Found]:
    """Return the trials that have a score."""
    return [one for one in search.found if one.value is not None]


def _point(one: Found) -> tuple[float, ...]:
    return point(one.value or 0.0, one.parameters, one.flops)


def _record(line: Line) -> dict[str, Any]:
    spreads: Sequence[tuple[str, Spread | None]] = (
        ("best_score", line.best),
        ("accuracy", line.accuracy),
        ("retrained", line.retrained),
        ("hypervolume", line.volume),
    )
    return {
        "searcher": line.searcher,
        "seeds": len(line.searches),
        "finished": line.finished,
        "planned": line.planned,
        "evaluations": line.evaluations,
        "seconds": line.seconds,
        "trainings_of_best": None if line.trainings is None else line.trainings.mean,
        **{name: None if own is None else own.mean for name, own in spreads},
        **{f"{name}_std": None if own is None or own.number < 2 else own.std for name, own in spreads},
    }
