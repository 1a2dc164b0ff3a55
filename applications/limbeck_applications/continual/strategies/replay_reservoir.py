"""Experience replay from a reservoir: every image of the stream has the same chance to be kept.

Paper: Chaudhry et al.: On Tiny Episodic Memories in Continual Learning (arXiv:1902.10486), with the reservoir of
Vitter: Random Sampling with a Reservoir (1985).
Code: ContinualAI/avalanche, ``ReplayPlugin`` with ``ReservoirSamplingBuffer`` (MIT), which keeps and mixes.
The same: a batch of the buffer beside each batch of the experience, one cross-entropy over both.
Differs: the buffer is filled after an experience, not during it; while the budget grows, so does the reservoir, and
images that were dropped before cannot come back.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from limbeck_applications.continual.bridge.keeping import ReplayStrategy
from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.strategy import Context
from limbeck_applications.continual.stream import Stream


class ReplayReservoir(ReplayStrategy):
    """Replay images drawn from the whole stream with equal chances."""

    def storage(self, size: int, model: nn.Module, stream: Stream, context: Context) -> Any:
        """Return one reservoir; see the base class."""
        return avalanche().training.storage_policy.ReservoirSamplingBuffer(size)
