"""EAS: networks widened and deepened without changing what they compute, so that each begins where its parent ended.

Paper: Cai et al., "Efficient Architecture Search by Network Transformation" (arXiv:1707.04873), sections 3 and 4.1.
Public code: han-cai/EAS (MIT). Written from the paper.

What is the same: every network of an episode is grown from one base by some widening steps and then some deepening
steps, with noise of 1e-2 and 1e-3; a reward is tan(accuracy pi / 2) minus a moving average that takes 0.95 of the
episode's mean, as the public code has it; the base is then replaced by the best network found, which the paper does
once and this does after every episode. What differs: a few steps instead of nine, since a search has tens of networks
instead of hundreds; an architecture that was scored already is drawn again, the last times by lot; and the accuracy is
a proxy's. A grown network has been trained once for each network on its way from the start: ``trainings`` of the notes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from limbeck.errors import UsageError
from limbeck.options import Options as OptionsBase
from limbeck_applications.nas.proxy import Proxy
from limbeck_applications.nas.searcher import Lab, Plan, Searcher, Trial
from limbeck_applications.nas.searchers.eas.controllers import Bandit, Chance, Controller, Decision
from limbeck_applications.nas.searchers.eas.policy import Policy
from limbeck_applications.nas.searchers.eas.ways import Inheritance, Way, changed
from limbeck_applications.nas.space import Architecture, Genome
from limbeck_applications.nas.staged import StagedSpace

CONTROLLERS: dict[str, type[Controller]] = {"policy": Policy, "bandit": Bandit, "random": Chance}

TRIES, LOTS = 10, 50
"""Draws of the controller, and then by lot, after which a base counts as having no new networks."""

NEAREST = 0.999
"""Accuracy above which the reward, which is infinite at 1, grows no further."""


class Eas(Searcher):
    """Grows networks from the smallest, as a controller decides that learns which changes pay."""

    continues = True

    class Options(OptionsBase):
        """What is grown, how far in an episode, and who decides."""

        controller: Literal["policy", "bandit", "random"] = Field("policy", description="who decides on changes")
        start: str | None = Field(None, description="name of the network to grow; the smallest when null")
        networks: int = Field(4, ge=1, description="networks of an episode, grown from one base")
        widen: int = Field(2, ge=0, description="widening steps of each network of an episode")
        deepen: int = Field(1, ge=0, description="deepening steps of each network of an episode")
        rebase: int = Field(1, ge=0, description="episodes after which the best network becomes the base; 0: never")
        lr: float = Field(0.01, gt=0, description="learning rate of the policy's Adam")
        entropy: float = Field(1e-5, ge=0, description="weight of the policy's entropy")
        decay: float = Field(0.95, gt=0, le=1, description="share of an episode's mean in the moving average")
        wider_noise: float = Field(1e-2, ge=0, description="noise on copied units, relative to the weights' deviation")
        deeper_noise: float = Field(1e-3, ge=0, description="noise on new layers, relative to the weights' deviation")

    def check(self, plan: Plan) -> None:
        """Refuse a space whose networks cannot be grown, a proxy that trains none, and steps that change nothing.

        Raises:
            UsageError: says which it must be.
        """
        space, proxy = plan.space, plan.proxy
        if not isinstance(space, StagedSpace):
            raise UsageError(
                f"searcher 'eas' grows networks of stages, as the space 'chains' has them and '{space.name}' has not: "
                "--space chains."
            )
        if not proxy.trains:
            raise UsageError(
                f"searcher 'eas' lets networks begin with the weights of others, but proxy '{proxy.name}' trains none: "
                "give one that does, such as --proxy distilled."
            )
        if not self.options.widen and not self.options.deepen:
            raise UsageError("searcher 'eas' has 0 widening and 0 deepening steps: give 'widen' or 'deepen' 1 or more.")
        if self.options.start is not None:
            space.find(self.options.start)

    def search(self, lab: Lab) -> None:
        """Grow networks until no evaluation is left, or nothing new can be grown."""
        Growth(lab, self.options).run()


class Growth:
    """One search.

    Args:
        lab: where it works.
        options: of the searcher.
    """

    def __init__(self, lab: Lab, options: Eas.Options) -> None:
        assert isinstance(lab.space, StagedSpace)
        self.lab, self.space, self.options = lab, lab.space, options
        self.inheritance = Inheritance(lab, options.wider_noise, options.deeper_noise)
        kind, chance = CONTROLLERS[options.controller], lab.generator("eas", "controller")
        self.controller = kind(self.space, chance, options.lr, options.entropy)
        self.lot = Chance(self.space, lab.generator("eas", "lot"), options.lr, options.entropy)
        self.seen: set[Genome] = set()
        self.spent: set[int] = set()
        self.average = 0.0

    def run(self) -> None:
        """Score the start, then episode after episode."""
        starts = self._starts()[: self.lab.remaining]
        trials = self.lab.score(starts, action="start", episode=0, trainings=1)
        _require_accuracies(trials, self.lab.proxy)
        self.seen |= {each.genome for each in starts}
        base, episode = self._best(trials), 1
        if base is None:
            raise UsageError(f"searcher 'eas' has no network to grow: {trials[0].failed or 'no weights were kept'}")
        while base is not None and self.lab.remaining:
            ways = self._ways(base, min(self.options.networks, self.lab.remaining))
            if not ways:
                self.spent.add(base.number)
                base = self._best(self.lab.trials)
                continue
            trials = self.lab.grow([self.inheritance.child(base, way, episode=episode) for way in ways])
            _require_accuracies(trials, self.lab.proxy)
            self._learn(ways, trials)
            if self.options.rebase and episode % self.options.rebase == 0:
                base = self._best(self.lab.trials)
            episode += 1

    def _starts(self) -> list[Architecture]:
        if self.options.start is not None:
            return [self.space.find(self.options.start)]
        small = self.space.stages(self.space.first().genome)
        return [self.space.from_stages(small, norm) for norm in self.space.ladder.norms]

    def _best(self, trials: Sequence[Trial]) -> Trial | None:
        """Return the best trial that has weights and may still have new networks."""
        left = [trial for trial in trials if trial.key and not trial.failed and trial.number not in self.spent]
        return max(left, key=lambda trial: (trial.value, -trial.number), default=None)

    def _ways(self, base: Trial, number: int) -> list[Way]:
        """Draw ways to architectures that were never scored, one for each network of an episode."""
        found: list[Way] = []
        for _ in range(number):
            for attempt in range(TRIES + LOTS):
                way = self._way(base, by_lot=attempt >= TRIES)
                if way.architecture.genome not in self.seen:
                    self.seen.add(way.architecture.genome)
                    found.append(way)
                    break
        return found

    def _way(self, base: Trial, *, by_lot: bool) -> Way:
        who: Controller = self.lot if by_lot else self.controller
        stages, decisions = self.space.stages(base.architecture.genome), list[Decision]()
        for step in range(self.options.widen + self.options.deepen):
            wide = step < self.options.widen
            if not (who.growing(stages) if wide else who.open(stages)):
                continue
            decisions.append(Decision(stages, who.widen(stages) if wide else who.deepen(stages)))
            stages = changed(self.space, stages, decisions[-1].action)
        norm = self.space.norm(base.architecture.genome)
        return Way(decisions, self.space.from_stages(stages, norm), by_lot)

    def _learn(self, ways: Sequence[Way], trials: Sequence[Trial]) -> None:
        """Tell the controller what came of its own decisions."""
        rewards = [reward(trial.value) for trial in trials]
        self.average += self.options.decay * (sum(rewards) / len(rewards) - self.average)
        own = [(way, value - self.average) for way, value in zip(ways, rewards, strict=True) if not way.by_lot]
        if own:
            self.controller.learn([way.decisions for way, _ in own], [value for _, value in own])


def reward(accuracy: float) -> float:
    """Return tan(accuracy pi / 2), which tells good networks further apart than bad ones; 0 for what failed."""
    return math.tan(min(max(accuracy, 0.0), NEAREST) * math.pi / 2)


def _require_accuracies(trials: Sequence[Trial], proxy: Proxy) -> None:
    for trial in trials:
        if math.isfinite(trial.value) and not 0 <= trial.value <= 1:
            raise UsageError(
                f"searcher 'eas' learns from accuracies in [0, 1], but proxy '{proxy.name}' gave "
                f"'{trial.architecture.name}' {trial.value:g}: give one that ranks by accuracy, such as --proxy "
                "distilled."
            )
