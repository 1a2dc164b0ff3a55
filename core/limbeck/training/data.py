"""What a network is trained on: anything that hands out normalised images by index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from limbeck.errors import DataError


class Samples(Protocol):
    """A labelled set held in memory; real sets and ``TrainData`` both are one."""

    @property
    def labels(self) -> Tensor:
        """Classes int64 [N], or one probability per class [N, C]."""
        ...

    def __len__(self) -> int: ...

    def take(self, index: Tensor) -> Tensor:
        """Return normalised images [n, ch, h, w] of the samples ``index`` (int64 [n])."""
        ...


@dataclass(frozen=True)
class TrainData:
    """Normalised images and their labels, on the device that trains.

    Attributes:
        images: normalised [N, ch, h, w].
        labels: classes int64 [N], or one probability per class [N, C].
        stored: the stored image each sample was formed from, int64 [N], which a label projector is asked by; the
            samples themselves when None.

    Raises:
        DataError: the two differ in number, or there is no image.
    """

    images: Tensor
    labels: Tensor
    stored: Tensor | None = None

    def __post_init__(self) -> None:
        if len(self.images) != len(self.labels) or not len(self.images):
            raise DataError(
                f"{len(self.images)} images came with {len(self.labels)} labels: "
                "give one label per image, and at least one image."
            )

    def __len__(self) -> int:
        return len(self.images)

    def take(self, index: Tensor) -> Tensor:
        """Return the images [n, ch, h, w] at ``index`` (int64 [n])."""
        return self.images[index]
