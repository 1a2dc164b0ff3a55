"""From scores to the tables of a ranking: what each proxy says of the space, and how long that took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.compare.rows import write_csv
from limbeck_applications.nas.space import Architecture
from limbeck_applications.nas.study.rows import Ranking, RankOutcome
from limbeck_applications.nas.tables import tops
from limbeck_applications.nas.tables.ranked import Line, Places, Top
from limbeck_applications.nas.tables.statistics import Estimate, estimate_record, kendall, weighted
from limbeck_applications.nas.tables.trained import SHARES, Trained, accuracies

TABLE_CSV, GROUPS_CSV, SCORES_CSV = "table.csv", "groups.csv", "scores.csv"

BASELINE = "parameters"
"""The proxy that the others are to beat."""


ANOTHER = "full training, another seed"
"""What stands in the place of a proxy where full training is held against itself."""


@dataclass(frozen=True)
class Results(Trained):
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
        names, truth = tuple(each.name for each in outcome.architectures), accuracies(outcome)
        titles = dict.fromkeys(each.proxy for each in outcome.rankings)
        lines = []
        for title in titles:
            own = [each for each in outcome.rankings if each.proxy == title]
            whole = tuple(each for each in own if not each.failed and len(each.scores) == len(names))
            if whole:
                lines.append(Line(title, whole, len(own), names, truth))
        return cls(outcome, tuple(lines))

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

    @property
    def numbers(self) -> list[int]:
        """How many best architectures figures are given for: shares of the space, and what was asked for."""
        count = len(self.outcome.architectures)
        return sorted({*(tops.share_of(share, count) for share in SHARES), *self.outcome.settings.top})

    def groups(self, line: Line) -> dict[str, Places]:
        """Return the architectures that correlations of a line are taken of, by what they are called."""
        shared = self.shared()
        if line.truth is None:
            return shared
        numbers = {share: tops.share_of(share, len(self.outcome.architectures)) for share in SHARES}
        return shared | {f"own top {100 * share:g} %": tops.best(line.order, own) for share, own in numbers.items()}

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


def _titled(ranking: Ranking) -> str:
    return f"score of {ranking.proxy}, seed {ranking.seed}"
