"""Chains: stages of convolutions whose number, widths and kernels vary; what networks grow and shrink in.

Papers: Cai et al., "Efficient Architecture Search by Network Transformation" (arXiv:1707.04873), section 4, whose plain
networks are convolutions and poolings in a row, with widths from a ladder; Dong and Yang, "Network Pruning via
Transformable Architecture Search" (arXiv:1905.09717), whose networks have stages of one resolution. Public code of
both: EAS and AutoDL-Projects (MIT). Written from the definitions.

What is the same: convolution, norm, ReLU; stages of one resolution with 2x2 pooling after each; widths from a ladder.
What differs: the ladder and the number of layers are small enough for a CPU, there are no residual connections and no
hidden linear layers, and the last map is flattened as in a ConvNet, not averaged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, field_validator
from torch import Tensor, nn

from limbeck.errors import UsageError
from limbeck.options import Options as OptionsBase
from limbeck_applications.nas.space import Architecture, Gene, Genome
from limbeck_applications.nas.staged import Ladder, Layer, StagedSpace, Stages


class Chain(nn.Module):
    """Layers in a row, flattened into a linear classifier.

    Args:
        features: turn images [n, ch, h, w] into maps.
        classifier: turns flattened maps into logits.
    """

    def __init__(self, features: nn.Sequential, classifier: nn.Linear) -> None:
        super().__init__()
        self.features, self.classifier = features, classifier

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [n, classes] of images [n, ch, h, w]."""
        logits: Tensor = self.classifier(self.features(images).flatten(1))
        return logits


class Chains(StagedSpace):
    """Stages of convolution, norm and ReLU, each ended by 2x2 average pooling, then one linear layer.

    A genome has the norm, then for each stage its number of layers and, for as many layers as it may have, width and
    kernel; those of layers that a stage does not have are zero. A name is the widths of the layers, such as
    ``16-16_24_32-32_batch`` for stages of two, one and two layers; with several kernels ``16k3-16k5_...``.
    """

    class Options(OptionsBase):
        """What there is to choose from."""

        widths: tuple[int, ...] = Field((8, 12, 16, 24, 32, 48), min_length=1, description="widths of a convolution")
        kernels: tuple[int, ...] = Field((3,), min_length=1, description="kernel sizes of a convolution")
        norms: tuple[Literal["none", "batch"], ...] = Field(
            ("batch",), min_length=1, description="norms after each convolution; few images train no chain without one"
        )
        stages: int = Field(3, ge=1, le=6, description="stages; each ends in 2x2 average pooling")
        layers: int = Field(3, ge=1, le=12, description="layers that a stage may have; it has at least one")

        @field_validator("widths", "kernels", "norms")
        @classmethod
        def _each_once(cls, values: tuple[str | int, ...]) -> tuple[str | int, ...]:
            if len(set(values)) < len(values):
                raise ValueError("give each value once")
            return values

        @field_validator("kernels")
        @classmethod
        def _odd(cls, kernels: tuple[int, ...]) -> tuple[int, ...]:
            if any(kernel not in (1, 3, 5, 7) for kernel in kernels):
                raise ValueError("give kernels of 1, 3, 5 or 7")
            return kernels

        @field_validator("widths")
        @classmethod
        def _rising(cls, widths: tuple[int, ...]) -> tuple[int, ...]:
            if list(widths) != sorted(widths) or widths[0] < 1:
                raise ValueError("give widths from small to large, from 1 on")
            return widths

    def genes(self) -> tuple[Gene, ...]:
        """Return the norm, then number of layers, widths and kernels stage by stage."""
        options, found = self.options, [Gene("norm", self.options.norms)]
        for stage in range(1, options.stages + 1):
            found.append(Gene(f"layers{stage}", tuple(range(1, options.layers + 1))))
            for layer in range(1, options.layers + 1):
                found.append(Gene(f"width{stage}.{layer}", options.widths))
                found.append(Gene(f"kernel{stage}.{layer}", options.kernels))
        return tuple(found)

    def canonical(self, genome: Genome) -> Genome:
        """Return the genome with zeros for layers that are not there."""
        found, span = [genome[0]], 1 + 2 * self.options.layers
        for place in range(1, len(genome), span):
            own = genome[place : place + span]
            used = 1 + 2 * (own[0] + 1)
            found += [*own[:used], *[0] * (span - used)]
        return tuple(found)

    @property
    def ladder(self) -> Ladder:
        """What there is to choose from."""
        own = self.options
        return Ladder(own.widths, own.kernels, own.norms, own.stages, own.layers)

    def stages(self, genome: Genome) -> Stages:
        """Return (width, kernel) of the layers of each stage."""
        options, found, span = self.options, [], 1 + 2 * self.options.layers
        for place in range(1, len(genome), span):
            own = genome[place + 1 : place + 1 + 2 * (genome[place] + 1)]
            pairs = zip(own[::2], own[1::2], strict=True)
            found.append([(options.widths[width], options.kernels[kernel]) for width, kernel in pairs])
        return found

    def norm(self, genome: Genome) -> str:
        """Return "none" or "batch"."""
        norm: str = self.options.norms[genome[0]]
        return norm

    def from_stages(self, stages: Sequence[Sequence[Layer]], norm: str) -> Architecture:
        """Return the architecture of these stages.

        Args:
            stages: (width, kernel) of the layers of each.
            norm: "none" or "batch".

        Raises:
            UsageError: not of this space, with what it has instead.
        """
        options = self.options
        genome = [_place("norm", norm, options.norms)]
        if len(stages) != options.stages:
            raise UsageError(f"chains has {options.stages} stages, but {len(stages)} were given.")
        for layers in stages:
            genome.append(_place("number of layers", len(layers), range(1, options.layers + 1)))
            for width, kernel in layers:
                genome += [_place("width", width, options.widths), _place("kernel", kernel, options.kernels)]
            genome += [0] * (2 * (options.layers - len(layers)))
        return self.decode(genome)

    def name_of(self, genome: Genome) -> str:
        """Return a name such as ``16-16_24_32-32_batch``."""
        several = len(self.options.kernels) > 1
        words = [
            "-".join(f"{width}k{kernel}" if several else f"{width}" for width, kernel in layers)
            for layers in self.stages(genome)
        ]
        norm = self.norm(genome)
        return "_".join([*words, "nonorm" if norm == "none" else norm])

    def traits_of(self, genome: Genome) -> dict[str, str]:
        """Return the norm and the number of layers."""
        return {"norm": self.norm(genome), "depth": str(sum(map(len, self.stages(genome))))}

    def find(self, name: str) -> Architecture:
        """Return the architecture of a name.

        Raises:
            UsageError: it is none of this space.
        """
        *words, norm = name.split("_")
        read = [[re.fullmatch(r"(\d+)(?:k(\d+))?", word) for word in stage.split("-")] for stage in words]
        stages = [[(int(m[1]), int(m[2] or self.options.kernels[0])) for m in stage if m] for stage in read]
        try:
            found = self.from_stages(stages, "none" if norm == "nonorm" else norm)
        except UsageError:
            found = None
        if found is None or found.name != name:
            raise UsageError(f"'{name}' is no architecture of {self.name}; one is named like '{self.first().name}'.")
        return found

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """Return the neighbours: another norm, one other value in a layer, a layer more or less at a stage's end."""
        options, norm, stages = self.options, self.norm(architecture.genome), self.stages(architecture.genome)
        found = [(stages, other) for other in options.norms if other != norm]
        choices = [(width, kernel) for width in options.widths for kernel in options.kernels]
        for place, own in enumerate(stages):
            others = [own[:-1]] if len(own) > 1 else []
            for at, layer in enumerate(own):
                others += [[*own[:at], new, *own[at + 1 :]] for new in choices if _differ(new, layer) == 1]
            others += [[*own, new] for new in choices] if len(own) < options.layers else []
            found += [([*stages[:place], other, *stages[place + 1 :]], norm) for other in others]
        return [self.from_stages(*near) for near in found]

    def build(self, architecture: Architecture, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
        """Return the module; its layers are ``features.<i>`` and ``classifier``.

        Args:
            architecture: of this space.
            shape: (channels, height, width) of one image.
            num_classes: width of the classifier head.

        Raises:
            UsageError: pooling leaves nothing of an image this small.
        """
        channels, height, width = shape
        least = 2**self.options.stages
        if min(height, width) < least:
            raise UsageError(
                f"{self.options.stages} stages need images of at least {least}x{least}; "
                "give fewer with the option 'stages'"
            )
        features: list[nn.Module] = []
        for layers in self.stages(architecture.genome):
            for filters, kernel in layers:
                features.append(nn.Conv2d(channels, filters, kernel, padding=kernel // 2))
                features += [nn.BatchNorm2d(filters)] if self.norm(architecture.genome) == "batch" else []
                features.append(nn.ReLU())
                channels = filters
            features.append(nn.AvgPool2d(2))
            height, width = height // 2, width // 2
        return Chain(nn.Sequential(*features), nn.Linear(channels * height * width, num_classes))


def _differ(one: Layer, other: Layer) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def _place(what: str, value: str | int, values: Sequence[str | int]) -> int:
    if value not in values:
        raise UsageError(f"{what} {value} is not in chains; it has {_listed(values)}.")
    return values.index(value)


def _listed(values: Sequence[str | int]) -> str:
    return ", ".join(map(str, values))
