"""The augmentation DC trains its evaluation networks with.

Paper: Zhao, Mopuri and Bilen, "Dataset Condensation with Gradient Matching" (arXiv:2006.05929), used there
for MNIST (crop, scale, rotate) and for networks with batch norm (crop, noise). Defined by the reference code
VICO-UoE/DatasetCondensation (MIT) alone; written anew from its behaviour. Kept: one operation drawn for each
image; crop and rotate fill with the batch's mean colour, scale with zeros; shifts run from -4 to 3 pixels and
angles over whole degrees from -45 to 44; scaling takes nearest pixels. Different: rotation is bilinear about
the exact centre, where SciPy's cubic spline is cropped from a larger canvas, half a pixel aside when that is
odd; noise is a function of the draw, so that a draw can be applied again.
"""

from __future__ import annotations

import math

import torch
from pydantic import Field, field_validator
from torch import Tensor

from limbeck.augment import (
    Augmentation,
    Draw,
    by_operation,
    check_strategy,
    choose,
    pick,
    rotation,
    shift,
    warp,
    whole,
)
from limbeck.options import Options as OptionsBase

OPERATIONS = ("crop", "scale", "rotate", "noise")

CROP_Y, CROP_X, SCALE_Y, SCALE_X, ROTATE, NOISE = range(6)
NUM_COLUMNS = 6


class DC(Augmentation):
    """One operation for each image, drawn uniformly."""

    independent = False
    heeds_one_op = False

    class Options(OptionsBase):
        """Strategy and strength; the defaults are those published for MNIST."""

        strategy: str = Field("crop_scale_rotate", description="operations to choose from, joined by '_'")
        crop: int = Field(4, ge=1, description="largest shift in pixels")
        scale: float = Field(0.2, ge=0, lt=1, description="largest relative change of a side")
        rotate: int = Field(45, ge=1, le=180, description="largest angle in degrees, either way")
        noise: float = Field(0.001, ge=0, description="standard deviation of Gaussian noise, normalised pixels")

        @field_validator("strategy")
        @classmethod
        def _known(cls, strategy: str) -> str:
            return check_strategy(strategy, OPERATIONS)

    @property
    def operations(self) -> list[str]:
        """The operations a draw chooses from; ``Draw.op`` indexes this list."""
        names: list[str] = self.options.strategy.split("_")
        return names

    def draw(self, rows: int, generator: torch.Generator, *, one_op: bool = False) -> Draw:
        """Draw the operation and the 6 numbers of each row; ``one_op`` is not heeded, as published."""
        op = choose(len(self.operations), rows, generator)
        return Draw(op, torch.rand(rows, NUM_COLUMNS, generator=generator, device=generator.device))

    def apply(self, images: Tensor, draw: Draw) -> Tensor:
        """Transform normalised images [n, ch, h, w].

        The mean colour of all of them fills what crop and rotate bring into view.
        """
        work = images.to(torch.promote_types(images.dtype, torch.float32))
        colour = work.mean((2, 3), keepdim=True).mean(0, keepdim=True)
        operations = {
            "crop": lambda batch, u: self._crop(batch, u, colour),
            "scale": self._scale,
            # One grey for each image: the gradient of a single number would be summed differently by more threads.
            "rotate": lambda batch, u: self._rotate(batch, u, colour.mean().expand(len(batch), 1, 1, 1)),
            "noise": self._noise,
        }
        return by_operation(images, draw, [operations[name] for name in self.operations])

    def _crop(self, images: Tensor, u: Tensor, colour: Tensor) -> Tensor:
        most = self.options.crop
        down, right = (whole(u[:, column], 2 * most) - most for column in (CROP_Y, CROP_X))
        return shift(images, down, right, colour)

    def _scale(self, images: Tensor, u: Tensor) -> Tensor:
        """Resize both sides on their own, centred; zeros around a smaller image, borders cut off a larger."""
        height, width = images.shape[2:]
        new_height, new_width = (
            ((1 + (2 * u[:, column] - 1) * self.options.scale) * size).long().clamp(min=1)
            for column, size in ((SCALE_Y, height), (SCALE_X, width))
        )
        canvas = torch.maximum(new_height, new_width).clamp(min=max(height, width))
        return pick(images, _nearest(height, new_height, canvas), _nearest(width, new_width, canvas))

    def _rotate(self, images: Tensor, u: Tensor, grey: Tensor) -> Tensor:
        most = self.options.rotate
        angle = (whole(u[:, ROTATE], 2 * most) - most).to(u.dtype) * (math.pi / 180)
        return warp(images - grey, rotation(angle)) + grey

    def _noise(self, images: Tensor, u: Tensor) -> Tensor:
        noise = _normal(u[:, NOISE], images[0].numel()).view(-1, *images.shape[1:])
        strength: float = self.options.noise
        return images + strength * noise


def _nearest(size: int, new_size: Tensor, canvas: Tensor) -> Tensor:
    """Return which input pixel each of ``size`` output pixels shows along one axis, -1 for none.

    Args:
        size: of the image, before and after.
        new_size: int64 [n], what the image is resized to.
        canvas: int64 [n], the side of the square both are centred in.

    Returns:
        int64 [n, size].
    """
    offset = torch.div(canvas - size, 2, rounding_mode="floor")
    offset = offset - torch.div(canvas - new_size, 2, rounding_mode="floor")
    place = torch.arange(size, device=new_size.device) + offset[:, None]
    source = torch.div(place * size, new_size[:, None], rounding_mode="floor")
    return source.masked_fill((place < 0) | (place >= new_size[:, None]), -1)


def _normal(u: Tensor, count: int) -> Tensor:
    """Return ``count`` normal numbers [n, count] for each uniform one [n], the same whenever asked.

    A position is hashed with the row's number (two rounds of multiply and shift) into two uniform numbers,
    which Box and Muller's formula makes normal.
    """
    seed = (u.double() * 2**24).long()[:, None] * 2 + 1
    position = torch.arange(1, 2 * count + 1, device=u.device)
    bits = seed * 0x9E3779B97F4A7C1 + position * 0x3C6EF372FE94F82B
    for factor in (0x3F58476D1CE4E5B9, 0x14D049BB133111EB):
        bits = (bits ^ ((bits >> 30) & 0x3FFFFFFFF)) * factor
    uniform = (((bits >> 31) & 0xFFFFFF).to(u.dtype) + 0.5) / 2**24
    radius, angle = torch.sqrt(-2 * uniform[:, :count].log()), 2 * math.pi * uniform[:, count:]
    return radius * angle.cos()
