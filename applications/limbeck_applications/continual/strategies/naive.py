"""Naive: the network goes on with each experience and keeps nothing; the floor that every memory must leave.

Paper: McCloskey, Cohen: Catastrophic Interference in Connectionist Networks (1989), doi
10.1016/S0079-7421(08)60536-8, which named what happens.
Code: ContinualAI/avalanche, ``Naive`` (MIT), which trains it.
The same: one network, one optimiser, cross-entropy over one head for all classes.
Differs: nothing.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.bridge.strategy import AvalancheStrategy, keywords
from limbeck_applications.continual.strategy import Context
from limbeck_applications.continual.stream import Stream


class Naive(AvalancheStrategy):
    """Go on training with each experience, and keep nothing."""

    reads = ("training",)

    def build(self, model: nn.Module, optimiser: Any, criterion: Any, stream: Stream, context: Context) -> Any:
        """Return Avalanche's ``Naive``; see the base class."""
        return avalanche().training.Naive(
            model=model, optimizer=optimiser, criterion=criterion, **keywords(stream, context)
        )
