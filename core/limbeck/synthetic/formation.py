"""Formations: how stored images become the images a network trains on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

from torch import Tensor

from limbeck.component import Component

Phase = Literal["match", "inner", "evaluate"]


class Formation(Component, ABC):
    """A differentiable map from stored to training images, applied before augmentation."""

    @abstractmethod
    def expand(self, images: Tensor, labels: Tensor, group: Tensor, phase: Phase) -> tuple[Tensor, Tensor, Tensor]:
        """Return training images with their labels and groups.

        Args:
            images: stored images, normalised, [n, ch, h, w].
            labels: class ids [n] or soft labels [n, C].
            group: group of each stored image, int64 [n].
            phase: what the images are for: matching, inner training or evaluation.

        Returns:
            Images [m, ch, h, w], labels [m] or [m, C] and groups [m]; images of a group stay together.
        """

    def parameters(self) -> dict[str, Tensor]:
        """Return tensors of the formation's own that are learned with the images, by name."""
        return {}
