"""Formations: how stored images become the images a network trains on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from limbeck.component import Component
from limbeck.data.spec import DataSpec

Phase = Literal["match", "inner", "evaluate"]


class Formation(Component, ABC):
    """A differentiable map from stored to training images, applied before augmentation."""

    def for_data(self, spec: DataSpec) -> Formation:
        """Return the formation fit for images of one data set; called before anything else.

        Args:
            spec: shape and properties of the data.

        Raises:
            UsageError: it cannot be used there; says why.
        """
        return self

    @property
    def starts_from(self) -> int:
        """How many real images one stored image starts from."""
        return 1

    def compose(self, images: Tensor) -> Tensor:
        """Make stored images of real ones, so that ``expand`` shows what ``starts_from`` of them hold.

        Args:
            images: normalised [n, k, ch, h, w], k = ``starts_from`` for each stored image.

        Returns:
            Stored images [n, ch, h, w]; the first of each k unless overridden.
        """
        return images[:, 0]

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

    def formed(self, images: Tensor, group: Tensor, phase: Phase) -> tuple[Tensor, Tensor]:
        """Return training images [m, ch, h, w] and which of the n stored images each was made from, int64 [m]."""
        rows = torch.arange(len(images), device=images.device)
        training, stored, _ = self.expand(images, rows, group, phase)
        return training, stored

    def parameters(self) -> dict[str, Tensor]:
        """Return tensors of the formation's own that are learned with the images, by name."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back the tensors that ``parameters`` returned, by name."""
        with torch.no_grad():
            for name, tensor in self.parameters().items():
                tensor.copy_(state[name])
