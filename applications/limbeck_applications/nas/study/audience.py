"""Who is told what while a ranking, a search or full training goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from limbeck.errors import UsageError

if TYPE_CHECKING:
    from limbeck_applications.nas.study.rows import Found, Made, Outcome, Scored
    from limbeck_applications.nas.truth import Measured


class Audience:
    """Told of everything that happens; what it does not override is nothing."""

    def planned(self, outcome: Outcome) -> None:
        """Called first, with what is there already."""

    def prepares(self, proxy: str, seed: int) -> None:
        """Called before a proxy makes what all architectures share."""

    def prepared(self, proxy: str, seed: int, made: Made) -> None:
        """Called when that is made."""

    def scored(self, proxy: str, seed: int, name: str, scored: Scored, done: int, total: int) -> None:
        """Called when a ranking has an architecture's score: the ``done``-th of ``total``."""

    def searches(self, searcher: str, seed: int, total: int) -> None:
        """Called before a search begins, which may make ``total`` evaluations."""

    def found(self, searcher: str, seed: int, found: Found, done: int, total: int) -> None:
        """Called for each trial of a search, those of an earlier start included."""

    def works(self, done: int, total: int, what: str) -> None:
        """Called in long work between evaluations."""

    def retrained(self, searcher: str, seed: int, measured: Measured) -> None:
        """Called when one of a search's best was trained on all the images."""

    def trained(self, done: int, total: int, measured: Measured) -> None:
        """Called for each network of a table that is trained in full, those of an earlier start included."""

    def failed(self, what: str, reason: str) -> None:
        """Called when a proxy or a search came to nothing; the others go on."""

    def tabled(self, outcome: Outcome) -> None:
        """Called with what there is now and then, and at the end."""


def tell_broken(told: Audience, who: str, results: Sequence[Scored | Found]) -> None:
    """Tell of what an error in a program ended, by its first reason.

    Args:
        told: hears of it where other architectures have a score.
        who: the proxy or searcher, and the seed.
        results: all its results.

    Raises:
        UsageError: the reason, where no architecture has a score.
    """
    reasons = [each.failed for each in results if each.broken]
    if not reasons:
        return
    if all(each.value is None for each in results):
        raise UsageError(reasons[0])
    told.failed(f"{who}: {len(reasons)} of {len(results)} architectures", reasons[0])
