"""Random real images: the baseline every distilled set must beat."""

from __future__ import annotations

import torch

from limbeck.data import RealData
from limbeck.data.selector import Selection, Selector, check_sizes, draw, take


class RandomSelector(Selector):
    """Draw images of every group without replacement."""

    def select(self, real: RealData, ipc: int, generator: torch.Generator) -> Selection:
        """Return ``ipc`` images of every group; see the base class."""
        check_sizes(real, ipc)
        return take(real, draw(real, [ipc] * real.num_groups, generator))
