"""Batches of a memory held as tensors: no worker, no data set, nothing drawn from a generator that is not its own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.augment import Augmentation
from limbeck.config import Spec
from limbeck.data import DataSpec
from limbeck.plugins import registry
from limbeck_applications.continual.strategy import Kept


@dataclass(frozen=True)
class MemoryTensors:
    """What a memory holds, on the device that trains.

    Attributes:
        images: normalised [m, ch, h, w].
        labels: classes int64 [m], or probabilities [m, C].
        tasks: task labels int64 [m], or None.
    """

    images: Tensor
    labels: Tensor
    tasks: Tensor | None

    @classmethod
    def of(cls, kept: Kept, tasks: Tensor | None, device: torch.device) -> MemoryTensors:
        """Move what is kept to a device."""
        return cls(kept.images.to(device), kept.labels.to(device), None if tasks is None else tasks.to(device))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def classes(self) -> Tensor:
        """The class of each image, int64 [m]; of soft labels the most probable."""
        return self.labels if self.labels.ndim == 1 else self.labels.argmax(1)

    def at(self, index: Tensor) -> MemoryTensors:
        """Return the images at ``index``, int64 [n]."""
        return MemoryTensors(self.images[index], self.labels[index], None if self.tasks is None else self.tasks[index])


class MemoryLoader:
    """Stands for a strategy's data loader: a new order of the memory in each pass.

    Attributes:
        current: the batch that was handed out last.

    Args:
        memory: what is kept.
        batch_size: images in each batch; the last may have fewer.
        generator: owner of the order.
    """

    def __init__(self, memory: MemoryTensors, batch_size: int, generator: torch.Generator) -> None:
        self.memory, self.batch_size, self.generator = memory, batch_size, generator
        self.current: MemoryTensors | None = None

    def __len__(self) -> int:
        return math.ceil(len(self.memory) / self.batch_size)

    def __iter__(self) -> Iterator[list[Tensor]]:
        order = shuffled(len(self.memory), self.generator, self.memory.images.device)
        for index in torch.split(order, self.batch_size):
            self.current = self.memory.at(index)
            batch = [self.current.images, self.current.classes]
            yield batch if self.current.tasks is None else [*batch, self.current.tasks]


class Rounds:
    """Small batches of a memory, every image once before any comes again.

    Args:
        memory: what is kept.
        batch_size: images in each batch; all of a memory that has fewer.
        generator: owner of the order.
    """

    def __init__(self, memory: MemoryTensors, batch_size: int, generator: torch.Generator) -> None:
        self.memory, self.generator = memory, generator
        self.batch_size = min(batch_size, len(memory))
        self._order = torch.empty(0, dtype=torch.int64, device=memory.images.device)

    def next(self) -> MemoryTensors:
        """Return the next batch."""
        if len(self._order) < self.batch_size:
            self._order = torch.cat(
                [self._order, shuffled(len(self.memory), self.generator, self.memory.images.device)]
            )
        index, self._order = self._order[: self.batch_size], self._order[self.batch_size :]
        return self.memory.at(index)


def shuffled(size: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Return 0 to ``size`` - 1 in a random order, int64 [size] on ``device``."""
    return torch.randperm(size, generator=generator, device=generator.device).to(device)


class Augmented:
    """Batches of a memory as the network sees them: transformed, labels mixed where the images are.

    Args:
        augmentation: a registered one, or None for batches as they are.
        spec: of the stream's images.
        generator: owner of the draws, on the images' device.

    Raises:
        UsageError: an unknown name or option.
    """

    def __init__(self, augmentation: Any, spec: DataSpec, generator: torch.Generator) -> None:
        self.augmentation = augmentation_of(augmentation, spec)
        self.num_classes, self.generator = spec.num_classes, generator

    def __call__(self, batch: MemoryTensors) -> MemoryTensors:
        """Return a batch with a draw of its own."""
        if self.augmentation is None:
            return batch
        draw = self.augmentation.draw(len(batch), self.generator, one_op=True)
        labels = batch.labels
        if self.augmentation.mixes_labels:
            soft = labels if labels.ndim == 2 else F.one_hot(labels, self.num_classes).to(batch.images)
            labels = self.augmentation.mix(soft, draw)
        return MemoryTensors(self.augmentation.apply(batch.images, draw), labels, batch.tasks)


def augmentation_of(asked: Any, spec: DataSpec | None = None) -> Augmentation | None:
    """Return a registered augmentation, fit for the data if that is known, or None where none is asked for.

    Raises:
        UsageError: an unknown name or option.
    """
    if asked is None:
        return None
    named = asked.model_dump() if isinstance(asked, Spec) else asked
    made: Augmentation = registry().create("augmentations", named)
    return made if spec is None else made.for_data(spec)
