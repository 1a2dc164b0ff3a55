"""What one network learns and how: the arguments of ``fit`` as they concern a single network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from limbeck.augment.base import Augmentation
from limbeck.errors import UsageError
from limbeck.synthetic.labels import LabelProjector
from limbeck.training.data import Samples
from limbeck.training.losses import Objective, known
from limbeck.training.schedule import Budget, Schedule
from limbeck.training.sharpness import Sharpness
from limbeck.training.teacher import Teacher

Optimiser = Literal["sgd", "adam", "adamw"]
OPTIMISERS: tuple[str, ...] = get_args(Optimiser)
DTYPES = (torch.float32, torch.float64, torch.bfloat16)


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
    """How one network learns; the arguments of ``fit`` under the same names.

    Raises:
        UsageError: a number out of range, or one that the other choices leave without effect.
    """

    lr: float
    weight_decay: float
    budget: Budget
    batch_size: int
    objective: Objective
    optimiser: str
    momentum: float
    schedule: Schedule
    sharpness: Sharpness | None
    clip: float | None
    device: torch.device
    dtype: torch.dtype
    chunk: int | None = None
    teacher: Teacher | None = None

    def __post_init__(self) -> None:
        known("optimiser", self.optimiser, OPTIMISERS)
        if self.batch_size < 1:
            raise UsageError(f"batch_size is {self.batch_size}: give 1 or more.")
        if self.momentum and self.optimiser != "sgd":
            raise UsageError(f"{self.optimiser} takes no momentum: leave it at 0, or use optimiser='sgd'.")
        if self.dtype not in DTYPES:
            asked, allowed = (", ".join(str(each)[6:] for each in kinds) for kinds in ((self.dtype,), DTYPES))
            raise UsageError(f"dtype is {asked}: training knows {allowed}.")
        if self.chunk is not None and self.chunk < 1:
            raise UsageError(f"chunk is {self.chunk}: give 1 or more, or None.")
        if self.clip is not None and self.clip <= 0:
            raise UsageError(f"clip is {self.clip}: give a number above 0, or None.")
