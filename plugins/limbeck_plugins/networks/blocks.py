"""What the families share: norms, activations and poolings, plain stacks of convolutions, and variants' names."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from limbeck.errors import UsageError

Shape = tuple[int, int, int]
"""(channels, height, width)."""
Norm = Literal["none", "batch", "layer", "instance", "group"]

NORMS = {"in": "instance", "bn": "batch", "ln": "layer", "gn": "group", "nonorm": "none"}
"""The norms by their tokens in a variant's name."""
NUM_GROUPS = 4  # of group normalisation, as published (arXiv:2006.05929)


WIDEST = 64
"""Width up to which a product with a matrix is the fastest pooling on a CPU; its work grows with the width squared."""


@functools.lru_cache(maxsize=64)
def _pairs(width: int, dtype: torch.dtype) -> Tensor:
    """Return the matrix [2 * width, width // 2] that turns two rows into the means of their 2x2 squares."""
    columns = torch.arange(2 * width) % width // 2
    return (columns[:, None] == torch.arange(width // 2)).to(dtype) * 0.25


class MeanPool(nn.Module):
    """Means of 2x2 squares, [n, ch, h, w] to [n, ch, h // 2, w // 2].

    On a CPU each pair of rows is multiplied with a matrix, which takes less than half the time of ``avg_pool2d``
    forth and back: pooling was the slowest part of a step.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Return the pooled maps."""
        height, width = maps.shape[-2:]
        if maps.device.type != "cpu" or width > WIDEST or height % 2 or width % 2:
            return functional.avg_pool2d(maps, 2)
        return maps.reshape(*maps.shape[:-2], height // 2, 2 * width) @ _pairs(width, maps.dtype)


class LayerNorm(nn.LayerNorm):
    """Layer norm by way of group norm with one group.

    PyTorch 2.15 gives wrong derivatives of its own layer norm in reverse after forward mode, and wrong second ones
    under vmap. Its own is faster, but a small part of any network's time.
    """

    def forward(self, values: Tensor) -> Tensor:
        """Return ``values`` [n, ..., *normalized_shape], each sample normalised, scaled and shifted."""
        rows = values.reshape(-1, math.prod(self.normalized_shape))
        return functional.group_norm(rows, 1, eps=self.eps).view_as(values) * self.weight + self.bias


class Classified(nn.Module):
    """Features, flattened, into a classifier.

    Args:
        features: images [n, ch, h, w] to maps [n, ...].
        classifier: flattened maps [n, k] to logits [n, C].
    """

    def __init__(self, features: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.features, self.classifier = features, classifier

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [n, C]."""
        logits: Tensor = self.classifier(self.features(images).flatten(1))
        return logits


def norm(kind: str, shape: Shape) -> list[nn.Module]:
    """Return the normalisation of maps of ``shape``, if any.

    Raises:
        UsageError: the channels do not split into groups.
    """
    if kind == "group" and shape[0] % NUM_GROUPS:
        raise UsageError(
            f"group norm splits the channels into {NUM_GROUPS} groups, but the width is {shape[0]}; "
            f"choose a multiple of {NUM_GROUPS}."
        )
    makers: dict[str, Callable[[], nn.Module]] = {
        "batch": lambda: nn.BatchNorm2d(shape[0]),
        "layer": lambda: LayerNorm(shape),
        "instance": lambda: nn.GroupNorm(shape[0], shape[0]),
        "group": lambda: nn.GroupNorm(NUM_GROUPS, shape[0]),
    }
    return [makers[kind]()] if kind in makers else []


def is_28(shape: Shape) -> bool:
    """Whether images are 28x28, whose first padding is two wider so that their maps are those of 32x32 ones."""
    return shape[1:] == (28, 28)


class Conv(NamedTuple):
    """A convolution of a plain stack, followed by norm and ReLU.

    Attributes:
        channels: of its output.
        kernel: height and width.
        padding: at each border; the first of a stack pads 28x28 images by two more.
    """

    channels: int
    kernel: int
    padding: int


POOL = None
"""2x2 max pooling in a plan."""
Plan = Sequence[Conv | None]
"""A plain stack from image to features."""


def plain_stack(family: str, plan: Plan, kind: str, shape: Shape) -> tuple[nn.Sequential, int]:
    """Return a stack of convolutions and poolings, and the number of features it ends in.

    Args:
        family: the network's name, for the error.
        plan: ``Conv`` and ``POOL`` in order.
        kind: the norm.
        shape: of one image.

    Raises:
        UsageError: the images are too small for it.
    """
    if not _fits(plan, kind, shape[1:]):
        smallest = next(size for size in count(1) if size != 28 and _fits(plan, kind, (size, size)))
        raise too_small(family, shape, smallest)
    layers: list[nn.Module] = []
    channels, sizes = shape[0], iter(_sizes(plan, shape[1:]))
    for position, part in enumerate(plan):
        height, width = next(sizes)
        if part is None:
            layers.append(nn.MaxPool2d(2))
            continue
        padding = part.padding + 2 * (position == 0 and is_28(shape))
        layers.append(nn.Conv2d(channels, part.channels, part.kernel, padding=padding))
        channels = part.channels
        layers += [*norm(kind, (channels, height, width)), nn.ReLU()]
    return nn.Sequential(*layers), channels * height * width


def too_small(family: str, shape: Shape, smallest: int, *others: str) -> UsageError:
    """Say that a network does not take images this small, and which ones do.

    Args:
        family: the network's name.
        shape: of one image.
        smallest: height and width of the smallest it takes.
        *others: its variants that take them.
    """
    _, height, width = shape
    depth = min(min(height, width).bit_length() - 1, 3)
    fitting = ", ".join([*others, *([f"convnet-d{depth}"] if depth else []), "mlp"])
    return UsageError(
        f"network '{family}' does not take {height}x{width} images: its smallest are {smallest}x{smallest}. "
        f"These take them: {fitting}."
    )


def _sizes(plan: Plan, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return height and width after each part of a plan."""
    height, width = (32, 32) if size == (28, 28) else size
    found = []
    for part in plan:
        if part is None:
            height, width = height // 2, width // 2
        else:
            less = part.kernel - 1 - 2 * part.padding
            height, width = height - less, width - less
        found.append((height, width))
    return found


def _fits(plan: Plan, kind: str, size: tuple[int, int]) -> bool:
    """Whether something is left of the images, and more than one pixel for instance norm, which erases single ones."""
    return all(
        min(sides) > 0 and not (kind == "instance" and part is not None and sides == (1, 1))
        for part, sides in zip(plan, _sizes(plan, size), strict=True)
    )


def read_variant(
    family: str, tokens: Sequence[str], words: Mapping[str, tuple[str, Any]], numbers: Mapping[str, str], example: str
) -> dict[str, Any]:
    """Read ``["d3", "w128", "in"]`` as ``{"depth": 3, "width": 128, "norm": "instance"}``.

    Args:
        family: the registered name.
        tokens: what follows it.
        words: tokens that stand for an option and its value.
        numbers: options by the letter that goes before their value.
        example: a name with a variant.

    Raises:
        UsageError: a token is unknown, or two tokens set the same option.
    """
    values: dict[str, Any] = {}
    for token in tokens:
        option, value = words.get(token, ("", None))
        if not option and token[:1] in numbers and token[1:].isdecimal():
            option, value = numbers[token[0]], int(token[1:])
        if not option:
            known = ", ".join([*(f"{letter}<{word}>" for letter, word in numbers.items()), *words])
            raise UsageError(f"'{token}' is not a part of a {family} name. Known: {known} (as in {example}).")
        if option in values:
            raise UsageError(f"'{'-'.join(tokens)}' sets the {option} of {family} twice; give it once.")
        values[option] = value
    return values


def norm_words() -> dict[str, tuple[str, Any]]:
    """Return the norms' tokens as ``read_variant`` takes them."""
    return {token: ("norm", value) for token, value in NORMS.items()}
