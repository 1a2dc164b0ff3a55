"""What a strategy writes: how a stream is learned, and what it answered after each experience."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from limbeck.component import Component
from limbeck.networks import FunctionalNetwork, build_network
from limbeck.seeding import derive_seed
from limbeck_applications.continual.memory.budget import Budget
from limbeck_applications.continual.settings import Retraining, StreamTraining
from limbeck_applications.continual.stream import Stream

Section = Literal["training", "retraining", "budget"]
"""A part of a study's settings that strategies read."""


@dataclass(frozen=True)
class Row:
    """One row of the accuracy matrix, and what it cost.

    Attributes:
        accuracies: after this experience, on the test images of every experience of the stream, [T], in [0, 1].
        seconds: spent learning this experience, distilling and testing left out.
        bytes: what is kept for later experiences: images, labels, logits, prototypes; not the network itself.
        images: how many of what is kept are images.
        distilling: seconds spent distilling this experience's memory.
    """

    accuracies: tuple[float, ...]
    seconds: float
    bytes: int = 0
    images: int = 0
    distilling: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return {**vars(self), "accuracies": list(self.accuracies)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Row:
        """Read what ``to_dict`` returned."""
        return cls(**{**values, "accuracies": tuple(values["accuracies"])})


@dataclass(frozen=True)
class Kept:
    """What a distilled memory holds after an experience, as a network is trained on it.

    Attributes:
        images: training images formed of the stored ones, normalised float32 [m, ch, h, w].
        labels: classes int64 [m], or probabilities float32 [m, C] over all classes of the stream.
        bytes: of what is stored.
        stored: how many images are stored.
        distilling: seconds it took to distil what this experience added.
    """

    images: Tensor
    labels: Tensor
    bytes: int
    stored: int
    distilling: float = 0.0


@dataclass(frozen=True)
class Context:
    """What a strategy is given beside the stream.

    Attributes:
        network: registered name of the network.
        training: how networks learn from the stream.
        retraining: how networks learn from a memory alone.
        budget: what may be kept.
        seed: of everything random in this cell.
        device: where to compute.
        memory: what the distilled memory holds after each experience, [T]; empty for strategies that do not ask. The
            row after an experience may depend on the entries up to its own alone.
        data_root: where other data sets lie.
        cache: for what does not depend on the cell, such as an encoder trained on other data.
    """

    network: str
    training: StreamTraining
    retraining: Retraining
    budget: Budget
    seed: int
    device: torch.device
    memory: Sequence[Kept] = ()
    data_root: Path | None = None
    cache: Path | None = None

    def build(self, stream: Stream) -> FunctionalNetwork:
        """Build the network for the images of a stream."""
        return build_network(self.network, stream.spec, self.device)

    def seed_of(self, *names: str | int) -> int:
        """Return the seed of something of this cell by its name, such as ``("experience", 2)``."""
        return derive_seed(self.seed, "continual", *names)


@dataclass(frozen=True)
class Retrained:
    """One network that is to be trained on a memory alone.

    Attributes:
        stream: whose test images it is tested on.
        position: of the experience that it is trained after, from 0.
        memory: what it learns from.
        seed: of its weights, order and augmentation.
    """

    stream: Stream
    position: int
    memory: Kept
    seed: int


class Strategy(Component, ABC):
    """A way to learn a stream.

    It must not look ahead: the row after an experience may depend on that experience, on those before and on what the
    memory holds by then, never on training images of ``stream.experiences`` or entries of ``context.memory`` that come
    later. What the last experience does to earlier rows is checked by ``limbeck plugins check``.

    Attributes:
        memory: what it keeps: nothing, real images, ``distilled`` ones (the study then runs it once for each memory
            and gives the memory), or ``other``: what the budget does not bound, such as prototypes.
        reads: which of the study's settings its rows depend on. A change of the others leaves its rows, and its context
            holds them as they are by default, with a budget of nothing.
    """

    memory: ClassVar[Literal["none", "real", "distilled", "other"]] = "none"
    reads: ClassVar[Sequence[Section]] = ("training", "retraining", "budget")

    def check(self, stream: Stream, context: Context) -> None:
        """Refuse what it cannot do before anything is trained.

        Raises:
            UsageError: a budget too small, a scenario that it does not know.
        """
        return

    def identity(self, stream: Stream, context: Context) -> Any:
        """Return what else its rows depend on, beside its options and what it reads, as JSON values.

        Worth writing where options name something that may change: the content of a file, data that were found.
        """
        return None

    @abstractmethod
    def run(self, stream: Stream, context: Context) -> Iterator[Row]:
        """Learn the stream, and yield a row after each experience.

        PyTorch's, NumPy's and Python's global generators are lent to it: seeded by the caller before it begins, and
        put back at the end. A strategy of a library that draws from them seeds them again for each experience.

        Args:
            stream: what arrives.
            context: how, with what memory, from which seed.
        """


class FromMemory(Strategy):
    """A strategy that trains a fresh network on the memory after each experience, whatever was before.

    The networks of all class orders and seeds of one experience are trained in one call, and an experience that is
    finished is never done again.
    """

    memory = "distilled"
    reads = ("retraining", "budget")

    @abstractmethod
    def retrain(self, networks: Sequence[Retrained], context: Context) -> list[Row]:
        """Train and test networks that do not depend on each other.

        Args:
            networks: of one experience.
            context: how; its seed and memory are not used.
        """

    def run(self, stream: Stream, context: Context) -> Iterator[Row]:
        """Retrain after each experience, one network."""
        for position, memory in enumerate(context.memory):
            seed = retraining_seed(context.seed, position)
            yield from self.retrain([Retrained(stream, position, memory, seed)], context)


def retraining_seed(seed: int, position: int) -> int:
    """Return the seed of the network that a cell trains on its memory after an experience."""
    return derive_seed(seed, "continual", "retrain", position)
