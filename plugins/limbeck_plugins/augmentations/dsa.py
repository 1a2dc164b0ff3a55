"""Differentiable siamese augmentation.

Paper: Zhao and Bilen, "Dataset Condensation with Differentiable Siamese Augmentation" (arXiv:2102.08259),
section 3.2 and table of the appendix; operations after Zhao et al., "Differentiable Augmentation for
Data-Efficient GAN Training" (arXiv:2006.10738). Reference code VICO-UoE/DatasetCondensation (MIT), whose
ranges and roundings are kept. Written from the definitions. Differences: a batch is transformed at once; one
draw is an object that can be applied again, where the reference re-seeds the global generator; flipping is
left out of its own accord for data whose classes do not survive it.

``always`` serves two later papers: Son et al. (arXiv:2407.08113, public code cvlab-yonsei/FYI, GPL-3.0) mirror every
batch half of the time before one of the other operations (always: flip); Kim et al. (arXiv:2205.14959, public code
snu-mllab/Efficient-Dataset-Condensation, MIT) apply flip and color before it and cutout after it wherever they are
listed (strategy: color_crop_cutout, always: color_cutout).
"""

from __future__ import annotations

import math
from functools import reduce
from typing import Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor

from limbeck.augment import (
    Augmentation,
    Draw,
    Operation,
    by_operation,
    check_strategy,
    choose,
    rotation,
    shift,
    warp,
    whole,
)
from limbeck.data.spec import DataSpec
from limbeck.errors import UsageError
from limbeck.options import Options as OptionsBase

OPERATIONS = ("color", "crop", "cutout", "flip", "scale", "rotate")
EVERY = ("flip", "color", "crop", "scale", "rotate", "cutout")
"""The order of operations that every row has; cutout comes after the operation that is chosen."""

BRIGHTNESS, SATURATION, CONTRAST, CROP_Y, CROP_X, CUTOUT_Y, CUTOUT_X, FLIP, SCALE_X, SCALE_Y, ROTATE = range(11)
NUM_COLUMNS = 11


class DSA(Augmentation):
    """One operation of the strategy, drawn uniformly for each row (or once for all with ``one_op``)."""

    class Options(OptionsBase):
        """Strategy and strength; the defaults are the published ones."""

        strategy: str = Field(
            "color_crop_cutout_flip_scale_rotate", description="operations to choose from, joined by '_'"
        )
        always: str = Field(
            "", description="operations that every image has besides the chosen one, joined by '_'; never chosen then"
        )
        flip: Literal["auto", "on", "off"] = Field(
            "auto", description="whether the strategy's flip is used; auto: unless the data rules it out"
        )
        brightness: float = Field(1.0, ge=0, description="width of the range added to every pixel")
        saturation: float = Field(2.0, ge=0, description="largest factor of the distance to a pixel's grey")
        contrast: float = Field(0.5, ge=0, description="smallest factor of the distance to the image's mean")
        crop: float = Field(0.125, ge=0, le=1, description="largest shift as a share of the image's side")
        cutout: float = Field(0.5, ge=0, le=1, description="side of the erased square as a share of the image's")
        flip_probability: float = Field(0.5, ge=0, le=1, description="chance of a mirrored image")
        scale: float = Field(1.2, ge=1, description="largest factor by which a side shrinks or grows")
        rotate: float = Field(15.0, ge=0, le=180, description="largest angle in degrees, either way")
        align_corners: bool = Field(
            False, description="whether scale and rotate hold the corner pixels' centres or their edges"
        )

        @field_validator("strategy")
        @classmethod
        def _known(cls, strategy: str) -> str:
            return check_strategy(strategy, OPERATIONS)

        @field_validator("always")
        @classmethod
        def _known_or_none(cls, always: str) -> str:
            return check_strategy(always, OPERATIONS) if always else ""

    @property
    def operations(self) -> list[str]:
        """The operations a draw chooses from; ``Draw.op`` indexes this list, or is 0 where it is empty."""
        names: list[str] = self.options.strategy.split("_")
        return [name for name in self._allowed(names) if name not in self.always]

    @property
    def always(self) -> list[str]:
        """The operations that every row has, in their order."""
        names = self.options.always.split("_")
        return self._allowed([name for name in EVERY if name in names])

    def _allowed(self, names: list[str]) -> list[str]:
        return [name for name in names if name != "flip" or self.options.flip != "off"]

    def for_data(self, spec: DataSpec) -> Augmentation:
        """Return this augmentation, without flip where a mirrored image would change its class.

        Raises:
            UsageError: nothing is left to choose from.
        """
        if self.options.flip != "auto" or spec.mirror:
            return self
        fitted = type(self)(self.options.model_copy(update={"flip": "off"}))
        fitted.name = self.name
        if not fitted.operations and not fitted.always:
            raise UsageError(
                f"augmentation '{self.name}' only flips, and a mirrored image of '{spec.name}' changes its "
                "class; add another operation to its strategy, or set flip to on."
            )
        return fitted

    def draw(self, rows: int, generator: torch.Generator, *, one_op: bool = False) -> Draw:
        """Draw the operation and the 11 numbers of each row; see the base class."""
        op = choose(max(1, len(self.operations)), 1 if one_op else rows, generator)
        u = torch.rand(rows, NUM_COLUMNS, generator=generator, device=generator.device)
        return Draw(op.expand(rows), u)

    def apply(self, images: Tensor, draw: Draw) -> Tensor:
        """Transform normalised images [n, ch, h, w]; see the base class."""
        return by_operation(images, draw, self._transforms())

    def _transforms(self) -> list[Operation]:
        """Return what each chosen operation amounts to together with those that every row has."""
        every = self.always
        first, last = [name for name in every if name != "cutout"], [name for name in every if name == "cutout"]
        return [self._in_turn([*first, *chosen, *last]) for chosen in [[name] for name in self.operations] or [[]]]

    def _in_turn(self, names: list[str]) -> Operation:
        transforms: list[Operation] = [getattr(self, f"_{name}") for name in names]
        return lambda images, u: reduce(lambda changed, transform: transform(changed, u), transforms, images)

    def _color(self, images: Tensor, u: Tensor) -> Tensor:
        """Brightness, then saturation, then contrast."""
        options, u = self.options, u[..., None, None, None]
        images = images + (u[:, BRIGHTNESS] - 0.5) * options.brightness
        grey = images.mean(1, keepdim=True)
        images = (images - grey) * (u[:, SATURATION] * options.saturation) + grey
        mean = images.mean((1, 2, 3), keepdim=True)
        factor: Tensor = u[:, CONTRAST] + options.contrast
        return (images - mean) * factor + mean

    def _crop(self, images: Tensor, u: Tensor) -> Tensor:
        """Shift by up to a share of the side, zeros (the mean colour) outside."""
        farthest = [_share(size, self.options.crop) for size in images.shape[2:]]
        down, right = (
            whole(u[:, column], 2 * most + 1) - most for column, most in zip((CROP_Y, CROP_X), farthest, strict=True)
        )
        return shift(images, down, right)

    def _cutout(self, images: Tensor, u: Tensor) -> Tensor:
        """Erase a square whose middle lies anywhere in the image; borders cut it."""
        height, width = images.shape[2:]
        rows = self._erased(height, u[:, CUTOUT_Y])
        columns = self._erased(width, u[:, CUTOUT_X])
        return images.masked_fill((rows[:, :, None] & columns[:, None, :]).unsqueeze(1), 0.0)

    def _erased(self, size: int, u: Tensor) -> Tensor:
        """Return which of ``size`` pixels along one axis are erased, bool [rows, size]."""
        side = _share(size, self.options.cutout)
        start = whole(u, size + 1 - side % 2)[:, None] - side // 2
        pixels = torch.arange(size, device=u.device)
        return (pixels >= start) & (pixels < start + side)

    def _flip(self, images: Tensor, u: Tensor) -> Tensor:
        mirrored = u[:, FLIP, None, None, None] < self.options.flip_probability
        return torch.where(mirrored, images.flip(3), images)

    def _scale(self, images: Tensor, u: Tensor) -> Tensor:
        """Stretch each axis on its own by a factor of the inverse map: above 1 shrinks."""
        most = self.options.scale
        factor_x, factor_y = (u[:, k] * (most - 1 / most) + 1 / most for k in (SCALE_X, SCALE_Y))
        zero = torch.zeros_like(factor_x)
        theta = torch.stack((factor_x, zero, zero, zero, factor_y, zero), dim=1).view(-1, 2, 3)
        return warp(images, theta, align_corners=self.options.align_corners)

    def _rotate(self, images: Tensor, u: Tensor) -> Tensor:
        angle = (u[:, ROTATE] - 0.5) * (2 * math.radians(self.options.rotate))
        return warp(images, rotation(angle), align_corners=self.options.align_corners)


def _share(size: int, ratio: float) -> int:
    return int(size * ratio + 0.5)
