"""Who decides which layers of a network are widened and where one is added: by lot, or by what paid so far.

The bandit is Thompson sampling with Gaussian beliefs (Agrawal and Goyal, "Further Optimal Regret Bounds for Thompson
Sampling", AISTATS 2013): one arm for widening each stage, and one for each stage and kernel of a deepening; rewards are
divided by their deviation so far. Written from the definition.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from limbeck_applications.nas.staged import StagedSpace, Stages


@dataclass(frozen=True)
class Action:
    """One change of a network.

    Attributes:
        widen: the layers that get the next width, counted from 0 through all stages.
        deepen: (stage, layer, kernel): after which layer of which stage a new one comes, all counted from 0; None where
            nothing is added.
    """

    widen: tuple[int, ...] = ()
    deepen: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Decision:
    """What was decided for which network."""

    stages: Stages
    action: Action


class Controller(ABC):
    """Decides, and learns from what came of it.

    Args:
        space: whose networks are grown.
        chance: of all its draws.
        lr: of the policy.
        entropy: weight of the policy's entropy.
    """

    def __init__(self, space: StagedSpace, chance: torch.Generator, lr: float, entropy: float) -> None:
        self.space, self.chance, self.lr, self.entropy = space, chance, lr, entropy

    @abstractmethod
    def widen(self, stages: Stages) -> Action:
        """Decide which of the layers in ``growing`` get the next width; there is at least one."""

    @abstractmethod
    def deepen(self, stages: Stages) -> Action:
        """Decide which of the stages in ``open`` gets a layer, where and with which kernel; there is at least one."""

    @abstractmethod
    def learn(self, episode: Sequence[Sequence[Decision]], rewards: Sequence[float]) -> None:
        """Learn from the decisions of each network of an episode and its reward."""

    def growing(self, stages: Stages) -> list[int]:
        """Return the layers that can be wider, counted from 0 through all stages."""
        largest = self.space.ladder.widths[-1]
        widths = [width for layers in stages for width, _ in layers]
        return [place for place, width in enumerate(widths) if width < largest]

    def open(self, stages: Stages) -> list[int]:
        """Return the stages that can have another layer."""
        return [place for place, layers in enumerate(stages) if len(layers) < self.space.ladder.layers]

    def pick(self, weights: Sequence[float] | Tensor) -> int:
        """Draw a position by weights."""
        drawn = torch.multinomial(torch.as_tensor(weights, dtype=torch.float64), 1, generator=self.chance)
        return int(drawn)


class Chance(Controller):
    """Decides by lot: each layer with a chance of one half, every place and kernel with equal ones."""

    def widen(self, stages: Stages) -> Action:
        """Draw the layers."""
        return Action(tuple(place for place in self.growing(stages) if self.pick([1, 1])))

    def deepen(self, stages: Stages) -> Action:
        """Draw stage, place and kernel."""
        stage = self.open(stages)[self.pick([1] * len(self.open(stages)))]
        kernel = self.pick([1] * len(self.space.ladder.kernels))
        return Action(deepen=(stage, self.pick([1] * len(stages[stage])), kernel))

    def learn(self, episode: Sequence[Sequence[Decision]], rewards: Sequence[float]) -> None:
        """Learn nothing."""


class Bandit(Controller):
    """Decides by what each kind of change brought so far, whatever the network."""

    def __init__(self, space: StagedSpace, chance: torch.Generator, lr: float, entropy: float) -> None:
        super().__init__(space, chance, lr, entropy)
        self.rewards: dict[tuple[int, ...], list[float]] = {}

    def widen(self, stages: Stages) -> Action:
        """Widen every layer of the stage that promises most."""
        growing, of = self.growing(stages), stage_of(stages)
        stage = self._best(sorted({(of[place],) for place in growing}))[0]
        return Action(tuple(place for place in growing if of[place] == stage))

    def deepen(self, stages: Stages) -> Action:
        """Add a layer at the end of a stage, with the kernel that promises most."""
        kernels = range(len(self.space.ladder.kernels))
        stage, kernel = self._best([(stage, kernel) for stage in self.open(stages) for kernel in kernels])
        return Action(deepen=(stage, len(stages[stage]) - 1, kernel))

    def learn(self, episode: Sequence[Sequence[Decision]], rewards: Sequence[float]) -> None:
        """Note the reward with every arm that was drawn on the way to it."""
        for decisions, reward in zip(episode, rewards, strict=True):
            for decision in decisions:
                for arm in _arms(decision):
                    self.rewards.setdefault(arm, []).append(reward)

    def _best(self, arms: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        every = [reward for own in self.rewards.values() for reward in own] or [0.0]
        scale = math.sqrt(sum(reward**2 for reward in every) / len(every)) or 1.0
        drawn = torch.randn(len(arms), generator=self.chance, dtype=torch.float64).tolist()
        beliefs = []
        for arm, luck in zip(arms, drawn, strict=True):
            own = self.rewards.get(arm, [])
            beliefs.append((sum(own) / scale / (len(own) + 1) + luck / math.sqrt(len(own) + 1), arm))
        return max(beliefs)[1]


def stage_of(stages: Stages) -> list[int]:
    """Return the stage of each layer."""
    return [stage for stage, layers in enumerate(stages) for _ in layers]


def _arms(decision: Decision) -> list[tuple[int, ...]]:
    if decision.action.deepen is not None:
        stage, _, kernel = decision.action.deepen
        return [(stage, kernel)]
    of = stage_of(decision.stages)
    return sorted({(of[place],) for place in decision.action.widen})
