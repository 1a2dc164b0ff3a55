"""Siamese augmentation: the random numbers of a transform are an object of their own.

A draw has rows. Matching draws one row per group and applies it to the group's real and synthetic images
(the siamese rule); training draws one row per image. The same draw applied twice gives the same transform.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from limbeck.component import Component
from limbeck.data.spec import DataSpec


@dataclass(frozen=True)
class Draw:
    """The random numbers of one augmentation.

    Attributes:
        op: which operation each row uses, int64 [rows], on the CPU so that choosing never waits for a device.
        u: uniform numbers in [0, 1), [rows, columns], on the images' device; each operation reads its own
            columns.
    """

    op: Tensor
    u: Tensor

    def rows(self, index: Tensor) -> Draw:
        """Return the draw whose row i is this draw's row ``index[i]`` (index: int64 [n], on the CPU)."""
        return Draw(self.op[index], self.u[index.to(self.u.device)])


class Augmentation(Component, ABC):
    """A random transform of normalised images.

    Matching differentiates through it; set ``differentiable`` to False where that cannot be, as in transforms that
    round pixels, which then serve training only. What is published with other oddities declares them too:
    ``independent`` is False where an image is changed by what others of its batch look like, ``heeds_one_op`` where
    every row always has an operation of its own. One that blends images with others of their batch sets
    ``mixes_labels`` (and ``independent`` to False): training asks it for the labels of what it made, and it serves
    training only.
    """

    differentiable: ClassVar[bool] = True
    independent: ClassVar[bool] = True
    heeds_one_op: ClassVar[bool] = True
    mixes_labels: ClassVar[bool] = False

    @abstractmethod
    def draw(self, rows: int, generator: torch.Generator, *, one_op: bool = False) -> Draw:
        """Draw the numbers of ``rows`` transforms.

        Args:
            rows: number of independent transforms (groups when siamese, images otherwise).
            generator: owner of the draw.
            one_op: the same operation for every row, as methods do in training ("one operation a batch").
        """

    @abstractmethod
    def apply(self, images: Tensor, draw: Draw) -> Tensor:
        """Transform images [n, ch, h, w] with a draw of n rows, or of one row for all; differentiable."""

    def mix(self, labels: Tensor, draw: Draw) -> Tensor:
        """Return the labels of what ``apply`` made with the same draw: those given, unless it ``mixes_labels``.

        Args:
            labels: probabilities [n, C] of the images as they were, in the same order.
            draw: n rows, or one row for all.

        Returns:
            Probabilities [n, C]: each image's own and its partners', by their shares in the picture.
        """
        return labels

    def for_data(self, spec: DataSpec) -> Augmentation:
        """Return the augmentation fit for images of one data set; itself unless the data rules something out.

        Args:
            spec: shape and properties of the data.
        """
        return self
