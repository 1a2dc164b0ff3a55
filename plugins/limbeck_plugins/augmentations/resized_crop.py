"""Random resized crops and flips, and RDED's shuffling of the patches an image is tiled from.

Crop: Szegedy et al., "Going Deeper with Convolutions" (arXiv:1409.4842), section 6, as torchvision's
``RandomResizedCrop`` does it: ten tries of an area and a ratio of the sides, the first that fits, else the largest
part in the middle whose ratio is allowed; bilinear. SRe2L (arXiv:2306.13092) and RDED (arXiv:2312.03526) train their
students so, on 8 to 100 % of the area and on 1 / factor to 100 %; a lower end of 1 crops nothing from square images.
Shuffle: public code LINs-lab/RDED (Apache-2.0), which before the crop puts factor strips of columns, then factor
strips of rows into random order, the last of them longer where factor does not divide the side. Written from the
definitions. Different: one transform for a batch, made from uniform numbers, so that a draw can be applied again and
is differentiable; flipping is left out of its own accord for data whose classes do not survive it; images keep their
size, so antialiasing has nothing to do.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from limbeck.augment import Augmentation, Boxes, Draw, by_operation, pick, place, stretch
from limbeck.data.spec import DataSpec
from limbeck.options import Options as OptionsBase

TRIES = 10
FLIP, CROP_Y, CROP_X, FIRST = range(4)
STRIPS = FIRST + 2 * TRIES
"""Where the columns of a draw begin that order strips, after an area and a ratio for each try."""


class ResizedCrop(Augmentation):
    """Stretch a random part of each image to its size, and mirror half of them."""

    class Options(OptionsBase):
        """Which parts; the defaults are torchvision's."""

        scale: tuple[float, float] = Field((0.08, 1.0), description="least and largest share of the area")
        ratio: tuple[float, float] = Field((3 / 4, 4 / 3), description="least and largest width over height")
        flip: Literal["auto", "on", "off"] = Field("auto", description="auto: unless the data rules it out")
        flip_probability: float = Field(0.5, ge=0, le=1, description="chance of a mirrored image")
        shuffle: int = Field(1, ge=1, description="strips of rows, and of columns, put into random order first")

        @model_validator(mode="after")
        def _ordered(self) -> ResizedCrop.Options:
            if not 0 < self.scale[0] <= self.scale[1] <= 1:
                raise ValueError(f"scale {list(self.scale)} must be two shares of the area, 0 < least <= largest <= 1")
            if not 0 < self.ratio[0] <= self.ratio[1] < math.inf:
                raise ValueError(f"ratio {list(self.ratio)} must be two positive numbers, the least first")
            return self

    def for_data(self, spec: DataSpec) -> Augmentation:
        """Return this augmentation, without flip where a mirrored image would change its class."""
        if self.options.flip != "auto" or spec.mirror:
            return self
        fitted = type(self)(self.options.model_copy(update={"flip": "off"}))
        fitted.name = self.name
        return fitted

    def draw(self, rows: int, generator: torch.Generator, *, one_op: bool = False) -> Draw:
        """Draw the numbers of each row, of which every one has its own part; see the base class."""
        columns = STRIPS + 2 * self.options.shuffle
        u = torch.rand(rows, columns, generator=generator, device=generator.device)
        return Draw(torch.zeros(rows, dtype=torch.int64), u)

    def apply(self, images: Tensor, draw: Draw) -> Tensor:
        """Transform normalised images [n, ch, h, w]; see the base class."""
        return by_operation(images, draw, [self._transform])

    def _transform(self, images: Tensor, u: Tensor) -> Tensor:
        options, size = self.options, (images.shape[2], images.shape[3])
        if options.shuffle > 1:
            strips = torch.split(u[:, STRIPS:], options.shuffle, dim=1)
            rows, columns = (_shuffled(side, chance) for side, chance in zip(size, strips, strict=True))
            images = pick(images, rows, columns)
        images = stretch(images, parts(u, size, options.scale, options.ratio), size)
        if options.flip == "off":
            return images
        return torch.where(u[:, FLIP, None, None, None] < options.flip_probability, images.flip(3), images)


def parts(u: Tensor, size: tuple[int, int], scale: tuple[float, float], ratio: tuple[float, float]) -> Boxes:
    """Return the part of an image that each row of a draw crops.

    Args:
        u: the draw's numbers [n, columns].
        size: height and width of the images.
        scale: least and largest share of the area, uniform between.
        ratio: least and largest width over height, uniform between in the logarithm.
    """
    (height, width), low = size, math.log(ratio[0])
    area, skew = u[:, FIRST:STRIPS].double().reshape(-1, TRIES, 2).unbind(2)
    area = (scale[0] + area * (scale[1] - scale[0])) * (height * width)
    skew = (low + skew * (math.log(ratio[1]) - low)).exp()
    wide, high = ((area * skew).sqrt().round().long(), (area / skew).sqrt().round().long())
    fits = (wide > 0) & (wide <= width) & (high > 0) & (high <= height)
    first = fits.int().argmax(1, keepdim=True)
    centred, some = _largest(size, ratio), fits.any(1)
    wide = torch.where(some, wide.gather(1, first)[:, 0], centred[1])
    high = torch.where(some, high.gather(1, first)[:, 0], centred[0])
    chosen = place(high, wide, u[:, [CROP_Y, CROP_X]], size)
    top = torch.where(some, chosen.top, (height - centred[0]) // 2)
    left = torch.where(some, chosen.left, (width - centred[1]) // 2)
    return Boxes(top, left, high, wide)


def _largest(size: tuple[int, int], ratio: tuple[float, float]) -> tuple[int, int]:
    """Return height and width of the largest part whose ratio is allowed."""
    height, width = size
    allowed = min(max(width / height, ratio[0]), ratio[1])
    if width / height < allowed:
        return max(1, round(width / allowed)), width
    return height, max(1, min(width, round(height * allowed)))


def _shuffled(size: int, u: Tensor) -> Tensor:
    """Return which of ``size`` pixels stands where, int64 [n, size], strips being ordered by numbers [n, strips]."""
    number = u.shape[1]
    strip = (torch.arange(size, device=u.device) // max(size // number, 1)).clamp(max=number - 1)
    rank = u.argsort(dim=1, stable=True).argsort(dim=1, stable=True)
    return rank[:, strip].argsort(dim=1, stable=True)
