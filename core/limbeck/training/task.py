"""What one network learns and how: the arguments of ``fit`` as they concern a single network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from limbeck.augment.base import Augmentation
from limbeck.synthetic.labels import LabelProjector
from limbeck.training.data import Samples
from limbeck.training.schedule import Budget, Schedule


class Streams(Protocol):
    """The generators a training draws from; ``seeding.Generators`` is one."""

    @property
    def train(self) -> torch.Generator:
        """Owner of the order of the samples."""
        ...

    @property
    def augment(self) -> torch.Generator:
        """Owner of the augmentation."""
        ...


@dataclass(frozen=True)
class Task:
    """What one network learns.

    Attributes:
        data: the samples.
        labels: classes int64 [N], targets [N, C], or what gives the labels of a batch.
        weights: one per sample [N], or none.
        class_mask: bool [C], or none.
        augmentation: not siamese: one operation a batch, parameters of its own per image.
    """

    data: Samples
    labels: Tensor | LabelProjector
    weights: Tensor | None = None
    class_mask: Tensor | None = None
    augmentation: Augmentation | None = None


@dataclass(frozen=True)
class Settings:
    """How one network learns; the arguments of ``fit`` under the same names."""

    budget: Budget
    lr: float
    weight_decay: float
    momentum: float
    loss: str
    temperature: float
    mask_norm: str
    batch_size: int
    optimiser: str
    schedule: Schedule
    sharpness: float | None
    clip: float | None
    device: torch.device
    dtype: torch.dtype
