"""Elastic weight consolidation: weights that mattered for past experiences move less; no image is kept.

Paper: Kirkpatrick et al.: Overcoming Catastrophic Forgetting in Neural Networks (arXiv:1612.00796), equation 3.
Code: ContinualAI/avalanche, ``EWC`` (MIT), which trains it.
The same: a quadratic penalty for each past experience, weighted by the diagonal of the Fisher information.
Differs: one head for the whole stream; Fisher information is the mean of squared gradients of batches, not of images,
so that ``strength`` means another thing than in the paper; its default is that of the library's own baseline on
permuted MNIST. Weights and importances of past experiences are not counted in the bytes, as no network is;
``mode=online`` keeps one of each (Schwarz et al., arXiv:1805.06370).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import nn

from limbeck import Options as OptionsBase
from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.bridge.strategy import AvalancheStrategy, keywords
from limbeck_applications.continual.strategy import Context
from limbeck_applications.continual.stream import Stream


class Ewc(AvalancheStrategy):
    """Hold weights where past experiences need them."""

    reads = ("training",)

    class Options(OptionsBase):
        """How strongly, and how past experiences add up."""

        strength: float = Field(1.0, ge=0, description="lambda, the weight of the penalty")
        mode: Literal["separate", "online"] = Field(
            "separate", description="a penalty for each past experience, or one whose importances fade"
        )
        decay: float = Field(0.9, gt=0, le=1, description="what is left of old importances, online")

    def build(self, model: nn.Module, optimiser: Any, criterion: Any, stream: Stream, context: Context) -> Any:
        """Return Avalanche's ``EWC``; see the base class."""
        return avalanche().training.EWC(
            model=model,
            optimizer=optimiser,
            criterion=criterion,
            ewc_lambda=self.options.strength,
            mode=self.options.mode,
            decay_factor=self.options.decay if self.options.mode == "online" else None,
            **keywords(stream, context),
        )
