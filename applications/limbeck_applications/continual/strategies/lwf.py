"""Learning without Forgetting: the network before an experience teaches the network during it; nothing else is kept.

Paper: Li, Hoiem: Learning without Forgetting (arXiv:1606.09282), equation 3: cross-entropy on the new classes plus
the distillation of old outputs at temperature 2, with weight 1.
Code: ContinualAI/avalanche, ``LwF`` (MIT), which trains it.
The same: temperature, weight, images of the experience alone as inputs of both networks.
Differs: one head for the whole stream in place of one a task; the distance is the Kullback-Leibler divergence over
the classes seen before, whose gradient is that of the paper's cross-entropy; no warm-up of new units. The copy of the
network is not counted in the bytes, as no network is.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import nn

from limbeck import Options as OptionsBase
from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.bridge.strategy import AvalancheStrategy, keywords
from limbeck_applications.continual.strategy import Context
from limbeck_applications.continual.stream import Stream


class Lwf(AvalancheStrategy):
    """Keep near the outputs that the network before the experience gives."""

    reads = ("training",)

    class Options(OptionsBase):
        """Weight and softness of what the old network says."""

        alpha: float = Field(1.0, ge=0, description="weight of the distillation")
        temperature: float = Field(2.0, gt=0, description="divides logits before they are compared")

    def build(self, model: nn.Module, optimiser: Any, criterion: Any, stream: Stream, context: Context) -> Any:
        """Return Avalanche's ``LwF``; see the base class."""
        return avalanche().training.LwF(
            model=model,
            optimizer=optimiser,
            criterion=criterion,
            alpha=self.options.alpha,
            temperature=self.options.temperature,
            **keywords(stream, context),
        )
