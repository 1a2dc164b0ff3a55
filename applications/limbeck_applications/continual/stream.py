"""A stream of experiences, and what makes one of a data set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from limbeck.component import Component
from limbeck.data import DataSet, DataSpec, RealData
from limbeck.errors import UsageError
from limbeck.options import Options


@dataclass(frozen=True)
class Experience:
    """What arrives at once.

    Attributes:
        classes: the classes among its training images, as the data set numbers them, in order of arrival.
        train: its training images; labels are the data set's own.
        test: test images of its classes, seen as its training images are.
    """

    classes: tuple[int, ...]
    train: RealData
    test: RealData


@dataclass(frozen=True)
class Stream:
    """Experiences in the order they arrive.

    A strategy holds all of them and must not look ahead: what it answers after an experience may not depend on training
    images or classes of later ones, the number of classes aside. Their test images are there for the row alone.

    Attributes:
        spec: of the images; its ``num_classes`` is the width of the one head that all experiences share.
        experiences: in order.
        scenario: ``class``: every experience brings new classes; ``domain``: the same classes, seen in another way.
        online: whether each training image is seen once.

    Raises:
        UsageError: no experiences, or classes of the data set that no experience holds.
    """

    spec: DataSpec
    experiences: tuple[Experience, ...]
    scenario: Literal["class", "domain"] = "class"
    online: bool = False

    def __post_init__(self) -> None:
        found = {c for experience in self.experiences for c in experience.classes}
        lost = sorted(set(range(self.spec.num_classes)) - found)
        if lost:
            raise UsageError(
                f"a stream of '{self.spec.name}' must hold all of its {self.spec.num_classes} classes, but class "
                f"{lost[0]} ('{self.spec.class_names[lost[0]]}') is in none of its {len(self.experiences)} experiences."
            )

    def __len__(self) -> int:
        return len(self.experiences)

    def count(self, position: int) -> int:
        """Return how many classes the experiences up to ``position`` (from 0, inclusive) brought.

        A class that came again in another domain counts again, as memories count it.
        """
        return sum(len(experience.classes) for experience in self.experiences[: position + 1])

    def seen(self, position: int) -> tuple[int, ...]:
        """Return the classes of the experiences up to ``position`` (counted from 0, inclusive), in order of arrival."""
        classes = [c for experience in self.experiences[: position + 1] for c in experience.classes]
        return tuple(dict.fromkeys(classes))


class BenchmarkOptions(Options):
    """What every benchmark has; a benchmark adds its own."""


class ContinualBenchmark(Component, ABC):
    """Makes a stream of a data set.

    Attributes:
        data: the registered data set it is made of.
        source: further settings for ``load_dataset``; a benchmark with options for the data sets it here.
    """

    Options: ClassVar[type[Options]] = BenchmarkOptions
    data: str

    @property
    def source(self) -> dict[str, Any]:
        """The data set and its options, as ``load_dataset`` takes them."""
        return {"name": self.data}

    @abstractmethod
    def stream(self, data: DataSet, order: int) -> Stream:
        """Return the stream.

        Args:
            data: what ``source`` names, or any other data set that the user gives in its place.
            order: number of the class order (or of whatever differs between repetitions), from 0; everything random
                about the stream follows from it.

        Raises:
            UsageError: options that the data do not allow.
        """
