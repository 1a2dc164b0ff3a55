"""Proxies: cheap numbers that are to rank architectures as full training would."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from limbeck.component import Component
from limbeck.data import DataSpec, RealData
from limbeck.networks import FunctionalNetwork, State
from limbeck_applications.nas.problem import Problem
from limbeck_applications.nas.space import Architecture


@dataclass(frozen=True)
class Prepared:
    """What a proxy makes once, before the first architecture: a distilled set, a batch of real images, or nothing.

    Attributes:
        tensors: by name; every job gets them.
        values: JSON values; every job gets them.
        seconds: what it took to make, the training of networks included that were found in a cache.
        images: stored images.
        bytes: of images and labels as they are stored.
        folder: holds the distilled set as an artifact, for whoever wants to look at it.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    images: int = 0
    bytes: int = 0
    folder: Path | None = None


@dataclass(frozen=True)
class Material:
    """What a proxy is given to score with, in any process.

    Attributes:
        spec: what the images are.
        prepared: what the proxy has made.
        validation: real images to rank on; only where the proxy asks for them.
        device: where to compute.
    """

    spec: DataSpec
    prepared: Prepared
    validation: RealData | None
    device: torch.device


@dataclass(frozen=True)
class Candidate:
    """An architecture that is to be scored.

    Attributes:
        architecture: which.
        network: it, as a function of its weights, on the device.
        seed: of its initial weights, its order of images and its augmentation; the same for all architectures.
        start: weights to begin with in place of fresh ones.
    """

    architecture: Architecture
    network: FunctionalNetwork
    seed: int
    start: State | None = None


@dataclass(frozen=True)
class Score:
    """What a proxy says of one architecture.

    Attributes:
        value: the greater the better.
        seconds: spent on it; an equal share where several were scored in one call.
        figures: further numbers, by name.
        state: trained weights, from a proxy that trains.
    """

    value: float
    seconds: float
    figures: dict[str, float] = field(default_factory=dict)
    state: State | None = None


class Proxy(Component, ABC):
    """A cheap number for each architecture.

    Attributes:
        trains: whether it trains a network for each architecture, so that it can begin with given weights and hands out
            trained ones.
        validates: whether it looks at validation images.
    """

    trains: ClassVar[bool] = False
    validates: ClassVar[bool] = False

    def depends_on(self, problem: Problem) -> dict[str, Any]:
        """Return what of a problem scores depend on, as JSON values; all of it by default.

        Args:
            problem: the images, the seed, and the network that sets are made with.
        """
        return problem.identity()

    def prepared_by(self) -> dict[str, Any]:
        """Return the options that what ``prepare`` keeps depends on, as JSON values; all of them by default.

        Proxies that differ in other options alone are given the same folder, so that what took long is made once.
        """
        values: dict[str, Any] = self.options.model_dump(mode="json")
        return values

    def check(self, problem: Problem) -> None:
        """Refuse what cannot be had for these images, before anything is computed; nothing by default.

        Args:
            problem: the images.

        Raises:
            UsageError: says what it must be.
        """

    def prepare(self, problem: Problem, folder: Path) -> Prepared:
        """Make what all architectures share; nothing by default.

        Args:
            problem: the images.
            folder: of this proxy, whose content is kept: what was begun there is gone on with.

        Raises:
            UsageError: the proxy cannot be had for these images.
        """
        return Prepared()

    @abstractmethod
    def score(self, candidates: Sequence[Candidate], material: Material) -> list[Score]:
        """Score architectures of one structural signature; the results do not depend on how many are given at once.

        Args:
            candidates: of equal structure, so that their networks can be trained in one call.
            material: what ``prepare`` made, and validation images where ``validates`` is True.

        Returns:
            One score per candidate. A value that is not finite counts as the worst.

        Raises:
            UsageError: the architecture has nothing that this proxy can look at.
        """
