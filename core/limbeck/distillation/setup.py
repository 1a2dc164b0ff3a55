"""From a configuration to the parts of a run, resolved by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.augment import Augmentation
from limbeck.config import RunConfig, Spec, TermSection
from limbeck.data import DataSet
from limbeck.distillation.parameters import SyntheticParameters
from limbeck.distillation.parts import Parts, Term
from limbeck.distillation.start import OnEpoch, starting_images
from limbeck.errors import PluginError, UsageError
from limbeck.execution.device import resolve_device
from limbeck.execution.memory import parse_bytes
from limbeck.execution.plan import STACKED_IMAGES, Plan, comfortable_chunk
from limbeck.experts.command import train_command
from limbeck.matching import Chunks, Matcher, MatcherContext, NetworkSource, SourceContext
from limbeck.networks import FunctionalNetwork, build_network
from limbeck.plugins import registry
from limbeck.seeding import Generators, derive_seed
from limbeck.synthetic import Formation, LabelProjector, ProjectorContext


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
    made: list[Parts] = []
    context = SourceContext(
        network,
        config.ipc,
        generators,
        data.train,
        lambda: made[0].training_set(),
        projector,
        augmentation,
        lambda: made[0].plan.chunks.training if made else config.execution.chunk,
        cache,
        on_epoch,
        train_command(config),
    )
    sections = _objectives(config)
    sources = [_source(section, context) for section in sections]
    start = starting_images(config, data.train, generators, cache, on_epoch, formation, sources[0].teachers)
    parameters = SyntheticParameters(*start, num_groups=data.train.num_groups, spec=data.spec, section=config.optimiser)
    plan = plan or first_plan(config, network, device)
    terms = [
        _term(section, source, _matcher_context(place, source, generators, parameters, formation, network), plan)
        for place, (section, source) in enumerate(zip(sections, sources, strict=True))
    ]
    made.append(Parts(config, data, network, terms, formation, projector, augmentation, parameters, generators, plan))
    return made[0]


def _source(section: TermSection, context: SourceContext) -> NetworkSource:
    source: NetworkSource = _create("network_sources", section.source, NetworkSource)
    source.prepare(context)
    return source


def _matcher_context(
    place: int,
    source: NetworkSource,
    generators: Generators,
    parameters: SyntheticParameters,
    formation: Formation,
    network: FunctionalNetwork,
) -> MatcherContext:
    """Return what the matcher of the term at ``place`` may know, which looks through the networks of ``source``."""
    formed, _ = formation.formed(parameters.normalised, parameters.group, "match")
    return MatcherContext(
        network,
        network.num_classes,
        len(parameters.groups),
        generators.match,
        seed=derive_seed(generators.seed, "term", place) if place else generators.seed,
        num_images=len(formed),
        trajectories=source.trajectories,
    )


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


def _term(section: TermSection, source: NetworkSource, context: MatcherContext, plan: Plan) -> Term:
    matcher = _create("matchers", section.matcher, Matcher)
    matcher.prepare(context)
    return Term(matcher, source, matcher.engine(context.network, plan.chunks), section.weight, section.update == "own")


def prepare_labels(parts: Parts) -> None:
    """Let the label projector do its work before the first step, and collect what is learned.

    A projector that brings state (on resume) has been given it before.
    """
    parameters = parts.parameters
    context = label_context(parts.config, parts.data, parameters.labels, parameters.label_kind)
    first = parts.training_set()
    parts.projector.prepare(replace(context, images=first.images, stored=first.stored, teachers=parts.source.teachers))
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


def _create(kind: str, spec: Spec, base: type) -> Any:
    component = registry().create(kind, spec.model_dump())
    if not isinstance(component, base):
        raise PluginError(f"{kind} '{spec.name}' is {type(component).__name__}, which is no {base.__name__}.")
    return component
