"""From a configuration to the parts of a run, resolved by name."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.augment import Augmentation
from limbeck.config import RunConfig, Spec, TermSection
from limbeck.data import DataSet
from limbeck.distillation.batches import StepBatches, Weighted
from limbeck.distillation.parameters import SyntheticParameters
from limbeck.distillation.start import OnEpoch, starting_images
from limbeck.errors import LimbeckError, PluginError, UsageError
from limbeck.execution.device import resolve_device
from limbeck.execution.memory import AIM, Headroom, format_bytes, largest_chunk, parse_bytes, peak_growth
from limbeck.execution.plan import STACKED_IMAGES, Plan, comfortable_chunk
from limbeck.matching import Chunks, Engine, Matcher, MatcherContext, NetworkSource, SourceContext, StepContext
from limbeck.networks import FunctionalNetwork, State, build_network
from limbeck.plugins import registry
from limbeck.seeding import Generators, derive_seed
from limbeck.synthetic import Formation, LabelProjector, ProjectorContext
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

    def at(self, step: int) -> StepContext:
        """Return where this term's networks stand at a step of the run."""
        outer = self.source.num_outer
        return StepContext(step // outer, step % outer, outer, step)

    def accumulate(self, batches: StepBatches, state: State, step: StepContext, groups: Sequence[int]) -> Tensor:
        """Leave the gradients of some groups on what is learned and return the loss, a scalar."""
        self.matcher.begin(step)
        if self.weight == 1:
            return self.engine.accumulate(batches, state, step, groups)
        return self.weight * self.engine.accumulate(Weighted(batches, self.weight), state, step, groups)


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
            term.engine = type(term.matcher).engine(term.matcher, self.network, plan.chunks)

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


QUICK = 1.0
"""Seconds that trial steps may take together, unless one alone takes longer."""


@dataclass(frozen=True)
class Estimate:
    """What a trial step cost: seconds, and bytes of growth where they can be measured."""

    seconds: float
    growth: int | None


def set_up(
    config: RunConfig,
    data: DataSet,
    plan: Plan | None = None,
    cache: Path | None = None,
    on_epoch: OnEpoch | None = None,
) -> Parts:
    """Resolve every name of a configuration and get ready for the first step.

    Args:
        config: the run.
        data: real images, on the run's device.
        plan: reused when a run is resumed; made when None.
        cache: where selectors and network sources keep what outlives the run.
        on_epoch: told while one of them trains a network.

    Raises:
        UsageError: unknown names or options, or parts that do not fit each other.
    """
    device = resolve_device(config.execution.device)
    generators = Generators(config.seed, device)
    network = build_network(config.network, data.spec, device)
    formation = _create("formations", config.formation, Formation).for_data(data.spec)
    projector = _create("label_projectors", config.labels, LabelProjector)
    augmentation = None
    if config.augmentation is not None:
        augmentation = _create("augmentations", config.augmentation, Augmentation).for_data(data.spec)
    images, labels, group = starting_images(config, data.train, generators, cache, on_epoch, formation)
    parameters = SyntheticParameters(
        images, labels, group, num_groups=data.train.num_groups, spec=data.spec, section=config.optimiser
    )
    plan = plan or first_plan(config, network, device)
    context = MatcherContext(network, data.spec.num_classes, len(parameters.groups), generators.match)
    terms = [_term(section, context, plan) for section in _objectives(config)]
    parts = Parts(config, data, network, terms, formation, projector, augmentation, parameters, generators, plan)
    for term in terms:
        term.source.prepare(
            SourceContext(
                network,
                config.ipc,
                generators,
                data.train,
                parts.training_set,
                projector,
                augmentation,
                lambda: parts.plan.chunks.training,
                cache,
                on_epoch,
            )
        )
    return parts


def _objectives(config: RunConfig) -> list[TermSection]:
    """Return the sections of all terms, the matcher's own first."""
    if config.matcher is None or config.source is None:
        raise UsageError("nothing to distil: this configuration has no matcher.")
    own = TermSection.model_validate({"matcher": config.matcher, "source": config.source, "update": "own"})
    return [own, *(_completed(term, config.source) for term in config.terms or ())]


def _completed(term: TermSection, source: Spec) -> TermSection:
    """Return a term with what its source leaves open taken from the run's own, where both have one name."""
    if term.source.name != source.name:
        return term
    return term.model_copy(update={"source": Spec.model_validate(source.model_dump() | term.source.model_dump())})


def _term(section: TermSection, context: MatcherContext, plan: Plan) -> Term:
    matcher = _create("matchers", section.matcher, Matcher)
    source = _create("network_sources", section.source, NetworkSource)
    matcher.prepare(context)
    engine = type(matcher).engine(matcher, context.network, plan.chunks)
    return Term(matcher, source, engine, section.weight, section.update == "own")


def prepare_labels(parts: Parts) -> None:
    """Let the label projector do its work before the first step, and collect what is learned.

    A projector that brings state (on resume) has been given it before.
    """
    parameters = parts.parameters
    parts.projector.prepare(label_context(parts.config, parts.data, parameters.labels, parameters.label_kind))
    parameters.make_optimiser(parts.projector, parts.formation, [term.matcher for term in parts.terms])
    parts.keep_headroom()


def label_context(config: RunConfig, data: DataSet, labels: Tensor, label_kind: str) -> ProjectorContext:
    """Return what a label projector may look at for a set with these labels, [n] or [n, C]."""
    device = data.train.device
    return ProjectorContext(
        real=data.train,
        spec=data.spec,
        network=lambda name: build_network(name or config.network, data.spec, device),
        seed=derive_seed(config.seed, "labels"),
        device=device,
        labels=labels,
        label_kind=label_kind,
    )


PLANNED = ("device", "memory", "chunk", "precision", "second_pass")
"""Settings of execution that a plan is made for."""


def asked_of(config: RunConfig) -> dict[str, Any]:
    """Return the settings a plan answers to, as JSON values."""
    section = config.execution.model_dump(mode="json")
    return {name: section[name] for name in PLANNED}


def first_plan(config: RunConfig, network: FunctionalNetwork, device: torch.device) -> Plan:
    """Choose chunks for speed; a memory budget cuts them down later."""
    chunk = config.execution.chunk or comfortable_chunk(network.largest_activation(), device.type)
    budget = config.execution.memory
    return Plan(
        device=str(device),
        chunks=Chunks(
            real=chunk,
            synthetic=chunk,
            together=min(chunk, STACKED_IMAGES[device.type]),
            training=config.execution.chunk,
            second_pass=config.execution.second_pass,
            real_precision=config.execution.precision,
            firm=config.execution.chunk is not None,
        ),
        threads=torch.get_num_threads(),
        memory=parse_bytes(budget) if budget else None,
        asked=asked_of(config),
    )


def fit_to_memory(parts: Parts) -> None:
    """Cut the plan's chunks down to its memory budget, by measuring trial steps.

    Raises:
        LimbeckError: the budget is too small whatever the chunk.
    """
    budget = parts.plan.memory
    if budget is None:
        return
    budget -= parts.parameters.bytes_to_come()
    most = max(parts.config.data.batch_real * len(parts.parameters.groups), len(parts.parameters.images))

    def work(chunk: int) -> None:
        parts.use(replace(parts.plan, chunks=parts.plan.chunks.at_most(chunk)))
        _trial(parts)

    def grown() -> int:
        step = partial(_trial, parts, advance=parts.source.num_outer > 1)
        return peak_growth(step, parts.network.device) or 0

    chunk = most if parts.network.couples_samples else largest_chunk(work, budget, most, parts.network.device)
    work(chunk)
    while (growth := grown()) > budget:
        chunk = int(chunk * budget * AIM / growth)
        if parts.network.couples_samples or chunk < 1:
            raise _too_small(parts.network, growth, budget)
        work(chunk)


def _too_small(network: FunctionalNetwork, growth: int, budget: int) -> LimbeckError:
    takes = f"takes {format_bytes(growth)}, but --memory allows {format_bytes(budget)}. Raise --memory, or lower"
    if network.couples_samples:
        return LimbeckError(
            f"network '{network.name}' has batch norm, whose statistics need all images in one pass; that {takes} "
            "data.batch_real or source.batch_train, or use instance norm (-in)."
        )
    return LimbeckError(f"a step {takes} data.batch_real, source.batch_train or the width of '{network.name}'.")


def estimate(parts: Parts) -> Estimate:
    """Take a step that changes nothing and say what it cost.

    The first step is slower than those that follow, while memory is claimed and threads start; where steps are
    quick, the best of three counts.
    """
    spent: list[float] = []

    def work() -> None:
        started = time.perf_counter()
        _trial(parts, advance=True)
        spent.append(time.perf_counter() - started)

    growth = peak_growth(work, parts.network.device)
    while len(spent) < 3 and sum(spent) + spent[-1] < QUICK:
        work()
    return Estimate(min(spent), growth)


def _trial(parts: Parts, *, advance: bool = False) -> None:
    """One step with throw-away random numbers, whose gradients are thrown away too."""
    before = parts.generators.state_dict()
    kept = [(term, _copied(term.source.state_dict()), _copied(term.matcher.state_dict())) for term in parts.terms]
    for term in parts.terms:
        step = term.at(0)
        state = term.source.state(step)
        term.accumulate(parts.batches(), state, step, parts.parameters.groups)
        if advance:
            term.source.advance(step)
    for term, source, matcher in kept:
        term.source.load_state_dict(source)
        term.matcher.load_state_dict(matcher)
    parts.parameters.optimiser.zero_grad(set_to_none=True)
    parts.generators.load_state_dict(before)
    if parts.network.device.type == "cuda":
        torch.cuda.synchronize(parts.network.device)


def _copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def _create(kind: str, spec: Spec, base: type) -> Any:
    component = registry().create(kind, spec.model_dump())
    if not isinstance(component, base):
        raise PluginError(f"{kind} '{spec.name}' is {type(component).__name__}, which is no {base.__name__}.")
    return component
