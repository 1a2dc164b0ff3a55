"""A fresh random network at every step, never trained (arXiv:2110.04181, Section 3.2)."""

from __future__ import annotations

from limbeck.matching import NetworkSource, StepContext
from limbeck.networks import State


class Fresh(NetworkSource):
    """Look through new random weights at every step."""

    @property
    def num_outer(self) -> int:
        """One step a network."""
        return 1

    def state(self, step: StepContext) -> State:
        """Draw weights from the run's ``init`` stream."""
        return self.context.network.initial(self.context.generators.init)
