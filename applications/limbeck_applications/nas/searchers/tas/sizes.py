"""Distributions over the widths and depths of a chain: what they cost on average, and the likeliest of some cost.

Paper: Dong and Yang, "Network Pruning via Transformable Architecture Search" (arXiv:1905.09717), section 3.2. Public
code: AutoDL-Projects (MIT). Written from the paper.

What is the same: every layer has a distribution over widths and every stage one over depths, independent of each
other; the mode is the result. What differs: the expected cost is exact, where the public code takes the last layer of
a stage for the one that the next stage reads; and where the mode misses the cost asked for, the likeliest that meets it
is taken, where the paper takes the mode whatever it costs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from limbeck.data import DataSpec
from limbeck_applications.nas.space import Architecture
from limbeck_applications.nas.staged import Layer, StagedSpace

BINS = 64
"""Parts of a tolerance in which all but the likeliest way to begin is forgotten."""


@dataclass(frozen=True)
class Grid:
    """The sizes of chains of one norm and one kernel.

    Attributes:
        widths: of a layer, rising.
        stages: how many.
        layers: that a stage has at most.
        kernel: size of the convolutions.
        norm: "none" or "batch".
        shape: (channels, height, width) of one image.
        classes: of the classifier.
    """

    widths: tuple[int, ...]
    stages: int
    layers: int
    kernel: int
    norm: str
    shape: tuple[int, int, int]
    classes: int

    @classmethod
    def of(cls, space: StagedSpace, spec: DataSpec) -> Grid:
        """Return the sizes of a space, with the first of its norms and of its kernels."""
        options = space.ladder
        return cls(
            options.widths,
            options.stages,
            options.layers,
            options.kernels[0],
            options.norms[0],
            spec.shape,
            spec.num_classes,
        )

    @property
    def sides(self) -> list[tuple[int, int]]:
        """(height, width) of the maps of each stage, and of those that the classifier reads."""
        _, height, width = self.shape
        return [(height >> stage, width >> stage) for stage in range(self.stages + 1)]

    def convolution(self, stage: int) -> int:
        """FLOPs of a convolution of a stage for each pair of its input and output channels."""
        height, width = self.sides[stage]
        return 2 * self.kernel**2 * height * width

    @property
    def classifier(self) -> int:
        """FLOPs of the linear layer for each channel that it reads."""
        height, width = self.sides[-1]
        return 2 * height * width * self.classes

    def architecture(self, space: StagedSpace, stages: list[list[int]]) -> Architecture:
        """Return the architecture of these widths, stage by stage."""
        layers: list[list[Layer]] = [[(width, self.kernel) for width in each] for each in stages]
        return space.from_stages(layers, self.norm)

    def uniform(self, width: int, depth: int) -> list[list[int]]:
        """Return stages of one width and depth."""
        return [[width] * depth for _ in range(self.stages)]

    def flops(self, stages: list[list[int]]) -> int:
        """Return the FLOPs of these widths, as ``SearchSpace.cost`` counts them."""
        found, channels = 0, self.shape[0]
        for stage, layers in enumerate(stages):
            for width in layers:
                found += self.convolution(stage) * channels * width
                channels = width
        return found + self.classifier * channels


def expected_flops(grid: Grid, widths: Tensor, depths: Tensor) -> Tensor:
    """Return the mean FLOPs of chains drawn from independent distributions, a scalar.

    Args:
        grid: the sizes.
        widths: probability of each width of each layer, [stages x layers, widths].
        depths: probability of each depth of each stage, [stages, layers].
    """
    means = (widths * torch.tensor(grid.widths, dtype=widths.dtype)).sum(1).view(grid.stages, grid.layers)
    reached = depths.flip(1).cumsum(1).flip(1)  # chance that a stage has this layer
    channels, found = torch.tensor(float(grid.shape[0]), dtype=widths.dtype), torch.zeros((), dtype=widths.dtype)
    for stage in range(grid.stages):
        before = torch.cat([channels[None], means[stage, :-1]])
        found = found + grid.convolution(stage) * (reached[stage] * before * means[stage]).sum()
        channels = (depths[stage] * means[stage]).sum()
    return found + grid.classifier * channels


def mode(grid: Grid, widths: Tensor, depths: Tensor) -> list[list[int]]:
    """Return the likeliest width of each layer, in stages of their likeliest depth.

    Args:
        grid: the sizes.
        widths: rises with the probability of each width of each layer, [stages x layers, widths].
        depths: rises with the probability of each depth of each stage, [stages, layers].
    """
    best, deepest = widths.argmax(1).tolist(), depths.argmax(1).tolist()
    rows = [best[stage * grid.layers : stage * grid.layers + last + 1] for stage, last in enumerate(deepest)]
    return [[grid.widths[each] for each in row] for row in rows]


@dataclass(frozen=True)
class Beginning:
    """The first layers of a chain.

    Attributes:
        chance: logarithm of their probability.
        flops: of them.
        stages: widths so far; the last stage may go on.
    """

    chance: float
    flops: int
    stages: tuple[tuple[int, ...], ...]


class Likeliest:
    """The likeliest chains of every cost under independent distributions.

    What a stage has no layer for counts with its likeliest width, so that the likeliest of all is the mode. Of two
    beginnings that end in equal widths and cost the same but for a fraction of the tolerance the likelier one is kept.

    Args:
        grid: the sizes.
        widths: logarithm of the probability of each width of each layer, [stages x layers, widths].
        depths: logarithm of the probability of each depth of each stage, [stages, layers].
        low: FLOPs at least.
        high: FLOPs at most.
    """

    def __init__(self, grid: Grid, widths: Tensor, depths: Tensor, low: float, high: float) -> None:
        self.grid, self.low, self.high = grid, low, high
        self.mode = mode(grid, widths, depths)
        self.widths, self.depths = widths.tolist(), depths.tolist()
        self.bin = max((high - low) / BINS, 1.0)
        self.most = max(1.5 * high, grid.flops(grid.uniform(grid.widths[0], 1)))
        self.ends = self._ends()

    @property
    def within(self) -> list[list[int]] | None:
        """Return the likeliest of those that cost what was asked, or None where there is none."""
        if self.low <= self.grid.flops(self.mode) <= self.high:
            return self.mode
        allowed = [each for each in self.ends if self.low <= each.flops <= self.high]
        found = max(allowed, key=lambda each: each.chance, default=None)
        return None if found is None else [list(each) for each in found.stages]

    @property
    def nearest(self) -> int:
        """Return the FLOPs nearest to the middle of what was asked."""
        middle = (self.low + self.high) / 2
        return min((each.flops for each in self.ends), key=lambda flops: abs(flops - middle))

    def _ends(self) -> list[Beginning]:
        grid, begun = self.grid, [Beginning(0.0, 0, ())]
        for stage in range(grid.stages):
            ended: list[Beginning] = []
            begun = [Beginning(each.chance, each.flops, (*each.stages, ())) for each in begun]
            for layer in range(grid.layers):
                begun = self._longer(begun, stage, layer)
                left = sum(max(row) for row in self._rows(stage)[layer + 1 :])
                more = self.depths[stage][layer] + left
                ended += [Beginning(each.chance + more, each.flops, each.stages) for each in begun]
            begun = self._thinned(ended)
        cost = grid.classifier
        return [Beginning(each.chance, each.flops + cost * each.stages[-1][-1], each.stages) for each in begun]

    def _rows(self, stage: int) -> list[list[float]]:
        rows: list[list[float]] = self.widths[stage * self.grid.layers : (stage + 1) * self.grid.layers]
        return rows

    def _longer(self, begun: list[Beginning], stage: int, layer: int) -> list[Beginning]:
        """Return all ways to go on with one more layer."""
        grid, row, unit = self.grid, self._rows(stage)[layer], self.grid.convolution(stage)
        found = []
        for each in begun:
            *done, own = each.stages
            channels = own[-1] if own else (done[-1][-1] if done else grid.shape[0])
            for width, chance in zip(grid.widths, row, strict=True):
                flops = each.flops + unit * channels * width
                if flops <= self.most:
                    found.append(Beginning(each.chance + chance, flops, (*done, (*own, width))))
        return self._thinned(found)

    def _thinned(self, begun: list[Beginning]) -> list[Beginning]:
        """Keep the likeliest of those that end in one width and cost nearly the same."""
        kept: dict[tuple[int, int], Beginning] = {}
        for each in begun:
            key = each.stages[-1][-1], int(each.flops / self.bin)
            if key not in kept or each.chance > kept[key].chance:
                kept[key] = each
        return list(kept.values())
