"""The usual augmentations of ImageNet and CIFAR, with torchvision's operations and our own random numbers.

As DC-BENCH (arXiv:2207.09639) trains evaluation networks with them: ``imagenet_aug`` is a crop after padding by 4, a
flip and colour jitter (0.4, 0.4, 0.4, 0.2) in random order; ``cifar_aug`` is crop and flip, then cutout (DeVries and
Taylor, arXiv:1708.04552), which erases a square of 16 pixels a side, cut by the borders, with the mean colour.
Different: the flip is left out of its own accord for data whose classes do not survive it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import torchvision.transforms.functional as F
from pydantic import Field
from torch import Tensor

from limbeck.data.spec import DataSpec
from limbeck.options import Options as OptionsBase
from limbeck_plugins.augmentations.pixels import PixelAugmentation, PixelOptions, whole_number

CROP_Y, CROP_X, FLIP, FIRST = range(4)


class CropOptions(PixelOptions):
    """What both have in common."""

    padding: int = Field(4, ge=0, description="black pixels added on every side before an image is cropped")
    flip: Literal["auto", "on", "off"] = Field("auto", description="auto: unless the data rules it out")


class CroppedAndFlipped(PixelAugmentation):
    """Crop after padding, and flip half of the time."""

    Options: ClassVar[type[OptionsBase]] = CropOptions

    def for_data(self, spec: DataSpec) -> Self:
        """Return this augmentation, without flip where a mirrored image would change its class."""
        fitted = super().for_data(spec)
        if self.options.flip == "auto":
            fitted.options = self.options.model_copy(update={"flip": "on" if spec.mirror else "off"})
        return fitted

    @property
    def choices(self) -> int:
        """There is one operation."""
        return 1

    def transform(self, pixels: Tensor, op: int, u: list[float]) -> Tensor:
        """Pad pixels [n, ch, h, w] with black, crop to the size before, and mirror for numbers below a half."""
        padding, (height, width) = self.options.padding, pixels.shape[2:]
        top, left = (whole_number(u[column], 2 * padding + 1) for column in (CROP_Y, CROP_X))
        pixels = F.crop(F.pad(pixels, [padding]), top, left, height, width)
        return F.hflip(pixels) if self.options.flip != "off" and u[FLIP] < 0.5 else pixels


class ImageNetAug(CroppedAndFlipped):
    """Crop, flip and colour jitter."""

    class Options(CropOptions):
        """Strengths of the jitter."""

        brightness: float = Field(0.4, ge=0, description="largest relative change")
        contrast: float = Field(0.4, ge=0, description="likewise")
        saturation: float = Field(0.4, ge=0, description="likewise")
        hue: float = Field(0.2, ge=0, le=0.5, description="largest turn of the colour circle")

    ORDERS = tuple(itertools.permutations(("brightness", "contrast", "saturation", "hue")))

    @property
    def choices(self) -> int:
        """Number of orders that the four parts of colour jitter can have."""
        return len(self.ORDERS)

    @property
    def columns(self) -> int:
        """Two for the crop, one for the flip, four for the jitter."""
        return FIRST + 4

    def transform(self, pixels: Tensor, op: int, u: list[float]) -> Tensor:
        """Crop and flip pixels [n, ch, h, w], and change colours in the order ``op``."""
        pixels = super().transform(pixels, op, u)
        for name in self.ORDERS[op]:
            most = getattr(self.options, name)
            centre, low = (0.0, -most) if name == "hue" else (1.0, max(0.0, 1 - most))
            strength = low + u[FIRST + self.ORDERS[0].index(name)] * (centre + most - low)
            pixels = getattr(F, f"adjust_{name}")(pixels, strength)
        return pixels


class CIFARAug(CroppedAndFlipped):
    """Crop, flip and cutout."""

    trial_options: ClassVar[Mapping[str, Any]] = {"cutout": 4}

    class Options(CropOptions):
        """Size of what cutout erases."""

        cutout: int = Field(16, ge=0, description="side of the erased square in pixels")

    @property
    def columns(self) -> int:
        """Two for the crop, one for the flip, two for cutout."""
        return FIRST + 2

    def finish(self, images: Tensor, u: list[float]) -> Tensor:
        """Erase a square whose middle lies anywhere in the images [n, ch, h, w]."""
        half, (height, width) = self.options.cutout // 2, images.shape[2:]
        y, x = whole_number(u[FIRST], height), whole_number(u[FIRST + 1], width)
        erased = images.clone()
        erased[:, :, max(0, y - half) : y + half, max(0, x - half) : x + half] = 0
        return erased
