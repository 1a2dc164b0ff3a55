"""Searchers: ways to find a good architecture within a number of evaluations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import torch

from limbeck.component import Component
from limbeck.networks import State
from limbeck_applications.nas.cost import Cost
from limbeck_applications.nas.problem import Problem
from limbeck_applications.nas.proxy import Prepared, Proxy
from limbeck_applications.nas.space import Architecture, SearchSpace


@dataclass(frozen=True)
class Trial:
    """One architecture that was scored.

    Attributes:
        number: its place in the search, counted from 0.
        architecture: which.
        value: its score, the greater the better; minus infinity where it came to nothing.
        cost: parameters and FLOPs.
        seconds: spent on it now or, where it was found in an earlier search, then.
        notes: how the searcher came to it, as JSON values: generation, parent, action.
        key: names the trained weights for ``Lab.state``; empty where there are none.
        failed: why it came to nothing, one line.
        broken: whether that is an error in a program.
    """

    number: int
    architecture: Architecture
    value: float
    cost: Cost
    seconds: float
    notes: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    failed: str = ""
    broken: bool = False


@dataclass(frozen=True)
class Child:
    """An architecture that begins with weights made from another's.

    Attributes:
        architecture: which.
        state: its weights.
        notes: the parent and the action, as JSON values.
    """

    architecture: Architecture
    state: State
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What a search is going to work with, before anything is computed.

    Attributes:
        space: whose architectures are searched.
        problem: the images.
        proxy: that scores; nothing is prepared yet.
        evaluations: architectures that may be scored.
    """

    space: SearchSpace
    problem: Problem
    proxy: Proxy
    evaluations: int

    def cost(self, architecture: Architecture) -> Cost:
        """Return parameters and FLOPs; nothing is computed.

        Raises:
            UsageError: the architecture does not fit the images.
        """
        return self.space.cost(architecture, self.problem.spec)


class Lab(Protocol):
    """Where a searcher works. The same requests get the same answers, also in a search that was killed and continued.

    So a searcher keeps nothing on disk: it is run again from its seed, and what it asks for is there already. It must
    draw from ``generator`` alone and never look at a clock.
    """

    space: SearchSpace
    problem: Problem
    proxy: Proxy
    evaluations: int

    @property
    def trials(self) -> Sequence[Trial]:
        """What was scored so far in this search, in order."""
        ...

    @property
    def remaining(self) -> int:
        """Architectures that may still be scored. One that was scored before in this search costs nothing."""
        ...

    @property
    def prepared(self) -> Prepared:
        """What the proxy made: its images, for a searcher that trains on them itself."""
        ...

    def generator(self, *owner: str) -> torch.Generator:
        """Return a generator on the CPU that depends on the search's seed and its owner's names alone."""
        ...

    def sample(self, generator: torch.Generator) -> Architecture:
        """Draw an architecture that fits the images."""
        ...

    def cost(self, architecture: Architecture) -> Cost:
        """Return parameters and FLOPs, without an evaluation.

        Raises:
            UsageError: the architecture does not fit the images.
        """
        ...

    def score(self, architectures: Sequence[Architecture], **notes: Any) -> list[Trial]:
        """Score architectures, all at once where the machine allows; those known already come from memory.

        Args:
            architectures: at most ``remaining`` new ones.
            **notes: kept with each trial that is new.

        Returns:
            A trial for each, in order; equal architectures share one.

        Raises:
            UsageError: more new ones than remain.
        """
        ...

    def grow(self, children: Sequence[Child]) -> list[Trial]:
        """Score architectures that begin with given weights; each is a trial of its own, whatever was scored before.

        Raises:
            UsageError: more than remain, or a proxy that trains nothing.
        """
        ...

    def state(self, trial: Trial) -> State:
        """Return the trained weights of a trial.

        Raises:
            UsageError: the proxy trains nothing, or the trial came to nothing.
        """
        ...

    def keep(self, name: str, state: Mapping[str, torch.Tensor]) -> None:
        """Keep tensors of the searcher's own under a name, atomically, for long work between two evaluations."""
        ...

    def kept(self, name: str) -> dict[str, torch.Tensor] | None:
        """Return what was kept under a name by this search, or None."""
        ...

    def tell(self, done: int, total: int, what: str) -> None:
        """Say how far long work of the searcher's own has come, for a progress bar."""
        ...


class Searcher(Component, ABC):
    """A way to find a good architecture.

    Attributes:
        continues: whether it asks for trained weights, which are then kept.
    """

    continues: ClassVar[bool] = False

    def check(self, plan: Plan) -> None:
        """Refuse what cannot be searched, before anything is computed; nothing by default.

        Args:
            plan: what the search would work with.

        Raises:
            UsageError: says what is needed of the space, the proxy, the images or the number of evaluations.
        """

    @abstractmethod
    def search(self, lab: Lab) -> None:
        """Ask the lab for scores until ``lab.remaining`` is 0, or there is nothing left to ask.

        Raises:
            UsageError: what ``check`` could not know, such as a budget that hardly any architecture meets.
        """
