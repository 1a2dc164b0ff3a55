"""Drawing architectures that a search has not seen: by lot, or on from one that it has."""

from __future__ import annotations

from collections.abc import Callable

import torch

from limbeck.errors import UsageError
from limbeck_applications.nas.cost import Cost
from limbeck_applications.nas.searcher import Lab
from limbeck_applications.nas.space import LISTED, TRIES, Architecture, Genome

Allowed = Callable[[Cost], bool]
"""Whether an architecture of this cost may be had."""


class Draws:
    """Architectures that fit the images, each handed out once.

    Args:
        lab: of the search; what it has scored counts as handed out.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab, self.fits = lab, bool(lab.trials)
        self.known: set[Genome] = {trial.architecture.genome for trial in lab.trials}

    def take(self, architecture: Architecture, allowed: Allowed | None = None) -> bool:
        """Return whether an architecture is new, fits the images and may be had; if so it is handed out."""
        if architecture.genome in self.known:
            return False
        try:
            cost = self.lab.cost(architecture)
        except UsageError:
            return False
        self.fits = True
        if allowed is not None and not allowed(cost):
            return False
        self.known.add(architecture.genome)
        return True

    def new(self, chance: torch.Generator, allowed: Allowed | None = None) -> Architecture | None:
        """Draw a new architecture by lot.

        Args:
            chance: owner of the draw.
            allowed: what may be had; everything when None.

        Returns:
            It, or None where none is left. Of a space that can be gone through that is certain; of a larger one it
            means that none of many draws would do.

        Raises:
            UsageError: nothing fits the images.
        """
        for _ in range(TRIES):
            drawn = self.lab.space.sample(chance)
            if self.take(drawn, allowed):
                return drawn
        if not self.fits:
            self.lab.sample(chance)  # says what stands in the way
        if self.lab.space.size > LISTED:
            return None
        left = [each for each in self.lab.space.all() if each.genome not in self.known]
        order = torch.randperm(len(left), generator=chance).tolist()
        return next((left[place] for place in order if self.take(left[place], allowed)), None)

    def near(
        self, architecture: Architecture, chance: torch.Generator, allowed: Allowed | None = None
    ) -> Architecture | None:
        """Change genes of an architecture, one after the other, until it is new.

        Args:
            architecture: where to begin.
            chance: owner of the draws.
            allowed: what may be had; everything when None.

        Returns:
            It, or None where many changes led to nothing new.
        """
        space, genome = self.lab.space, architecture.genome
        genes = space.genes()
        for _ in range(TRIES):
            place = int(torch.randint(len(genes), (), generator=chance))
            value = int(torch.randint(len(genes[place].values), (), generator=chance))
            try:
                found = space.decode((*genome[:place], value, *genome[place + 1 :]))
            except UsageError:
                continue
            if self.take(found, allowed):
                return found
            genome = found.genome
        return None
