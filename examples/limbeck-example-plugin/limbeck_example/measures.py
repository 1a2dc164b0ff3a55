"""Measures of images: the base of the application's own kind, and two that come with it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from pydantic import Field
from torch import Tensor

from limbeck.component import Component
from limbeck.options import Options as OptionsBase


class ImageMeasure(Component, ABC):
    """One number for each image."""

    @abstractmethod
    def measure(self, images: Tensor) -> Tensor:
        """Return one number per image, [n].

        Args:
            images: float32 [n, ch, h, w] in [0, 1].
        """


class Brightness(ImageMeasure):
    """The mean over channels and pixels."""

    def measure(self, images: Tensor) -> Tensor:
        """Return each image's mean, [n] in [0, 1]."""
        return images.flatten(1).mean(1)


class Contrast(ImageMeasure):
    """The distance between a bright and a dark quantile of an image's pixels."""

    class Options(OptionsBase):
        """Which quantiles."""

        tail: float = Field(0.05, ge=0, lt=0.5, description="share of the pixels left out at either end")

    def measure(self, images: Tensor) -> Tensor:
        """Return each image's quantile distance, [n] in [0, 1]."""
        pixels = images.flatten(1)
        return pixels.quantile(1 - self.options.tail, dim=1) - pixels.quantile(self.options.tail, dim=1)
