"""Experience replay from a buffer with as many random images of every class.

Paper: Chaudhry et al.: On Tiny Episodic Memories in Continual Learning (arXiv:1902.10486), which compares it with
others.
Code: ContinualAI/avalanche, ``ReplayPlugin`` with ``ClassBalancedBuffer`` (MIT), which keeps and mixes.
The same: a batch of the buffer beside each batch of the experience, one cross-entropy over both.
Differs: random images of each class in place of its last ones (the paper's ring buffer), chosen after an experience.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from limbeck_applications.continual.bridge.keeping import ReplayStrategy
from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.strategy import Context
from limbeck_applications.continual.stream import Stream


class ReplayBalanced(ReplayStrategy):
    """Replay random images, as many of every class."""

    def storage(self, size: int, model: nn.Module, stream: Stream, context: Context) -> Any:
        """Return a buffer that is balanced over the classes seen; see the base class."""
        return avalanche().training.storage_policy.ClassBalancedBuffer(size, adaptive_size=True)
