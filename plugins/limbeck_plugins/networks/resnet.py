"""Residual networks for small images: a 3x3 stem, four stages of two blocks, and one linear layer.

Paper: He et al., "Deep Residual Learning for Image Recognition" (arXiv:1512.03385), in the form of Zhao et al.,
"Dataset Condensation with Gradient Matching" (arXiv:2006.05929), section 4.1, with average pooling as in their
public code; reference code VICO-UoE/DatasetCondensation (MIT). Written from the definition, with one difference:
the mean of the last maps is taken whatever their size, where the reference's 4x4 pooling fits 28x28 and 32x32 only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field
from torch import Tensor, nn

from limbeck.networks.functional import Network
from limbeck.options import Options as OptionsBase
from limbeck_plugins.networks.blocks import MeanPool, Norm, Shape, norm, norm_words, read_variant, too_small

STAGES = (64, 128, 256, 512)
BLOCKS = 2


class ResNet18(Network):
    """A 3x3 stem, four stages of two residual blocks, mean of the last maps, linear classifier; for images of any size,
    with instance norm above 8x8. Tokens of a variant: ``in`` (the default), ``bn``, ``ln``, ``gn``, ``nonorm`` norm;
    ``ap`` average pooling in place of strides, and a classifier on all of the last maps, as in ``resnet18-bn-ap``.
    """

    class Options(OptionsBase):
        """Structure of the network."""

        norm: Norm = Field("instance", description="normalisation after each convolution")
        halving: Literal["stride", "avg"] = Field(
            "stride", description="what halves the maps; avg keeps the last maps for the classifier"
        )

    @classmethod
    def variant(cls, tokens: Sequence[str]) -> dict[str, Any]:
        """Read ``["bn", "ap"]`` as ``{"norm": "batch", "halving": "avg"}``."""
        return read_variant("resnet18", tokens, {**norm_words(), "ap": ("halving", "avg")}, {}, "resnet18-bn-ap")

    def build(self, shape: Shape, num_classes: int) -> nn.Module:
        """Return the module; its layers are ``stem.<i>``, ``stages.<s>.<b>`` and ``classifier``.

        Args:
            shape: (channels, height, width) of one image.
            num_classes: width of the classifier head.

        Raises:
            UsageError: halving leaves nothing of images this small, or one pixel, which instance norm erases.
        """
        kind, pools = self.options.norm, self.options.halving == "avg"
        self._check(shape)
        _, height, width = shape
        maps = (STAGES[0], height, width)
        stem = nn.Sequential(_conv(shape[0], STAGES[0], 3, kind), *norm(kind, maps), nn.ReLU())
        stages: list[nn.Module] = []
        for stage, channels in enumerate(STAGES):
            blocks = [_Block(maps, channels, halve=stage > 0, kind=kind, pools=pools)]
            maps = blocks[0].shape
            blocks += [_Block(maps, channels, halve=False, kind=kind, pools=pools) for _ in range(BLOCKS - 1)]
            stages.append(nn.Sequential(*blocks))
        features = maps[0] * maps[1] * maps[2] if pools else maps[0]
        return _ResNet(stem, nn.Sequential(*stages), nn.Linear(features, num_classes), keeps_maps=pools)

    def _check(self, shape: Shape) -> None:
        _, height, width = shape
        pools, single = self.options.halving == "avg", self.options.norm == "instance"
        halvings = len(STAGES) - 1
        if pools:
            smallest = 2 ** (halvings + single)
            fits = min(height, width) >> halvings > 0 and not (single and max(height, width) >> halvings == 1)
        else:
            smallest = 2**halvings + 1 if single else 1
            fits = not (single and max(height, width) <= 2**halvings)
        if not fits:
            name = "resnet18" + ("-ap" if pools else "")
            raise too_small(f"{name} with {self.options.norm} norm", shape, smallest, "resnet18-bn")


class _Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut; ``shape`` is that of its maps."""

    def __init__(self, shape: Shape, channels: int, *, halve: bool, kind: str, pools: bool) -> None:
        super().__init__()
        height, width = (_halved(side, pools) if halve else side for side in shape[1:])
        self.shape: Shape = (channels, height, width)
        stride = 2 if halve and not pools else 1
        pool: list[nn.Module] = [MeanPool()] if halve and pools else []
        before = (channels, shape[1], shape[2]) if pool else self.shape
        self.main = nn.Sequential(
            _conv(shape[0], channels, 3, kind, stride),
            *norm(kind, before),
            nn.ReLU(),
            *pool,
            _conv(channels, channels, 3, kind),
            *norm(kind, self.shape),
        )
        self.shortcut = nn.Sequential()
        if halve or shape[0] != channels:
            self.shortcut = nn.Sequential(_conv(shape[0], channels, 1, kind, stride), *pool, *norm(kind, self.shape))
        self.activation = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = self.activation(self.main(maps) + self.shortcut(maps))
        return out


class _ResNet(nn.Module):
    def __init__(self, stem: nn.Module, stages: nn.Module, classifier: nn.Linear, *, keeps_maps: bool) -> None:
        super().__init__()
        self.stem, self.stages, self.classifier, self.keeps_maps = stem, stages, classifier, keeps_maps

    def forward(self, images: Tensor) -> Tensor:
        maps = self.stages(self.stem(images))
        logits: Tensor = self.classifier(maps.flatten(1) if self.keeps_maps else maps.mean((2, 3)))
        return logits


def _conv(channels: int, width: int, kernel: int, kind: str, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, width, kernel, stride=stride, padding=kernel // 2, bias=kind == "none")


def _halved(side: int, pools: bool) -> int:
    return side // 2 if pools else (side + 1) // 2
