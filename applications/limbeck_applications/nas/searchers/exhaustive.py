"""Exhaustive search: every architecture of a space, what proxies and searchers are measured against. Unpublished."""

from __future__ import annotations

from itertools import islice

from limbeck.errors import UsageError
from limbeck_applications.nas.searcher import Lab, Plan, Searcher
from limbeck_applications.nas.space import Architecture


class Exhaustive(Searcher):
    """Score every architecture that fits the images, in the order of the space, in one call."""

    def check(self, plan: Plan) -> None:
        """Refuse a space that is too large to go through, and one of more architectures than may be scored.

        Raises:
            UsageError: says how many there are.
        """
        if sum(1 for _ in islice(plan.space.all(), plan.evaluations + 1)) > plan.evaluations:
            fitting(plan)

    def search(self, lab: Lab) -> None:
        """Score all.

        Raises:
            UsageError: there are more than may be scored, or none that fits.
        """
        lab.score(fitting(lab))


def fitting(where: Plan | Lab) -> list[Architecture]:
    """Return all architectures that fit the images.

    Raises:
        UsageError: there are more than may be scored, or none that fits.
    """
    space, found, refused = where.space, list[Architecture](), None
    for architecture in space.all():
        try:
            where.cost(architecture)
        except UsageError as error:
            refused = error
            continue
        found.append(architecture)
        if len(found) > where.evaluations:
            every = sum(1 for _ in space.all())
            raise UsageError(
                f"searcher 'exhaustive' scores every architecture of {space.name}, which has {every:,}, but only "
                f"{where.evaluations:,} may be scored: give --evaluations {every}, or draw some with --searcher random."
            )
    if not found and refused is not None:
        raise UsageError(f"no architecture of {space.name} fits; the last one: {refused}") from refused
    return found
