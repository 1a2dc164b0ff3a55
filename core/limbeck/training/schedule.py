"""How long a network trains, and how its learning rate moves meanwhile."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from limbeck.errors import UsageError


@dataclass(frozen=True)
class Steps:
    """A budget of ``number`` updates, however many passes that takes."""

    number: int

    def __post_init__(self) -> None:
        _refuse_negative("steps", self.number)


@dataclass(frozen=True)
class Epochs:
    """A budget of ``number`` passes over the data, each with its last partial batch."""

    number: int

    def __post_init__(self) -> None:
        _refuse_negative("epochs", self.number)


Budget = Steps | Epochs


class Schedule(Protocol):
    """A learning rate as a function of the position, counted in the budget's unit (epochs or steps)."""

    def scale(self, done: int, total: int) -> float:
        """Return what the learning rate is multiplied by after ``done`` of ``total`` units."""
        ...

    def restarts(self, done: int) -> bool:
        """Return whether the optimiser is made anew after ``done`` units."""
        ...


@dataclass(frozen=True)
class Constant:
    """The same learning rate throughout."""

    def scale(self, done: int, total: int) -> float:
        """Return 1."""
        return 1.0

    def restarts(self, done: int) -> bool:
        """Return False."""
        return False


@dataclass(frozen=True)
class StepSchedule:
    """The learning rate times ``factor`` at each milestone.

    Attributes:
        milestones: numbers of finished epochs (or steps) after which the rate falls.
        factor: what the rate is multiplied by, in (0, 1] as a rule.
        reset_momentum: whether the optimiser is made anew at each milestone, its momentum dropped.
    """

    milestones: tuple[int, ...]
    factor: float = 0.1
    reset_momentum: bool = False

    def scale(self, done: int, total: int) -> float:
        """Return ``factor`` to the power of the milestones passed."""
        passed = sum(done >= milestone for milestone in self.milestones)
        return float(self.factor**passed)

    def restarts(self, done: int) -> bool:
        """Return whether a milestone lies exactly here and drops the momentum."""
        return self.reset_momentum and done in self.milestones


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from the full rate down to zero at the budget's end (arXiv:1608.03983, one cycle).

    Attributes:
        share: how much of it is passed when the budget ends, in (0, 1]: 0.5 ends at half the rate.
    """

    share: float = 1.0

    def scale(self, done: int, total: int) -> float:
        """Return (1 + cos(pi share done / total)) / 2."""
        return 0.5 * (1 + math.cos(math.pi * self.share * done / max(total, 1)))

    def restarts(self, done: int) -> bool:
        """Return False."""
        return False


def _refuse_negative(unit: str, number: int) -> None:
    if number < 0:
        raise UsageError(f"a budget of {number} {unit} was asked for: give 0 or more.")
