"""What the result of a search of sizes is to cost, as a share of what the largest network costs."""

from __future__ import annotations

import torch

from limbeck.errors import UsageError
from limbeck_applications.nas.searcher import Lab, Plan
from limbeck_applications.nas.searchers.tas.sizes import Grid, Likeliest
from limbeck_applications.nas.staged import StagedSpace


class Aim:
    """FLOPs that a network is to have.

    Args:
        where: of the search; its space is of stages.
        share: of the FLOPs of the largest network.
        tolerance: how far FLOPs may be off, as a share of those asked for.

    Raises:
        UsageError: the space is of other networks.
    """

    def __init__(self, where: Plan | Lab, share: float, tolerance: float) -> None:
        space = where.space
        assert isinstance(space, StagedSpace)
        self.space = space.name
        self.grid = Grid.of(space, where.problem.spec)
        most = self.grid.uniform(self.grid.widths[-1], self.grid.layers)
        self.largest = self.grid.architecture(space, most)
        cost = where.cost(self.largest).flops
        if cost != self.grid.flops(most):
            raise UsageError(
                f"searcher 'tas' takes '{self.largest.name}' for convolutions in stages that each end in 2x2 pooling, "
                f"then one linear layer, of {self.grid.flops(most):,} FLOPs, but in '{space.name}' it has "
                f"{cost:,}: --space chains."
            )
        self.target = share * cost
        self.window = (1 - tolerance) * self.target, (1 + tolerance) * self.target
        self.asked = f"{share:g} of the largest one's FLOPs within {tolerance:.0%}"
        self.most = cost

    def require(self) -> None:
        """Refuse a cost that no network has.

        Raises:
            UsageError: says what the nearest has.
        """
        grid = self.grid
        widths = torch.zeros(grid.stages * grid.layers, len(grid.widths))
        every = Likeliest(grid, widths, torch.zeros(grid.stages, grid.layers), *self.window)
        if every.within is None:
            raise UsageError(
                f"no network of {self.space} has {self.asked}; the nearest has {every.nearest / self.most:.3g}: give "
                "that as 'flops', or more 'tolerance'."
            )
