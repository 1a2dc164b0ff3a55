"""The ConvNet family: equal blocks of convolution, norm, activation and pooling, then one linear layer.

Paper: Gidaris and Komodakis, "Dynamic Few-Shot Visual Learning without Forgetting" (arXiv:1804.09458), in the
form of Zhao et al., "Dataset Condensation with Gradient Matching" (arXiv:2006.05929), section 4 and appendix;
reference code VICO-UoE/DatasetCondensation (MIT). Written from the definition, with two differences: the
wider first padding follows the image size, 28x28, where the reference follows the number of channels (equal
for MNIST), and activations leave their input untouched so that every layer can be tapped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import Field
from torch import nn

from limbeck.errors import UsageError
from limbeck.networks.functional import Network
from limbeck.options import Options as OptionsBase
from limbeck_plugins.networks.blocks import (
    Classified,
    MeanPool,
    Norm,
    Shape,
    is_28,
    norm,
    norm_words,
    read_variant,
)

ACTIVATIONS = {"sigmoid": "sigmoid", "relu": "relu", "leaky": "leaky_relu", "swish": "swish"}
POOLINGS = {"avg": "avg", "max": "max", "nopool": "none"}

_ACTIVATION: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.01),
    "swish": nn.SiLU,
}
_POOLING: dict[str, Callable[[], nn.Module]] = {"avg": MeanPool, "max": lambda: nn.MaxPool2d(2)}


class ConvNet(Network):
    """Depth times (3x3 convolution, norm, activation, 2x2 pooling), flattened into a linear classifier.
    A variant spells its options after the name, in any order: ``convnet-d3-w128-in``. Tokens: ``d3`` depth,
    ``w128`` width; ``in``, ``bn``, ``ln``, ``gn``, ``nonorm`` the norm; ``sigmoid``, ``relu``, ``leaky``,
    ``swish`` the activation; ``avg``, ``max``, ``nopool`` the pooling.
    """

    class Options(OptionsBase):
        """Structure of the network."""

        depth: int = Field(3, ge=1, le=12, description="number of blocks")
        width: int = Field(128, ge=1, description="channels of every block")
        norm: Norm = Field("instance", description="normalisation after each convolution")
        activation: Literal["sigmoid", "relu", "leaky_relu", "swish"] = Field(
            "relu", description="activation after each normalisation"
        )
        pooling: Literal["none", "max", "avg"] = Field("avg", description="2x2 pooling that ends each block")

    @classmethod
    def variant(cls, tokens: Sequence[str]) -> dict[str, Any]:
        """Read ``["d3", "w128", "in"]`` as ``{"depth": 3, "width": 128, "norm": "instance"}``."""
        words = {
            **norm_words(),
            **{token: ("activation", value) for token, value in ACTIVATIONS.items()},
            **{token: ("pooling", value) for token, value in POOLINGS.items()},
        }
        return read_variant("convnet", tokens, words, {"d": "depth", "w": "width"}, "convnet-d3-w128-in")

    def build(self, shape: Shape, num_classes: int) -> nn.Module:
        """Return the module; its layers are ``features.<i>`` and ``classifier``.

        Args:
            shape: (channels, height, width) of one image.
            num_classes: width of the classifier head.

        Raises:
            UsageError: pooling leaves nothing of an image this small, or the width does not fit group norm.
        """
        layers, features = self._blocks(shape)
        return Classified(nn.Sequential(*layers), nn.Linear(features, num_classes))

    def _blocks(self, shape: Shape) -> tuple[list[nn.Module], int]:
        """Return the layers before the classifier and the number of features they end in."""
        options = self.options
        self._check(shape)
        channels, height, width = shape
        padding = 3 if is_28(shape) else 1
        layers: list[nn.Module] = []
        for _ in range(options.depth):
            layers.append(nn.Conv2d(channels, options.width, kernel_size=3, padding=padding))
            channels, height, width = options.width, height + 2 * padding - 2, width + 2 * padding - 2
            layers += [*norm(options.norm, (channels, height, width)), _ACTIVATION[options.activation]()]
            if options.pooling != "none":
                layers.append(_POOLING[options.pooling]())
                height, width = height // 2, width // 2
            padding = 1
        return layers, channels * height * width

    def _check(self, shape: Shape) -> None:
        options, (_, height, width) = self.options, shape
        deepest = (32 if is_28(shape) else min(height, width)).bit_length() - 1
        if options.pooling != "none" and options.depth > deepest:
            raise UsageError(
                f"convnet of depth {options.depth} halves its maps {options.depth} times, which leaves "
                f"nothing of {height}x{width} images; their greatest depth is {deepest} (convnet-d{deepest})."
            )
