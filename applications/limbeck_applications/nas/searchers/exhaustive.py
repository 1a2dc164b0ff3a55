"""Exhaustive search: every architecture of a space, what proxies and searchers are measured against. Unpublished."""

from __future__ import annotations

from limbeck.errors import UsageError
from limbeck_applications.nas.proxy import Proxy
from limbeck_applications.nas.searcher import Lab, Searcher
from limbeck_applications.nas.space import Architecture, SearchSpace


class Exhaustive(Searcher):
    """Score every architecture that fits the images, in the order of the space, in one call."""

    def check(self, space: SearchSpace, proxy: Proxy) -> None:
        """Refuse a space that is too large to go through."""
        next(space.all())

    def search(self, lab: Lab) -> None:
        """Score all.

        Raises:
            UsageError: there are more than may be scored, or none that fits.
        """
        found: list[Architecture] = []
        refused = None
        for architecture in lab.space.all():
            try:
                lab.cost(architecture)
            except UsageError as error:
                refused = error
                continue
            found.append(architecture)
            if len(found) > lab.remaining:
                raise UsageError(
                    f"{lab.space.name} has more than the {lab.evaluations} architectures that may be scored: "
                    f"give up to {lab.space.size} evaluations, or search it at random (searcher 'random')."
                )
        if not found and refused is not None:
            raise UsageError(f"no architecture of {lab.space.name} fits; the last one: {refused}") from refused
        lab.score(found)
