"""From scores to the tables of a ranking: what each proxy says of the space, and how long that took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.compare.rows import write_csv
from limbeck_applications.nas.space import Architecture
from limbeck_applications.nas.study.rows import Ranking, RankOutcome
from limbeck_applications.nas.tables import tops
from limbeck_applications.nas.tables.ranked import Line, Places, Top
from limbeck_applications.nas.tables.resampling import Array
from limbeck_applications.nas.tables.statistics import Estimate, ceiling, kendall, noise_floor, weighted

TABLE_CSV, GROUPS_CSV, SCORES_CSV = "table.csv", "groups.csv", "scores.csv"

SHARES = (0.05, 0.1, 0.2)
"""Of the space: the best that figures are given for."""

KINDS = 6
"""Values up to which a trait divides a space into groups."""

BASELINE = "parameters"
"""The proxy that the others are to beat."""


ANOTHER = "full training, another seed"
"""What stands in the place of a proxy where full training is held against itself."""


@dataclass(frozen=True)
class Results:
    """A ranking as far as it has come.

    Attributes:
        outcome: what it was made of.
        lines: proxies with a finished ranking, as they were asked for.
    """

    outcome: RankOutcome
    lines: tuple[Line, ...]

    @classmethod
    def of(cls, outcome: RankOutcome) -> Results:
        """Gather the finished rankings of an outcome."""
        names, truth = tuple(each.name for each in outcome.architectures), _truth(outcome)
        titles = dict.fromkeys(each.proxy for each in outcome.rankings)
        lines = []
        for title in titles:
            own = [each for each in outcome.rankings if each.proxy == title]
            whole = tuple(each for each in own if not each.failed and len(each.scores) == len(names))
            if whole:
                lines.append(Line(title, whole, len(own), names, truth))
        return cls(outcome, tuple(lines))

    @property
    def truth(self) -> Array | None:
        """Mean accuracy of each architecture over the seeds of the table, shape [n], or None."""
        return _truth(self.outcome)

    @property
    def baseline(self) -> Line | None:
        """The line of the parameter count."""
        return next((line for line in self.lines if line.proxy == BASELINE), None)

    @property
    def best(self) -> Line | None:
        """The line of the greatest rho, without a table the first, of those that score every architecture."""
        return next(iter(self.ordered or [line for line in self.lines if line.whole]), None)

    @cached_property
    def ordered(self) -> list[Line]:
        """The lines that score every architecture and have a rho, the greatest first."""
        known = [(line.spearman.value, line) for line in self.lines if line.whole and line.spearman is not None]
        defined = [(value, line) for value, line in known if value is not None]
        return [line for _, line in sorted(defined, key=lambda each: -each[0])]

    @cached_property
    def lead(self) -> tuple[Line, Estimate] | None:
        """The second best line, and how far the best lies above it; None where there are no two."""
        if len(self.ordered) < 2:
            return None
        return self.ordered[1], self.ordered[0].over(self.ordered[1])

    @property
    def alike(self) -> list[Line]:
        """The lines that the best is not told apart from: the interval of the difference holds zero or is missing."""
        apart = [(line, self.ordered[0].over(line).low) for line in self.ordered[1:]]
        return [line for line, low in apart if low is None or low <= 0]

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
        found = {name: noise_floor([each[places] for each in self.trained]) for name, places in self._shared().items()}
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

    @property
    def numbers(self) -> list[int]:
        """How many best architectures figures are given for: shares of the space, and what was asked for."""
        count = len(self.outcome.architectures)
        return sorted({*(tops.share_of(share, count) for share in SHARES), *self.outcome.settings.top})

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

    def groups(self, line: Line) -> dict[str, Places]:
        """Return the architectures that correlations of a line are taken of, by what they are called."""
        shared = self._shared()
        if line.truth is None:
            return shared
        numbers = {share: tops.share_of(share, len(self.outcome.architectures)) for share in SHARES}
        return shared | {f"own top {100 * share:g} %": tops.best(line.order, own) for share, own in numbers.items()}

    def _shared(self) -> dict[str, Places]:
        """Return the groups that are the same for all lines."""
        count, truth = len(self.outcome.architectures), self.truth
        found = {"all": np.arange(count)}
        if truth is not None:
            for share in SHARES:
                found[f"true top {100 * share:g} %"] = tops.best(truth, tops.share_of(share, count))
        for trait, kinds in self.traits.items():
            found |= {f"{trait} {kind}": places for kind, places in kinds.items()}
        return found

    def chosen(self, line: Line, number: int) -> list[Architecture]:
        """Return a proxy's best architectures, the best first and of equals the first of the space."""
        order = np.argsort(-line.order, kind="stable")[:number]
        return [self.outcome.architectures[place] for place in order]

    def save(self, folder: Path) -> None:
        """Write ``table.csv``, a line a proxy, ``groups.csv``, a line a group, and ``scores.csv``, one an architecture.

        Raises:
            UsageError: the folder cannot be written.
        """
        for name, records in (
            (TABLE_CSV, [self._record(line) for line in self.lines]),
            (GROUPS_CSV, [] if self.truth is None else self._groups()),
            (SCORES_CSV, self._scores()),
        ):
            if records:
                write_csv(folder / name, records, list(records[0]))

    def above(self, line: Line) -> Estimate | None:
        """How far a line's rho lies above that of the parameter count, among the architectures it has scores for."""
        return None if self.baseline is None or line.truth is None else line.within(line.scored, self.baseline)

    def _record(self, line: Line) -> dict[str, Any]:
        over = None if self.baseline is None or line.truth is None else line.over(self.baseline)
        best = {f"{key}_at_{top.number}": getattr(top, key) for top, key in self._tops(line)}
        return {
            "proxy": line.proxy,
            "seeds": len(line.rankings),
            "planned": line.planned,
            "architectures": len(line.names),
            "without_score": line.undefined,
            "seconds": line.seconds,
            "making_seconds": line.making,
            "images": line.images,
            "bytes": line.bytes,
            **estimate_record("spearman", line.spearman),
            **estimate_record("kendall_tau_b", line.kendall),
            **estimate_record("weighted_tau", line.weighted),
            **estimate_record(f"above_{BASELINE}", over),
            **estimate_record("spearman_of_scored", None if line.truth is None else line.within(line.scored)),
            **estimate_record(f"above_{BASELINE}_of_scored", self.above(line)),
            "spearman_per_second": line.per_second,
            **best,
        }

    def _tops(self, line: Line) -> list[tuple[Top, str]]:
        found = [top for number in self.numbers if (top := line.top(number))]
        return [(top, key) for top in found for key in ("precision", "regret", "best_rank")]

    def _groups(self) -> list[dict[str, Any]]:
        """Return a line for each proxy and group, and what full training from another seed reaches there."""
        records = [each for line in self.lines for each in self._grouped(line)]
        empty = dict.fromkeys(records[0]) if records else {}
        for name, found in self.floors.items() if records else ():
            own = {"proxy": ANOTHER, "group": name, "architectures": found.number, "undefined": found.reason}
            records.append({**empty, **own, **estimate_record("spearman", found)})
        return records

    def _grouped(self, line: Line) -> list[dict[str, Any]]:
        records = []
        for name, places in self.groups(line).items():
            assert line.truth is not None
            own, truth = [each[places] for each in line.scores], line.truth[places]
            found = line.within(places)
            over = None if self.baseline is None else line.within(places, self.baseline)
            records.append(
                {
                    "proxy": line.proxy,
                    "group": name,
                    "architectures": len(places),
                    "without_score": int((~line.known[places]).sum()),
                    **estimate_record("spearman", found),
                    "kendall_tau_b": kendall(own, truth, interval=False).value,
                    "weighted_tau": weighted(own, truth, interval=False).value,
                    **estimate_record(f"above_{BASELINE}", over),
                    "undefined": found.reason,
                }
            )
        return records

    def _scores(self) -> list[dict[str, Any]]:
        """Return what is known of each architecture, rankings that are not finished included."""
        truth = self.truth
        records: list[dict[str, Any]] = []
        for place, each in enumerate(self.outcome.architectures):
            cost = self.outcome.costs[each.name]
            known: Mapping[str, Any] = {} if truth is None else {"accuracy": float(truth[place])}
            scores = {
                _titled(ranking): own.value if (own := ranking.scores.get(each.name)) else None
                for ranking in self.outcome.rankings
            }
            costs = {"parameter_count": cost.parameters, "forward_flops": cost.flops}
            records.append({"architecture": each.name, **each.traits, **costs, **known, **scores})
        return records


def estimate_record(name: str, found: Estimate | None) -> dict[str, float | None]:
    """Return a figure and its interval for a spreadsheet."""
    values = (None, None, None) if found is None else (found.value, found.low, found.high)
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


def _truth(outcome: RankOutcome) -> Array | None:
    if outcome.truth is None:
        return None
    known = outcome.truth.mean()
    return np.array([known[each.name] for each in outcome.architectures])


def _titled(ranking: Ranking) -> str:
    return f"score of {ranking.proxy}, seed {ranking.seed}"
