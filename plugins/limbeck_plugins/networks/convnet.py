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

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from limbeck.errors import UsageError
from limbeck.networks.functional import Network
from limbeck.options import Options as OptionsBase

NORMS = {"in": "instance", "bn": "batch", "ln": "layer", "gn": "group", "nonorm": "none"}
ACTIVATIONS = {"sigmoid": "sigmoid", "relu": "relu", "leaky": "leaky_relu", "swish": "swish"}
POOLINGS = {"avg": "avg", "max": "max", "nopool": "none"}
NUM_GROUPS = 4  # of group normalisation, as published

_ACTIVATION: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.01),
    "swish": nn.SiLU,
}


class _Mean(torch.autograd.Function):
    """Means of 2x2 squares by a convolution, which is linear: its derivative along t is itself at t."""

    generate_vmap_rule = True

    @staticmethod
    def forward(maps: Tensor) -> Tensor:
        return functional.conv2d(maps, _quarters(maps), stride=2, groups=maps.shape[1])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.odd = (inputs[0].shape[2] % 2, inputs[0].shape[3] % 2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return _Spread.apply(grad, ctx.odd)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Any:
        return _Mean.apply(tangent)


class _Spread(torch.autograd.Function):
    """The transpose of ``_Mean``: a quarter of each value to each place of its square."""

    generate_vmap_rule = True

    @staticmethod
    def forward(grad: Tensor, odd: tuple[int, int]) -> Tensor:
        quarters = _quarters(grad)
        return functional.conv_transpose2d(grad, quarters, stride=2, groups=grad.shape[1], output_padding=odd)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, tuple[int, int]], output: Tensor) -> None:
        ctx.odd = inputs[1]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return _Mean.apply(grad), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Any:
        return _Spread.apply(tangent, ctx.odd)


def _quarters(maps: Tensor) -> Tensor:
    return maps.new_full((maps.shape[1], 1, 2, 2), 0.25)


class MeanPool(nn.Module):
    """Means of 2x2 squares, [n, ch, h, w] to [n, ch, h // 2, w // 2].

    On a CPU they are taken by a convolution, five times as fast there as ``avg_pool2d``: pooling was the slowest
    part of a step.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Return the pooled maps."""
        if maps.device.type != "cpu":
            return functional.avg_pool2d(maps, 2)
        pooled: Tensor = _Mean.apply(maps)
        return pooled


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
        norm: Literal["none", "batch", "layer", "instance", "group"] = Field(
            "instance", description="normalisation after each convolution"
        )
        activation: Literal["sigmoid", "relu", "leaky_relu", "swish"] = Field(
            "relu", description="activation after each normalisation"
        )
        pooling: Literal["none", "max", "avg"] = Field("avg", description="2x2 pooling that ends each block")

    @classmethod
    def variant(cls, tokens: Sequence[str]) -> dict[str, Any]:
        """Read ``["d3", "w128", "in"]`` as ``{"depth": 3, "width": 128, "norm": "instance"}``.

        Raises:
            UsageError: a token is unknown, or two tokens set the same option.
        """
        values: dict[str, Any] = {}
        for token in tokens:
            option, value = _read_token(token)
            if option in values:
                raise UsageError(f"'{'-'.join(tokens)}' sets the {option} of convnet twice; give it once.")
            values[option] = value
        return values

    def build(self, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
        """Return the module; its layers are ``features.<i>`` and ``classifier``.

        Args:
            shape: (channels, height, width) of one image.
            num_classes: width of the classifier head.

        Raises:
            UsageError: pooling leaves nothing of an image this small, or the width does not fit group norm.
        """
        layers, features = self._blocks(shape)
        return _ConvNet(nn.Sequential(*layers), nn.Linear(features, num_classes))

    def _blocks(self, shape: tuple[int, int, int]) -> tuple[list[nn.Module], int]:
        """Return the layers before the classifier and the number of features they end in."""
        options = self.options
        self._check(shape)
        channels, height, width = shape
        padding = 3 if (height, width) == (28, 28) else 1  # 28x28 images give the maps of 32x32 ones
        layers: list[nn.Module] = []
        for _ in range(options.depth):
            layers.append(nn.Conv2d(channels, options.width, kernel_size=3, padding=padding))
            channels, height, width = options.width, height + 2 * padding - 2, width + 2 * padding - 2
            layers += [*_norm(options.norm, (channels, height, width)), _ACTIVATION[options.activation]()]
            if options.pooling != "none":
                layers.append(_POOLING[options.pooling]())
                height, width = height // 2, width // 2
            padding = 1
        return layers, channels * height * width

    def _check(self, shape: tuple[int, int, int]) -> None:
        options, (_, height, width) = self.options, shape
        deepest = (32 if (height, width) == (28, 28) else min(height, width)).bit_length() - 1
        if options.pooling != "none" and options.depth > deepest:
            raise UsageError(
                f"convnet of depth {options.depth} halves its maps {options.depth} times, which leaves "
                f"nothing of {height}x{width} images; their greatest depth is {deepest} (convnet-d{deepest})."
            )
        if options.norm == "group" and options.width % NUM_GROUPS:
            raise UsageError(
                f"group norm splits the channels into {NUM_GROUPS} groups, but the width is {options.width}; "
                f"choose a multiple of {NUM_GROUPS}."
            )


class _ConvNet(nn.Module):
    def __init__(self, features: nn.Sequential, classifier: nn.Linear) -> None:
        super().__init__()
        self.features, self.classifier = features, classifier

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(images).flatten(1))
        return logits


def _norm(kind: str, shape: tuple[int, int, int]) -> list[nn.Module]:
    """Return the normalisation of maps of ``shape`` (channels, height, width), if any."""
    makers: dict[str, Callable[[], nn.Module]] = {
        "batch": lambda: nn.BatchNorm2d(shape[0]),
        "layer": lambda: nn.LayerNorm(shape),
        "instance": lambda: nn.GroupNorm(shape[0], shape[0]),
        "group": lambda: nn.GroupNorm(NUM_GROUPS, shape[0]),
    }
    return [makers[kind]()] if kind in makers else []


def _read_token(token: str) -> tuple[str, Any]:
    for option, words in (("norm", NORMS), ("activation", ACTIVATIONS), ("pooling", POOLINGS)):
        if token in words:
            return option, words[token]
    letter, digits = token[:1], token[1:]
    if letter in ("d", "w") and digits.isdecimal():
        return {"d": "depth", "w": "width"}[letter], int(digits)
    known = ", ".join(["d<depth>", "w<width>", *NORMS, *ACTIVATIONS, *POOLINGS])
    raise UsageError(f"'{token}' is not a part of a convnet name. Known: {known} (as in convnet-d3-w128-in).")
