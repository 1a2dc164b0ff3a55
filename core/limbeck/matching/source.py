"""Network sources: which network each step looks through, and how it moves between steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from torch import Tensor

from limbeck.augment import Augmentation
from limbeck.component import Component
from limbeck.data import RealData
from limbeck.matching.base import StepContext, Trajectories
from limbeck.networks import FunctionalNetwork, State
from limbeck.seeding import Generators
from limbeck.synthetic.labels import LabelProjector
from limbeck.training import TrainData


@dataclass(frozen=True)
class SourceContext:
    """What a network source works with.

    Attributes:
        network: the structure of every network it supplies.
        ipc: synthetic images per class.
        generators: the run's random streams; ``init`` and ``train`` are the source's.
        real: the real training set, or None in a data-free run.
        synthetic: returns the set as a student would train on it now (formed, detached, with its labels).
        labels: the label projector that labels those images.
        augmentation: what inner training applies to single images, or None.
        chunk: returns the images a pass that training may take now, or None where whole batches may.
        cache: folder for what outlives the run, or None.
        on_epoch: told of finished and of all epochs while networks are trained before the first step, or None.
        train_experts: what a user types to train the experts that a run like this one follows, for messages.
    """

    network: FunctionalNetwork
    ipc: int
    generators: Generators
    real: RealData | None
    synthetic: Callable[[], TrainData]
    labels: LabelProjector | None
    augmentation: Augmentation | None
    chunk: Callable[[], int | None] = lambda: None
    cache: Path | None = None
    on_epoch: Callable[[int, int], None] | None = None
    train_experts: str = "limbeck experts train"


class NetworkSource(Component, ABC):
    """Supplies the weights of every step and moves them between steps.

    Attributes:
        spent: seconds that getting ready took, now or when its results were kept, each under the name of what came of
            it; two sources of a run that share something name it alike.
        has_experts: whether it can give ``trajectories``, which matchers of the trajectory family need.
        trajectories: the weights of experts, from ``prepare`` on, or None where there are none.
    """

    has_experts: ClassVar[bool] = False

    context: SourceContext
    spent: Mapping[str, float] = MappingProxyType({})
    trajectories: Trajectories | None = None

    def prepare(self, context: SourceContext) -> None:
        """Get ready for a run; called once, before the first step and before ``load_state_dict``."""
        self.context = context

    @property
    @abstractmethod
    def num_outer(self) -> int:
        """Steps each network serves before the next one is started."""

    @abstractmethod
    def state(self, step: StepContext) -> State:
        """Return the weights this step looks through."""

    def bytes_to_come(self) -> int:
        """Return what it will keep on the device beyond what it has kept since ``prepare``; nothing by default."""
        return 0

    def teachers(self) -> Iterator[State]:
        """Return networks trained on real images, one after the other; none unless overridden.

        Labels and first images may come from them.
        """
        return iter(())

    def advance(self, step: StepContext) -> None:
        """Move the network after the synthetic set was updated; the default leaves it."""
        return

    def state_dict(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold to continue between any two steps."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take up what ``state_dict`` returned."""
        return
