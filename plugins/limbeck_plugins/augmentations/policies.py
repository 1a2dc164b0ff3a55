"""RandAugment and AutoAugment with torchvision's operations and tables, and our own random numbers.

Papers: Cubuk et al., "RandAugment" (arXiv:1909.13719), and "AutoAugment: Learning Augmentation Strategies from Data"
(arXiv:1805.09501), as DC-BENCH (arXiv:2207.09639) trains evaluation networks with them. Operations, magnitudes and
policies are those of torchvision's first interface, which DC-BENCH used and which rounds otherwise than its second; it
draws from the global generator and is therefore never asked to draw.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor
from torchvision.transforms import InterpolationMode, autoaugment

from limbeck.data.spec import DataSpec
from limbeck_plugins.augmentations.pixels import PixelAugmentation, PixelOptions, whole_number

SMALL = 32
"""Side in pixels up to which AutoAugment's policies for CIFAR-10 are taken, those for ImageNet above."""


def operate(pixels: Tensor, name: str, strength: float) -> Tensor:
    """Do one operation of torchvision's policies to pixels, uint8 [n, ch, h, w]; what moves in is black."""
    done: Tensor = autoaugment._apply_op(pixels, name, strength, InterpolationMode.NEAREST, None)
    return done


def strength_of(table: Mapping[str, tuple[Tensor, bool]], name: str, step: int | None, sign: float) -> float:
    """Return the strength of an operation at a step of its table; a signed one is negative for half the numbers."""
    strengths, is_signed = table[name]
    if step is None or not strengths.ndim:
        return 0.0
    return float(strengths[step]) * (-1 if is_signed and sign < 0.5 else 1)


class RandAugment(PixelAugmentation):
    """Some of 14 operations, each drawn uniformly, all at one magnitude."""

    class Options(PixelOptions):
        """One operation, as in DC-BENCH (two in the paper and in torchvision), and torchvision's magnitude."""

        num_ops: int = Field(1, ge=1, description="operations one after the other")
        magnitude: int = Field(9, ge=0, description="step of the table of magnitudes, below num_magnitude_bins")
        num_magnitude_bins: int = Field(31, ge=2, description="steps of the table")

        @model_validator(mode="after")
        def _inside(self) -> Self:
            if self.magnitude >= self.num_magnitude_bins:
                raise ValueError(f"magnitude {self.magnitude} must be below num_magnitude_bins")
            return self

    @property
    def operations(self) -> list[str]:
        """Names of the operations; ``Draw.op`` indexes this list for the first of them."""
        return list(self._table(1, 1))

    def _table(self, height: int, width: int) -> dict[str, tuple[Tensor, bool]]:
        bins = self.options.num_magnitude_bins
        return dict(autoaugment.RandAugment()._augmentation_space(bins, (height, width)))

    @property
    def choices(self) -> int:
        """Number of operations."""
        return len(self.operations)

    @property
    def columns(self) -> int:
        """A sign for each operation, and a choice for each but the first."""
        return 2 * int(self.options.num_ops)

    def transform(self, pixels: Tensor, op: int, u: list[float]) -> Tensor:
        """Do the operations to pixels [n, ch, h, w] one after the other."""
        table = self._table(*pixels.shape[2:])
        names = list(table)
        for sign, choice in zip(u[::2], u[1::2], strict=True):
            pixels = operate(pixels, names[op], strength_of(table, names[op], self.options.magnitude, sign))
            op = whole_number(choice, len(names))
        return pixels


class AutoAugment(PixelAugmentation):
    """One of 25 learned policies, each two operations with probabilities of their own."""

    class Options(PixelOptions):
        """Which data the policies were learned on."""

        policy: Literal["auto", "cifar10", "imagenet", "svhn"] = Field(
            "auto", description="auto: cifar10 up to 32 pixels a side, else imagenet, as in DC-BENCH"
        )

    BINS = 10

    def for_data(self, spec: DataSpec) -> Self:
        """Return this augmentation with the policies that fit the images' size; see the base class."""
        fitted = super().for_data(spec)
        if self.options.policy == "auto":
            side = "cifar10" if max(spec.shape[1:]) <= SMALL else "imagenet"
            fitted.options = self.options.model_copy(update={"policy": side})
        return fitted

    @property
    def policies(self) -> list[Any]:
        """The policies, each two operations as (name, probability, step); ``Draw.op`` indexes this list."""
        return list(self._torchvision().policies)

    def _torchvision(self) -> Any:
        name = "cifar10" if self.options.policy == "auto" else self.options.policy
        return autoaugment.AutoAugment(autoaugment.AutoAugmentPolicy(name))

    @property
    def choices(self) -> int:
        """Number of policies."""
        return len(self.policies)

    @property
    def columns(self) -> int:
        """Whether it happens, and its sign, for each of the two operations."""
        return 4

    def transform(self, pixels: Tensor, op: int, u: list[float]) -> Tensor:
        """Do the two operations of policy ``op`` to pixels [n, ch, h, w], each with its probability."""
        table = self._torchvision()._augmentation_space(self.BINS, tuple(pixels.shape[2:]))
        for (name, probability, step), happens, sign in zip(self.policies[op], u[::2], u[1::2], strict=True):
            if happens < probability:
                pixels = operate(pixels, name, strength_of(table, name, step, sign))
        return pixels
