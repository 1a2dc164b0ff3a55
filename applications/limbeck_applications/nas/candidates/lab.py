"""Where a searcher works: scores come from disk where they are there, and every request is counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from limbeck.errors import UsageError
from limbeck.files import content_key
from limbeck.networks import State
from limbeck.seeding import generator
from limbeck_applications.nas.candidates.job import write_weights
from limbeck_applications.nas.candidates.scoring import Asked, Scorer
from limbeck_applications.nas.cost import Cost
from limbeck_applications.nas.problem import Problem
from limbeck_applications.nas.proxy import Prepared, Proxy
from limbeck_applications.nas.searcher import Child, Trial
from limbeck_applications.nas.space import Architecture, Genome, SearchSpace
from limbeck_applications.nas.study.rows import Scored

SECONDS = "limbeck.seconds"
"""Among what a searcher keeps: what it had spent by then, scoring aside."""


class KeptLab:
    """A ``searcher.Lab`` whose answers are kept.

    Args:
        scorer: of the proxy.
        searcher: whose it is and all its options, as JSON values; what it keeps depends on them.
        evaluations: architectures that may be scored.
        seed: of the search.
        told: of each trial.
        works: told of long work between trials.
    """

    def __init__(
        self,
        scorer: Scorer,
        searcher: Any,
        evaluations: int,
        seed: int,
        told: Callable[[Trial], None] | None = None,
        works: Callable[[int, int, str], None] | None = None,
    ) -> None:
        self.scorer, self.evaluations, self.seed, self.searcher = scorer, evaluations, seed, searcher
        self.space: SearchSpace = scorer.images.space
        self.problem: Problem = scorer.problem
        self.proxy: Proxy = scorer.proxy
        self._trials: list[Trial] = []
        self._told, self._works = told, works
        self._began, self._scoring, self._before = time.perf_counter(), 0.0, 0.0
        self._by_genome: dict[Genome, Trial] = {}
        self._asked: dict[str, Asked] = {}

    @property
    def trials(self) -> list[Trial]:
        """What was scored so far in this search, in order."""
        return self._trials

    @property
    def remaining(self) -> int:
        """Architectures that may still be scored."""
        return self.evaluations - len(self._trials)

    @property
    def prepared(self) -> Prepared:
        """What the proxy made."""
        return self.scorer.prepared

    def generator(self, *owner: str) -> torch.Generator:
        """Return a generator of this search for an owner."""
        return generator(self.seed, "nas", "search", *owner)

    def sample(self, generator: torch.Generator) -> Architecture:
        """Draw an architecture that fits the images."""
        return self.space.sample(generator, self.problem.spec)

    def cost(self, architecture: Architecture) -> Cost:
        """Return parameters and FLOPs, without an evaluation."""
        return self.scorer.cost(architecture)

    def score(self, architectures: Sequence[Architecture], **notes: Any) -> list[Trial]:
        """Score architectures; those that this search has scored come from memory.

        Raises:
            UsageError: more new ones than remain.
        """
        new = {each.genome: each for each in architectures if each.genome not in self._by_genome}
        self._allow(len(new))
        asked = [Asked(each) for each in new.values()]
        for trial in self._score(asked, [notes] * len(asked)):
            self._by_genome[trial.architecture.genome] = trial
        return [self._by_genome[each.genome] for each in architectures]

    def grow(self, children: Sequence[Child]) -> list[Trial]:
        """Score architectures that begin with given weights.

        Raises:
            UsageError: more than remain, or a proxy that trains nothing.
        """
        if not self.proxy.trains:
            raise UsageError(f"proxy '{self.proxy.name}' trains no networks, so none can begin with given weights.")
        self._allow(len(children))
        asked = [Asked(child.architecture, child.state) for child in children]
        return self._score(asked, [child.notes for child in children])

    def state(self, trial: Trial) -> State:
        """Return the trained weights of a trial.

        Raises:
            UsageError: the proxy trains nothing, or the trial came to nothing.
        """
        if trial.key not in self._asked:
            raise UsageError(f"'{trial.architecture.name}' has no trained weights: {trial.failed or 'none were kept'}")
        return self.scorer.state(self._asked[trial.key])

    def keep(self, name: str, state: Mapping[str, Tensor]) -> None:
        """Keep tensors of the searcher's own under a name."""
        write_weights(self._own(name), {**state, SECONDS: torch.tensor(self.own_seconds, dtype=torch.float64)})

    def kept(self, name: str) -> dict[str, Tensor] | None:
        """Return what was kept under a name by this search, or None where nothing is or it cannot be read."""
        try:
            found = load(self._own(name).read_bytes())
            self._before = max(self._before, float(found.pop(SECONDS)))
        except (OSError, SafetensorError, KeyError):
            return None
        return found

    @property
    def own_seconds(self) -> float:
        """What the searcher spent beside scores, in an earlier start up to what it kept."""
        return self._before + time.perf_counter() - self._began - self._scoring

    def tell(self, done: int, total: int, what: str) -> None:
        """Say how far long work of the searcher's own has come."""
        if self._works is not None:
            self._works(done, total, what)

    def _own(self, name: str) -> Path:
        _ = self.scorer.prepared
        which = content_key([self.searcher, self.seed, self.scorer.held, self.evaluations, name])
        return self.scorer.folder / "searchers" / f"{which}.safetensors"

    def _allow(self, number: int) -> None:
        if number > self.remaining:
            raise UsageError(
                f"the searcher asked for {number} new architectures, but {self.remaining} of {self.evaluations} "
                "evaluations remain."
            )

    def _score(self, asked: Sequence[Asked], notes: Sequence[Mapping[str, Any]]) -> list[Trial]:
        """Score, and number the trials in the order asked, whatever the order they finish in."""
        first, waiting = len(self._trials), dict[int, Scored]()

        def arrived(place: int, scored: Scored) -> None:
            waiting[place] = scored
            while (ready := len(self._trials) - first) in waiting:
                trial = self._trial(first + ready, asked[ready], waiting[ready], notes[ready])
                self._trials.append(trial)
                if self._told is not None:
                    self._told(trial)

        began = time.perf_counter()
        self.scorer.score(asked, arrived)
        self._scoring += time.perf_counter() - began
        return self._trials[first:]

    def _trial(self, number: int, asked: Asked, scored: Scored, notes: Mapping[str, Any]) -> Trial:
        key = "" if scored.failed or not self.proxy.trains else self.scorer.key_of(asked)
        if key:
            self._asked[key] = asked
        value = float("-inf") if scored.value is None else scored.value
        cost = self.scorer.cost(asked.architecture)
        spent, notes = scored.seconds, dict(notes)
        return Trial(number, asked.architecture, value, cost, spent, notes, key, scored.failed, scored.broken)
