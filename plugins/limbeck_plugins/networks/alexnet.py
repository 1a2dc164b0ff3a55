"""AlexNet for small images: five convolutions and one linear layer.

Paper: Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks" (2012), in the form of
Zhao et al., "Dataset Condensation with Gradient Matching" (arXiv:2006.05929), section 4.1; reference code
VICO-UoE/DatasetCondensation (MIT). Written from the definition, with two differences: the wider first padding
follows the image size, 28x28, where the reference follows the number of channels (equal for MNIST), and images of
other sizes are taken as far as they reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field
from torch import nn

from limbeck.networks.functional import Network
from limbeck.options import Options as OptionsBase
from limbeck_plugins.networks.blocks import (
    POOL,
    Classified,
    Conv,
    Norm,
    Shape,
    norm_words,
    plain_stack,
    read_variant,
)

PLAN = (
    *(Conv(128, 5, padding=2), POOL, Conv(192, 5, padding=2), POOL),
    *(Conv(256, 3, padding=1), Conv(192, 3, padding=1), Conv(192, 3, padding=1), POOL),
)


class AlexNet(Network):
    """Five convolutions with ReLU and three max poolings, then a linear classifier; for images of 8x8 or more.
    Tokens of a variant: ``bn``, ``in``, ``ln``, ``gn``, ``nonorm`` (the default) the norm, as in ``alexnet-bn``.
    """

    class Options(OptionsBase):
        """Structure of the network."""

        norm: Norm = Field("none", description="normalisation after each convolution")

    @classmethod
    def variant(cls, tokens: Sequence[str]) -> dict[str, Any]:
        """Read ``["bn"]`` as ``{"norm": "batch"}``."""
        return read_variant("alexnet", tokens, norm_words(), {}, "alexnet-bn")

    def build(self, shape: Shape, num_classes: int) -> nn.Module:
        """Return the module; its layers are ``features.<i>`` and ``classifier``.

        Args:
            shape: (channels, height, width) of one image.
            num_classes: width of the classifier head.

        Raises:
            UsageError: nothing is left of images this small.
        """
        features, units = plain_stack("alexnet", PLAN, self.options.norm, shape)
        return Classified(features, nn.Linear(units, num_classes))
