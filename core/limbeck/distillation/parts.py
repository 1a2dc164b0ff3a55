"""Everything a run consists of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from limbeck.augment import Augmentation
from limbeck.config import RunConfig
from limbeck.data import DataSet
from limbeck.distillation.batches import StepBatches, Weighted
from limbeck.distillation.parameters import SyntheticParameters
from limbeck.execution.memory import Headroom
from limbeck.execution.plan import Plan
from limbeck.matching import Engine, Matcher, NetworkSource, StepContext
from limbeck.networks import FunctionalNetwork, State
from limbeck.seeding import Generators
from limbeck.synthetic import Formation, LabelProjector
from limbeck.training import TrainData


@dataclass
class Term:
    """An objective of a run: what is compared, and which networks it is looked at through.

    Attributes:
        matcher: what is compared.
        source: supplies and moves the networks.
        engine: computes gradients under the run's plan.
        weight: what the gradients are multiplied by.
        is_own_update: whether images move by it alone, after the terms before it, or together with those.
    """

    matcher: Matcher
    source: NetworkSource
    engine: Engine
    weight: float = 1.0
    is_own_update: bool = True

    def state(self, step: StepContext) -> State:
        """Return the weights that a step looks through; none where the matcher chooses for itself."""
        return self.source.state(step) if self.engine.needs_state else {}

    def at(self, step: int) -> StepContext:
        """Return where this term's networks stand at a step of the run."""
        outer = self.source.num_outer
        return StepContext(step // outer, step % outer, outer, step)

    def accumulate(self, batches: StepBatches, state: State, step: StepContext, groups: Sequence[int]) -> Tensor:
        """Leave the gradients of some groups on what is learned and return the loss, a scalar."""
        self.matcher.begin(step)
        if self.weight == 1:
            return self.engine.accumulate(batches, state, step, groups)
        own = [*self.matcher.parameters().values(), *self.matcher.adversary().values()]
        before = [tensor.grad for tensor in own]
        for tensor in own:
            tensor.grad = None
        loss = self.weight * self.engine.accumulate(Weighted(batches, self.weight), state, step, groups)
        for tensor, earlier in zip(own, before, strict=True):
            added = None if tensor.grad is None else tensor.grad * self.weight
            tensor.grad = earlier if added is None else added if earlier is None else earlier + added
        return loss


@dataclass
class Parts:
    """Everything a run consists of; the first of its terms is the method's matcher."""

    config: RunConfig
    data: DataSet
    network: FunctionalNetwork
    terms: list[Term]
    formation: Formation
    projector: LabelProjector
    augmentation: Augmentation | None
    parameters: SyntheticParameters
    generators: Generators
    plan: Plan
    headroom: Headroom | None = None

    @property
    def matcher(self) -> Matcher:
        """What the method compares."""
        return self.terms[0].matcher

    @property
    def source(self) -> NetworkSource:
        """The networks the matcher looks through, which give the run its iterations."""
        return self.terms[0].source

    @property
    def updates(self) -> list[list[Term]]:
        """The terms that move images together, in the order of the updates of a step."""
        found: list[list[Term]] = []
        for term in self.terms:
            if term.is_own_update:
                found.append([term])
            else:
                found[0].append(term)
        return found

    def use(self, plan: Plan) -> None:
        """Go on under another plan."""
        self.plan = plan
        for term in self.terms:
            term.engine = term.matcher.engine(self.network, plan.chunks)

    def keep_headroom(self) -> None:
        """Measure growth from now on, where there is a budget of the process's own memory."""
        if self.plan.memory is not None and self.network.device.type == "cpu":
            self.headroom = Headroom(self.plan.memory)

    def batches(self) -> StepBatches:
        """Return the next step's images."""
        return StepBatches(
            self.data.train,
            self.parameters,
            self.formation,
            self.projector,
            self.augmentation,
            self.config.data.batch_real,
            self.generators,
            self.headroom,
            self.config.data.batch_syn,
        )

    def training_set(self) -> TrainData:
        """Return the synthetic set as a student would train on it now."""
        parameters = self.parameters
        with torch.no_grad():
            images, stored = self.formation.formed(parameters.normalised, parameters.group, "inner")
        return TrainData(images, parameters.labels[stored], stored)
