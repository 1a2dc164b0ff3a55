"""What architectures are compared on: images to train with and images to rank on, none of them a test image."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.data import DataSet, DataSpec, RealData
from limbeck.errors import DataError, UsageError
from limbeck.seeding import generator


@dataclass(frozen=True)
class Problem:
    """A data set as a search sees it.

    Attributes:
        train: real images that may be trained on, distilled and selected from.
        validation: real images that architectures are ranked on; no part of ``train``.
        seed: of everything random that all architectures share, such as a distilled set.
        device: where to compute.
        network: registered network that a distilled set is made with where a proxy names none.
        cache: for what does not depend on the search alone, such as a selector's network.
    """

    train: RealData
    validation: RealData
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    network: str = "convnet-d3-w32-in"
    cache: Path | None = None

    @property
    def spec(self) -> DataSpec:
        """What the images are."""
        return self.train.spec

    @cached_property
    def digest(self) -> str:
        """A short text that changes with any image or label."""
        return f"{self.train.digest()}-{self.validation.digest()}"

    def identity(self) -> dict[str, Any]:
        """Return all that a score depends on beside the proxy and the architecture, as JSON values."""
        return {
            "data": self.digest,
            "spec": self.spec.to_dict(),
            "seed": self.seed,
            "device": self.device.type,
            "network": self.network,
        }

    def with_seed(self, seed: int) -> Problem:
        """Return the same images with another seed."""
        return replace(self, seed=seed)


def problem_of(data: DataSet, *, images: int | None, validation: int, split_seed: int = 0, **settings: Any) -> Problem:
    """Split the training images of a data set; its test images are left alone.

    Args:
        data: the data set.
        images: training images in all, the same number of each class; all that validation leaves when None.
        validation: images kept aside to rank on, the same number of each class.
        split_seed: of the draw; the same for all that is to be compared.
        **settings: of ``Problem``.

    Raises:
        DataError: a class has too few images for that.
        UsageError: fewer images than classes, or a number that they cannot share equally.
    """
    classes = data.spec.num_classes
    held, kept = _each("validation", validation, classes), None if images is None else _each("images", images, classes)
    chance, train, aside = generator(split_seed, "nas", "split"), [], []
    for label in range(classes):
        members = (data.train.labels == label).nonzero().flatten().cpu()
        need = held + (1 if kept is None else kept)
        if len(members) < need:
            raise DataError(
                f"class '{data.spec.class_names[label]}' of '{data.spec.name}' has {len(members)} training images, but "
                f"{need} are needed, {held} of them to rank on: ask for fewer with --validation or --images."
            )
        order = members[torch.randperm(len(members), generator=chance)]
        aside.append(order[:held])
        train.append(order[held:] if kept is None else order[held : held + kept])
    return Problem(_subset(data.train, train), _subset(data.train, aside), **settings)


def _each(what: str, number: int, classes: int) -> int:
    if number < classes:
        raise UsageError(f"{what} is {number}, but there are {classes} classes: give {classes} or more.")
    if number % classes:
        raise UsageError(
            f"{what} is {number}, which {classes} classes cannot share equally: give a multiple of {classes}, such as "
            f"{number - number % classes}."
        )
    return number // classes


def _subset(real: RealData, parts: list[Tensor]) -> RealData:
    return real.subset(torch.cat(parts).sort().values.to(real.device))
