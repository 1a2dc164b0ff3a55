"""From what was asked to what is worked with: the space, the images, the device."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from limbeck.data import DataSet, RealData, load_dataset
from limbeck.errors import UsageError
from limbeck.execution.device import resolve_device
from limbeck.networks import build_network
from limbeck.plugins import registry
from limbeck.seeding import generator
from limbeck_applications.nas.problem import Problem, problem_of
from limbeck_applications.nas.space import LISTED, Architecture, SearchSpace
from limbeck_applications.nas.study.asked import ProblemSettings

SHARE, MOST = 5, 5000
"""One in how many training images is kept aside to rank on, and how many at most."""


@dataclass(frozen=True)
class Images:
    """What every architecture is compared on.

    Attributes:
        space: the search space.
        space_spec: its specification with all options, as JSON values.
        problem: training and validation images.
        test: real test images, for full training alone.
        device: where to compute.
    """

    space: SearchSpace
    space_spec: dict[str, Any]
    problem: Problem
    test: RealData
    device: torch.device

    def architectures(self, sample: int | None) -> list[Architecture]:
        """Return all architectures of the space, or some of them by lot; all of them fit the images.

        Raises:
            UsageError: one does not fit, a sample of more than there are, or a space too large to go through.
        """
        found = list(self.space.all()) if sample is None else self._sampled(sample)
        for architecture in found:
            self.space.cost(architecture, self.problem.spec)
        return found

    def check(self) -> None:
        """Refuse a space of which nothing fits the images.

        Raises:
            UsageError: says what stands in the way.
        """
        self.space.sample(generator(0, "nas", "fits"), self.problem.spec)

    def _fitting(self, number: int, drawn: list[Architecture]) -> list[Architecture]:
        found = []
        for each in drawn:
            with contextlib.suppress(UsageError):
                self.space.cost(each, self.problem.spec)
                found.append(each)
            if len(found) == number:
                return found
        if not found:
            self.check()
        raise UsageError(
            f"{number} different architectures were asked for, but only {len(found)} of {self.space.name} fit the "
            "images: ask for fewer with --sample."
        )

    def _sampled(self, number: int) -> list[Architecture]:
        """Draw different architectures, with equal chance where the space can be listed; see ``SearchSpace.sample``."""
        listed = list(self.space.all()) if self.space.size <= LISTED else []
        size = len(listed) or self.space.size
        if number > size:
            raise UsageError(
                f"a sample of {number} was asked for, but {self.space.name} has {size} architectures: leave "
                "--sample out to take all of them."
            )
        chance, found = generator(0, "nas", "sample"), dict[str, Architecture]()
        if listed and size < self.space.size:  # genomes of one network would favour it
            return self._fitting(number, [listed[each] for each in torch.randperm(size, generator=chance)])
        for _ in range(100 * number):
            drawn = self.space.sample(chance, self.problem.spec)
            found.setdefault(drawn.name, drawn)
            if len(found) == number:
                return list(found.values())
        raise UsageError(
            f"{number} different architectures were asked for, but only {len(found)} were found among {100 * number} "
            f"drawn from {self.space.name}: ask for fewer with --sample."
        )


def images_of(
    settings: ProblemSettings, *, data_root: Path | None, download: bool, cache: Path | None = None
) -> Images:
    """Resolve names, load the images and split them.

    Raises:
        UsageError: an unknown name.
        DataError: the images are not there, or too few.
    """
    space: SearchSpace = registry().create("nas_spaces", settings.space.model_dump(mode="json"))
    spec = {"name": settings.space.name, **space.options.model_dump(mode="json")}
    device = resolve_device(settings.device)
    data: DataSet = load_dataset(settings.data, data_root=data_root, download=download, device=device)
    build_network(settings.network, data.spec, device)
    share, classes = min(len(data.train) // SHARE, MOST), data.spec.num_classes
    aside = settings.validation or share - share % classes
    problem = problem_of(
        data,
        images=settings.images,
        validation=aside,
        device=device,
        network=settings.network,
        cache=cache,
    )
    return Images(space, spec, problem, data.test, device)
