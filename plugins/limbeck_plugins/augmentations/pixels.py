"""Augmentations of pixels: what torchvision does to bytes, between de-normalising and normalising.

What a synthetic image holds outside [0, 1] is clamped and what lies between two of 256 levels is rounded, as in
DC-BENCH (arXiv:2207.09639), section 4; its code cuts the fraction off, which darkens an image by half a level. There
is no gradient, so matching refuses them.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from limbeck.augment import Augmentation, Draw, choose, on_host
from limbeck.data.spec import DataSpec
from limbeck.errors import UsageError
from limbeck.options import Options as OptionsBase


class PixelOptions(OptionsBase):
    """Options that all of them have."""

    scope: Literal["batch", "image"] = Field(
        "batch", description="one transform for all images of a batch, as in DC-BENCH, or one for each"
    )


class PixelAugmentation(Augmentation):
    """A transform of bytes; its numbers stay on the CPU, where torchvision wants them."""

    differentiable = False
    Options: ClassVar[type[OptionsBase]] = PixelOptions

    _spec: DataSpec | None = None

    def for_data(self, spec: DataSpec) -> Self:
        """Return this augmentation, which then knows how pixels are normalised.

        Raises:
            UsageError: images that are neither grey nor coloured.
        """
        if spec.shape[0] not in (1, 3):
            raise UsageError(
                f"augmentation '{self.name}' knows images of 1 or 3 channels, but '{spec.name}' has {spec.shape[0]}. "
                "Use another, for example augmentation=dsa."
            )
        fitted = type(self)(self.options)
        fitted.name, fitted._spec = self.name, spec
        return fitted

    @property
    @abstractmethod
    def choices(self) -> int:
        """Number of operations a draw chooses from."""

    @property
    @abstractmethod
    def columns(self) -> int:
        """Number of uniform numbers a transform takes."""

    @abstractmethod
    def transform(self, pixels: Tensor, op: int, u: list[float]) -> Tensor:
        """Transform pixels alike, uint8 [n, ch, h, w], by the operation ``op`` and numbers in [0, 1)."""

    def finish(self, images: Tensor, u: list[float]) -> Tensor:
        """Do what is done to the normalised images [n, ch, h, w] afterwards; nothing by default."""
        return images

    def draw(self, rows: int, generator: torch.Generator, *, one_op: bool = False) -> Draw:
        """Draw one transform for all rows, or with ``scope`` image one for each whatever ``one_op`` says."""
        count = 1 if self.options.scope == "batch" else rows
        host = on_host(generator)
        op = choose(self.choices, count, host)
        u = torch.rand(count, self.columns, generator=host)
        if host is not generator:
            torch.rand(1, generator=generator, device=generator.device)  # moves it on for the next draw
        return Draw(op.expand(rows), u.expand(rows, -1))

    def apply(self, images: Tensor, draw: Draw) -> Tensor:
        """Transform normalised images [n, ch, h, w]; images whose rows are equal go through together.

        Raises:
            UsageError: ``for_data`` has not told how pixels are normalised.
            ValueError: the draw has neither one row nor one for each image.
        """
        if self._spec is None:
            raise UsageError(f"augmentation '{self.name}' works on pixels: use what its for_data(spec) returns.")
        if len(draw.op) not in (1, len(images)):
            raise ValueError(f"a draw of {len(draw.op)} rows does not fit {len(images)} images")
        work = images.detach().to(torch.promote_types(images.dtype, torch.float32))
        pixels = (self._spec.denormalise(work).clamp(0, 1) * 255).round().to(torch.uint8)
        rows = torch.cat((draw.op[:, None].double(), draw.u.double().cpu()), dim=1)
        distinct, member = torch.unique(rows, dim=0, return_inverse=True)
        out = torch.empty_like(work)
        for position, (op, *u) in enumerate(distinct.tolist()):
            mine = slice(None) if len(distinct) == 1 else (member == position).nonzero().flatten().to(images.device)
            changed = self.transform(pixels[mine], int(op), u).to(work.dtype) / 255
            out[mine] = self.finish(self._spec.normalise(changed), u)
        return out.to(images.dtype)


def whole_number(u: float, count: int) -> int:
    """Turn a uniform number in [0, 1) into a whole one from 0 to ``count`` - 1."""
    return min(int(u * count), count - 1)
