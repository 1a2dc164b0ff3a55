"""Two halves of what networks are trained on, so that weights and sizes learn from different images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from limbeck.augment.base import Draw
from limbeck.synthetic import LabelProjector
from limbeck.training import Samples, TrainData


@dataclass(frozen=True)
class Part:
    """Some samples of a set.

    Attributes:
        whole: the set.
        index: which, int64 [n].
    """

    whole: Samples
    index: Tensor

    @property
    def labels(self) -> Tensor:
        """Labels [n] or [n, C]."""
        return self.whole.labels[self.index]

    def __len__(self) -> int:
        return len(self.index)

    def take(self, index: Tensor) -> Tensor:
        """Return normalised images [m, ch, h, w] of the samples ``index`` (int64 [m]) of the part."""
        return self.whole.take(self.index[index])


class PartLabels(LabelProjector):
    """What labels a set, asked about a part of it.

    Args:
        whole: labels the set.
        part: of it.
    """

    def __init__(self, whole: LabelProjector, part: Part) -> None:
        super().__init__()
        self.whole = whole
        self.labels_any_image = whole.labels_any_image  # type: ignore[misc]
        stored = part.whole.stored if isinstance(part.whole, TrainData) else None
        self.rows = part.index if stored is None or whole.by_training_image else stored[part.index]

    def plan(self, index: Tensor, epoch: int, generator: torch.Generator) -> Draw | None:
        """Return the augmentation that the set's labels belong to, where they do."""
        return self.whole.plan(self.rows[index], epoch, generator)

    def labels(self, images: Tensor, index: Tensor, epoch: int, draw: Draw | None) -> Tensor:
        """Return the labels of samples of the part [n] or [n, C]."""
        return self.whole.labels(images, self.rows[index], epoch, draw)


def halves(data: Samples, chance: torch.Generator) -> tuple[Part, Part]:
    """Split a set by lot, each class as evenly as can be; the halves differ by one sample at most.

    Args:
        data: the set.
        chance: owner of the draw, on the CPU.
    """
    labels = data.labels.argmax(1) if data.labels.is_floating_point() else data.labels
    order = torch.randperm(len(data), generator=chance)
    order = order[labels.cpu()[order].argsort(stable=True)].to(labels.device)
    return Part(data, order[::2]), Part(data, order[1::2])
