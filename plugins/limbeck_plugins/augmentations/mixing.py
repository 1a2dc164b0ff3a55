"""What CutMix and mixup have in common: partners, one share for the whole batch, and the labels that follow.

A batch's partners are a permutation of it and its share is Beta(b, b) distributed, as in both papers (arXiv:1905.04899,
arXiv:1710.09412) and in the public code snu-mllab/Efficient-Dataset-Condensation (MIT), which mixes a batch with a
given probability. A draw holds uniform numbers alone, so it can be applied again: partners are the order of one number
an image, and the share is an exact function of two (Devroye, "Random variate generation in one line of code", 1996:
with T of Student's distribution with 2b degrees of freedom, by Bailey's polar formula, 1/2 + T / (2 sqrt(2b + T^2)) is
Beta(b, b) for every b > 0).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor

from limbeck.augment import Augmentation, Draw
from limbeck.config import Spec
from limbeck.data.spec import DataSpec
from limbeck.options import Options as OptionsBase
from limbeck.plugins import registry

PARTNER, HAPPENS, RADIUS, ANGLE, FIRST = range(5)
"""Columns of a draw; those of a subclass begin at FIRST, and those of the augmentation before follow."""


class MixingOptions(OptionsBase):
    """Options that both have."""

    beta: float = Field(1.0, gt=0, description="of the distribution Beta(beta, beta) of an image's own share")
    probability: float = Field(1.0, ge=0, le=1, description="chance of a batch to be mixed")
    before: Spec | None = Field(None, description="augmentation that each image goes through first")


class MixingAugmentation(Augmentation):
    """Blends every image with a partner of its batch, all in the same share."""

    independent: ClassVar[bool] = False
    mixes_labels: ClassVar[bool] = True
    Options: ClassVar[type[OptionsBase]] = MixingOptions

    num_columns: ClassVar[int] = FIRST
    _spec: DataSpec | None = None

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        spec: Spec | None = self.options.before
        self._before: Augmentation | None = None
        if spec is not None:
            self._before = registry().create("augmentations", spec.model_dump())

    @abstractmethod
    def own_share(self, u: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the share of its own that each image keeps, float64 [n].

        Args:
            u: the draw's own columns [n, num_columns].
            size: height and width of the images.
        """

    @abstractmethod
    def blend(self, images: Tensor, partners: Tensor, u: Tensor) -> Tensor:
        """Return the blended images; all [n, ch, h, w], and u [n, num_columns]."""

    def for_data(self, spec: DataSpec) -> Self:
        """Return this augmentation, which then knows how large images are, with what comes before it fitted too."""
        fitted = type(self)(self.options)
        fitted.name, fitted._spec = self.name, spec
        fitted._before = None if self._before is None else self._before.for_data(spec)
        return fitted

    def draw(self, rows: int, generator: torch.Generator, *, one_op: bool = False) -> Draw:
        """Draw a partner for each row, and for all together whether and how they are mixed; see the base class."""
        u = torch.rand(rows, self.num_columns, generator=generator, device=generator.device)
        u[:, PARTNER + 1 :] = u[:1, PARTNER + 1 :].clone()
        if self._before is None:
            return Draw(torch.zeros(rows, dtype=torch.int64), u)
        first = self._before.draw(rows, generator, one_op=one_op)
        return Draw(first.op, torch.cat((u, first.u.to(u)), dim=1))

    def apply(self, images: Tensor, draw: Draw) -> Tensor:
        """Transform images [n, ch, h, w] by what comes before, then blend them; see the base class."""
        if self._before is not None:
            images = self._before.apply(images, self._first(draw))
        u = self._own(draw, images)
        return self.blend(images, images[_partners(u)], u)

    def mix(self, labels: Tensor, draw: Draw) -> Tensor:
        """Return the labels [n, C] of the images that ``apply`` blended.

        Raises:
            ValueError: ``for_data`` has not told how large images are.
        """
        if self._spec is None:
            raise ValueError(f"augmentation '{self.name}' needs images' size: use what its for_data(spec) returns")
        if self._before is not None:
            labels = self._before.mix(labels, self._first(draw))
        u = self._own(draw, labels)
        share = self.own_share(u, self._spec.shape[1:]).to(labels.dtype)[:, None]
        return share * labels + (1 - share) * labels[_partners(u)]

    def beta_share(self, u: Tensor) -> Tensor:
        """Return the Beta distributed share of each row, or 1 where it is not mixed, float64 [n]."""
        rest = u[:, RADIUS].double() ** (1 / self.options.beta)
        cosine = (2 * math.pi * u[:, ANGLE].double()).cos()
        along = (1 - rest) * cosine.square()
        share = 0.5 + 0.5 * cosine.sign() * (along / (rest + along)).sqrt()
        return torch.where(u[:, HAPPENS] < self.options.probability, share, 1.0)

    def _own(self, draw: Draw, like: Tensor) -> Tensor:
        """Return the draw's own columns for each of ``like``'s rows, [n, num_columns]."""
        if len(draw.u) not in (1, len(like)):
            raise ValueError(f"a draw of {len(draw.u)} rows does not fit {len(like)} images")
        return draw.u[:, : self.num_columns].to(like.device).expand(len(like), -1)

    def _first(self, draw: Draw) -> Draw:
        return Draw(draw.op, draw.u[:, self.num_columns :])


def _partners(u: Tensor) -> Tensor:
    """Return the partner of each row, a permutation int64 [n]: equal rows are their own partners."""
    return u[:, PARTNER].argsort(stable=True)
