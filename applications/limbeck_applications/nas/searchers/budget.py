"""What an architecture may cost at most, for searchers that have such options."""

from __future__ import annotations

from limbeck.errors import UsageError
from limbeck_applications.nas.cost import Cost
from limbeck_applications.nas.searcher import Plan

SMALL = 1_000
"""Architectures of a space whose costs are all looked at before a search begins; a cost takes milliseconds."""

WORDS = {"parameters": "parameters", "flops": "FLOPs"}


class Budget:
    """Whether costs are within limits, and the least of those that were not.

    Args:
        parameters: at most; any number when None.
        flops: likewise.
    """

    def __init__(self, parameters: int | None, flops: int | None) -> None:
        limits = {"parameters": parameters, "flops": flops}
        self.most = {name: most for name, most in limits.items() if most is not None}
        self.refused: list[Cost] = []

    def __call__(self, cost: Cost) -> bool:
        """Return whether a cost is within all limits."""
        obeys = all(getattr(cost, name) <= most for name, most in self.most.items())
        if not obeys:
            self.refused.append(cost)
        return obeys

    def check(self, plan: Plan, population: int = 1) -> None:
        """Refuse limits that too few architectures of a small space meet.

        The space is gone through. A larger one is left to the search, whose draws may find what others do not.

        Args:
            plan: of the search.
            population: architectures that it needs.

        Raises:
            UsageError: too few meet them.
        """
        space, needed, found = plan.space, min(population, plan.evaluations), 0
        if not self.most or space.size > SMALL:
            return
        for each in space.all():
            try:
                found += self(plan.cost(each))
            except UsageError:  # does not fit
                continue
            if found == needed:
                return
        self.require(space.name, found, needed)

    def require(self, space: str, found: int, needed: int) -> None:
        """Refuse where too few architectures met the limits.

        Args:
            space: name of the space.
            found: architectures that met them.
            needed: how many were looked for.

        Raises:
            UsageError: fewer were found, and others were over the limits; says what the smallest of those has.
        """
        if found >= needed or not self.refused:
            return
        budget = " and ".join(f"{most:,} {WORDS[name]}" for name, most in self.most.items())
        least = min(self.refused, key=lambda cost: (cost.parameters, cost.flops))
        seen = " and ".join(f"{getattr(least, name):,} {WORDS[name]}" for name in self.most)
        options = " or ".join(f"most_{name}" for name in self.most)
        if not found:
            raise UsageError(
                f"no architecture drawn from {space} has at most {budget}; the smallest refused has {seen}: "
                f"raise {options}."
            )
        raise UsageError(
            f"only {found} of the {needed} architectures of a population were found in {space} with at most {budget}; "
            f"the smallest refused has {seen}: raise {options}, or give a smaller population."
        )
