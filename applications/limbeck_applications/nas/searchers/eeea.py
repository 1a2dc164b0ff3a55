"""Evolution towards few errors, few parameters and few operations, from a population that obeys a budget.

Paper: Termritthikun et al., "EEEA-Net: An Early Exit Evolutionary Neural Architecture Search" (arXiv:2108.06156):
what is drawn for the first population and exceeds the budget is drawn again, before anything is trained; then NSGA-II
(Deb et al., 10.1109/4235.996017). Public code chakkritte/EEEA-Net (Apache 2.0). Written from the papers, on Optuna's
``NSGAIISampler`` (MIT).

The same: early exit in the first population alone; objectives accuracy, parameters and operations; tournaments of two
by domination, crossover gene by gene with equal chance, duplicates refused and bred again.

Different: mutation draws each gene anew with chance 1 / genes, as Deb et al. do, where the public code draws one
operation and its input anew in a tenth of the children; there is no inversion (Optuna has none, and the public code's
copies a pair instead of swapping two); parents are the best of all that was scored, not of the last two generations, so
that no parent is ever worse in everything than something found before (the public code keeps a tenth of a population);
time is no objective, since a search must be the same when it is repeated; the budget is that of the network that is
searched with, where the paper counts one of 20 cells and 36 channels; a population is 10 where the paper has 40.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import optuna
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import NSGAIISampler
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field, field_validator

from limbeck.errors import UsageError
from limbeck.options import Options as OptionsBase
from limbeck_applications.nas.searcher import Lab, Plan, Searcher, Trial
from limbeck_applications.nas.searchers.budget import Budget
from limbeck_applications.nas.searchers.draws import Allowed, Draws
from limbeck_applications.nas.searchers.pareto import OBJECTIVES, Objective, point_of, survivors
from limbeck_applications.nas.space import Architecture

BREEDINGS = 20
"""Children that are refused as duplicates before one of them is mutated until it is new."""

Individual = tuple[optuna.Trial, Architecture]


class Eeea(Searcher):
    """NSGA-II; each generation is scored in one call."""

    class Options(OptionsBase):
        """Sizes, chances and the budget."""

        population: int = Field(10, ge=2, description="individuals of a generation")
        objectives: tuple[Objective, ...] = Field(
            OBJECTIVES, min_length=1, description="what individuals are compared in: score, parameters, flops"
        )
        most_parameters: int | None = Field(
            None, ge=1, description="parameters at most, of the first population alone: see always"
        )
        most_flops: int | None = Field(
            None, ge=1, description="FLOPs at most, of the first population alone: see always"
        )
        always: bool = Field(
            False, description="whether children obey these budgets as well; the best may exceed them if not"
        )
        crossover: float = Field(0.9, ge=0, le=1, description="chance that a child has two parents")
        mutation: float | None = Field(None, ge=0, le=1, description="chance of a new gene; 1 / genes when not given")

        @field_validator("objectives")
        @classmethod
        def _each_once(cls, objectives: tuple[Objective, ...]) -> tuple[Objective, ...]:
            if len(set(objectives)) < len(objectives):
                raise ValueError("give each objective once")
            if "score" not in objectives:
                raise ValueError("score must be among the objectives")
            return objectives

    def check(self, plan: Plan) -> None:
        """Refuse a budget that too few architectures of a small space meet.

        Raises:
            UsageError: says what the smallest has.
        """
        self._budget().check(plan, self.options.population)

    def search(self, lab: Lab) -> None:
        """Draw a population, breed from the best, and go on until the evaluations are used or nothing new is left.

        Raises:
            UsageError: too few architectures meet the budget for a population.
        """
        evolution, complete = _Evolution(lab, self.options, self._budget()), 0
        while lab.remaining:
            number = min(self.options.population - complete, lab.remaining)
            individuals = evolution.children(number) if evolution.generation else evolution.first(number)
            if not individuals:
                return
            trials = lab.score([architecture for _, architecture in individuals], generation=evolution.generation)
            complete += evolution.told(individuals, trials)
            if complete == self.options.population:
                evolution.generation, complete = evolution.generation + 1, 0

    def _budget(self) -> Budget:
        return Budget(self.options.most_parameters, self.options.most_flops)


class _Sampler(NSGAIISampler):
    """NSGA-II whose parents are the best of everything that was scored.

    Optuna counts generations by itself, but leaves out individuals whose genes it is given.
    """

    generation = 0

    def get_trial_generation(self, study: optuna.Study, trial: FrozenTrial) -> int:
        """Return the generation that is being bred."""
        return self.generation

    def select_parent(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """Return the parents of a generation."""
        pool = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        assert self.population_size is not None
        return [pool[place] for place in survivors([tuple(each.values) for each in pool], self.population_size)]


class _Evolution:
    """Optuna's side of a search: individuals are asked for and told of.

    Args:
        lab: of the search.
        options: of the searcher.
        budget: that the first individuals obey.
    """

    def __init__(self, lab: Lab, options: Eeea.Options, budget: Budget) -> None:
        self.lab, self.options, self.budget, self.draws = lab, options, budget, Draws(lab)
        self.chance = lab.generator("eeea")
        self.choices: dict[str, BaseDistribution] = {
            f"{place:03d} {gene.name}": CategoricalDistribution(tuple(range(len(gene.values))))
            for place, gene in enumerate(lab.space.genes())
        }
        self.sampler = _Sampler(
            population_size=options.population,
            mutation_prob=options.mutation,
            crossover_prob=options.crossover,
            seed=int(torch.randint(2**31, (), generator=lab.generator("eeea", "optuna"))),
        )
        with _quiet():
            self.study = optuna.create_study(directions=["minimize"] * len(options.objectives), sampler=self.sampler)

    @property
    def generation(self) -> int:
        """The generation that is being bred, counted from 0."""
        return self.sampler.generation

    @generation.setter
    def generation(self, number: int) -> None:
        self.sampler.generation = number

    def first(self, number: int) -> list[Individual]:
        """Draw individuals that obey the budget; fewer where the space has no more.

        Raises:
            UsageError: too few meet the budget.
        """
        found: list[Individual] = []
        while len(found) < number and (drawn := self.draws.new(self.chance, self.budget)) is not None:
            found.append(self._enqueued(drawn))
        self.budget.require(self.lab.space.name, len(found), number)
        return found

    def children(self, number: int) -> list[Individual]:
        """Breed individuals that are new; fewer where the space has no more."""
        allowed = self.budget if self.options.always else None
        found: list[Individual] = []
        while len(found) < number and (child := self._child(allowed)) is not None:
            found.append(child)
        return found

    def told(self, individuals: Sequence[Individual], trials: Sequence[Trial]) -> int:
        """Tell Optuna what individuals came to, and return how many came to something."""
        complete = 0
        for (asked, _), trial in zip(individuals, trials, strict=True):
            if trial.failed or not math.isfinite(trial.value):
                self.study.tell(asked, state=TrialState.FAIL)
            else:
                self.study.tell(asked, point_of(trial, self.options.objectives))
                complete += 1
        return complete

    def _child(self, allowed: Allowed | None) -> Individual | None:
        """Breed until a child is new; where that fails, mutate the last one until it is, or draw one."""
        last = None
        for _ in range(BREEDINGS):
            asked = self.study.ask(self.choices)
            try:
                last = self.lab.space.decode([asked.params[name] for name in self.choices])
            except UsageError:
                last = None
            if last is not None and self.draws.take(last, allowed):
                return asked, last
            self.study.tell(asked, state=TrialState.FAIL)
        found = None if last is None else self.draws.near(last, self.chance, allowed)
        found = found or self.draws.new(self.chance, allowed)
        return None if found is None else self._enqueued(found)

    def _enqueued(self, architecture: Architecture) -> Individual:
        """Make an individual of the present generation with these genes."""
        self.study.enqueue_trial(dict(zip(self.choices, architecture.genome, strict=True)))
        return self.study.ask(self.choices), architecture


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from announcing a study that is of no use to anyone else."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
