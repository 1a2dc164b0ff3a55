"""Label projectors: what gives the labels a student trains with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from limbeck.augment.base import Augmentation, Draw
from limbeck.component import Component
from limbeck.errors import UsageError

if TYPE_CHECKING:
    from limbeck.data import DataSpec, RealData
    from limbeck.networks.functional import FunctionalNetwork, State
    from limbeck.synthetic.sets import LabelKind


@dataclass(frozen=True)
class ProjectorContext:
    """What a projector may look at before the first student trains.

    Attributes:
        real: the real training set, or none where only the artifact is at hand.
        spec: shape and classes of the data.
        network: builds a network by its registered name, or the run's own network for None.
        seed: owner of every draw the preparation makes.
        device: where students train.
        labels: the labels stored with the synthetic set, [n] int64 or [n, C].
        label_kind: "hard", "probabilities" or "logits".
        augmentation: what students will train with, fit for the data; none without one, and while images are made.
        images: the finished images as students will train on them, formed but not augmented, [m, ch, h, w]; before
            the first step those the run starts from, where it has a network source.
        stored: the stored image each of them was formed from, int64 [m].
        teachers: gives the weights and buffers of networks of the run's structure that are trained on real images, one
            after another; none where the run has none, and where only the artifact is at hand.
    """

    real: RealData | None
    spec: DataSpec
    network: Callable[[str | None], FunctionalNetwork]
    seed: int
    device: torch.device
    labels: Tensor
    label_kind: str = "hard"
    augmentation: Augmentation | None = None
    images: Tensor | None = None
    stored: Tensor | None = None
    teachers: Callable[[], Iterator[State]] | None = None


class LabelProjector(Component, ABC):
    """Gives the labels of a batch of training images, as stored or computed from the images themselves.

    Life: ``load_state_dict`` when an artifact brings a state, then ``prepare`` once, then ``plan`` and
    ``labels`` for every batch. Where no artifact brings a state, ``finish`` is called once when the images are
    final, and ``final_labels`` after that.

    Attributes:
        labels_any_image: whether labels follow from the images alone, as a teacher's do, so that real images can be
            given the like and be compared with the set fairly.
        labels_views: whether labels belong to particular augmented views, which ``plan`` then dictates.
    """

    labels_any_image: ClassVar[bool] = False
    labels_views: ClassVar[bool] = False

    @property
    def by_training_image(self) -> bool:
        """Whether ``index`` counts training images as they were formed for evaluation, in place of stored images."""
        return False

    @property
    def asks_teachers(self) -> bool:
        """Whether ``prepare`` asks ``context.teachers`` where neither a state nor the set says where labels start."""
        return False

    @classmethod
    def learns(cls) -> bool:
        """Say whether there are tensors to learn together with the images: whether ``parameters`` is written."""
        return cls.parameters is not LabelProjector.parameters

    def check_augmentation(self, augmentation: Augmentation | None) -> None:
        """Refuse to label views that depend on which images share a batch.

        Raises:
            UsageError: says what to take instead.
        """
        if self.labels_views and augmentation is not None and not augmentation.independent:
            raise UsageError(
                f"labels '{self.name}' belong to views of single images, but a view by augmentation "
                f"'{augmentation.name}' depends on the batch it is in. Train with another, or take labels=teacher."
            )

    def prepare(self, context: ProjectorContext) -> None:
        """Do the work that precedes training, such as training a teacher; once."""

    def finish(self, context: ProjectorContext) -> None:
        """Label the finished images, ``context.images``, where labels are to be kept; once, after ``prepare``."""
        return

    def final_labels(self) -> tuple[Tensor, LabelKind] | None:
        """Return what the labels have become, [n, C] and its kind, where they simply are the set's labels now.

        The set then holds these and needs no projector: neither its state nor its name travels. None by default.
        """
        return None

    def parameters(self) -> dict[str, Tensor]:
        """Return tensors that are learned together with the images; none by default."""
        return {}

    def plan(self, index: Tensor, epoch: int, generator: torch.Generator) -> Draw | None:
        """Dictate the augmentation of a batch, where the labels belong to particular views.

        Args:
            index: the stored image each sample was formed from, int64 [n] (or see ``by_training_image``).
            epoch: passes finished before this batch.
            generator: owner of the augmentation.

        Returns:
            A draw of n rows (or of one for all), or None: the trainer draws.
        """
        return None

    @abstractmethod
    def labels(self, images: Tensor, index: Tensor, epoch: int, draw: Draw | None) -> Tensor:
        """Return the labels of a batch.

        Args:
            images: the batch as the student sees it, normalised and augmented, [n, ch, h, w].
            index: the stored image each sample was formed from, int64 [n] (or see ``by_training_image``).
            epoch: passes finished before this batch.
            draw: the augmentation that was applied, or none.

        Returns:
            Classes int64 [n], or probabilities [n, C] summing to 1.
        """

    def bytes(self) -> int:
        """Return what the projector adds to the size of the set; the stored labels are not part of it."""
        return 0

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors that must travel with the set; none by default."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what ``state_dict`` gave."""
