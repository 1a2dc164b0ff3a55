"""How an architecture is trained, on a few images or on all of them: one home for each number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from limbeck.config import Spec
from limbeck.data import DataSpec
from limbeck.networks import FunctionalNetwork, State
from limbeck.options import Options
from limbeck.plugins import registry
from limbeck.synthetic import LabelProjector
from limbeck.training import Constant, Cosine, Epochs, FitResult, Samples, Schedule, Steps, Teacher, fit


class Training(Options):
    """SGD from fresh weights; the same for all architectures of a ranking."""

    epochs: int = Field(5, ge=1, description="passes over the images")
    updates: int | None = Field(None, ge=1, description="updates in place of passes, where they are to be exact")
    lr: float = Field(0.01, gt=0, description="learning rate at the start")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD")
    weight_decay: float = Field(5e-4, ge=0, description="L2 coefficient")
    batch_size: int = Field(64, ge=1, description="images in each update")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="course of the learning rate, to zero or not")
    augmentation: Spec | None = Field(None, description="of the images, by name; none when null")

    @property
    def course(self) -> Schedule:
        """The learning rate's course as the trainer takes it."""
        return Cosine() if self.schedule == "cosine" else Constant()


def trained(
    network: FunctionalNetwork,
    start: Sequence[int] | Sequence[State],
    data: Samples,
    spec: DataSpec,
    training: Training,
    *,
    seeds: Sequence[int] | None = None,
    labels: LabelProjector | None = None,
    eval_sets: Mapping[str, Samples] | None = None,
    teacher: Teacher | None = None,
) -> FitResult:
    """Train networks of one structure in one call.

    Args:
        network: the structure.
        start: one seed per network, or one state.
        data: images and labels, the same for all.
        spec: what the images are.
        training: how.
        seeds: of order and augmentation, where the networks start from states.
        labels: of the images, where they are not the data's own.
        eval_sets: what they are tested on at the end.
        teacher: a trained network that they learn from as well.
    """
    augmentation = None
    if training.augmentation is not None:
        augmentation = registry().create("augmentations", training.augmentation.model_dump()).for_data(spec)
    return fit(
        network,
        start=start,
        seeds=seeds,
        data=data,
        labels=labels,
        lr=training.lr,
        momentum=training.momentum,
        weight_decay=training.weight_decay,
        batch_size=training.batch_size,
        schedule=training.course,
        budget=Epochs(training.epochs) if training.updates is None else Steps(training.updates),
        augmentation=augmentation,
        eval_sets=eval_sets,
        teacher=teacher,
        stacked=None,
    )
