"""From a finished run to the set it made, with everything a student needs to be trained as meant."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from torch import Tensor

from limbeck.config import RunConfig, names_in
from limbeck.data import DataSet
from limbeck.distillation.parts import Parts
from limbeck.distillation.setup import label_context
from limbeck.distillation.start import OnEpoch, choose, formation_of, make_selector
from limbeck.errors import UsageError
from limbeck.evaluation import Protocol, Recipe
from limbeck.evaluation.measure import with_images
from limbeck.evaluation.recipe import STORED_LABELS
from limbeck.execution.memory import PeakGrowth
from limbeck.plugins import registry
from limbeck.seeding import Generators
from limbeck.synthetic import LabelProjector, SyntheticSet
from limbeck.synthetic.sets import LabelKind


def recipe_of(config: RunConfig, syn_lr: float | None = None) -> Recipe:
    """Return how networks are to be trained on the set this configuration makes.

    Args:
        config: the run.
        syn_lr: the learning rate that students ended with, where the run has students.
    """
    protocol: Protocol = registry().create("protocols", config.evaluation.protocol.model_dump())
    own = None if config.augmentation is None else config.augmentation.model_dump()
    stored = Recipe.model_validate(
        {
            "network": config.network,
            "epochs": 0,
            "augmentation": own,
            "labels": config.labels.model_dump(),
            "formation": config.formation.model_dump(),
            "made_with": config.network,
            "learned_lr": syn_lr,
        }
    )
    kept = {name: getattr(stored, name) for name in ("formation", "made_with", "learned_lr")}
    return protocol.recipe(config.network, stored).with_(**kept)


def selected_set(
    config: RunConfig, data: DataSet, cache: Path | None = None, on_epoch: OnEpoch | None = None
) -> SyntheticSet:
    """Return a selector's choice as a set.

    Args:
        config: the run.
        data: what to choose from.
        cache: where the selector keeps what outlives the run.
        on_epoch: told while the selector trains a network.
    """
    spec = config.selector
    if spec is None:
        raise UsageError("nothing to do: this configuration has neither a matcher nor a selector.")
    selector, formation = make_selector(spec, cache, on_epoch), formation_of(config, data.spec)
    memory, started = PeakGrowth(data.train.device), time.perf_counter()
    chosen = choose(selector, config.ipc, data.train, Generators(config.seed, data.train.device).init, formation)
    spent, growth = time.perf_counter() - started + chosen.spared, memory.bytes
    kind: LabelKind = "probabilities" if chosen.labels.is_floating_point() else "hard"
    projector: LabelProjector = registry().create("label_projectors", config.labels.model_dump())
    projector.prepare(label_context(config, data, chosen.labels, kind))
    made = SyntheticSet(
        images=chosen.images.float().cpu(),
        labels=chosen.labels.cpu(),
        label_kind=kind,
        group=chosen.group.cpu(),
        spec=data.spec,
        storage=config.storage,
        recipe=recipe_of(config).to_dict(),
        provenance={
            **_provenance(config, 0, spent, growth),
            "features": chosen.features,
            "features_seconds": round(chosen.features_seconds, 3),
        },
    )
    return _labelled(made, config, data, projector)


def distilled_set(
    config: RunConfig, parts: Parts, steps: int, seconds: float, growth: int | None = None
) -> SyntheticSet:
    """Return the finished set, with everything a student needs."""
    parameters = parts.parameters
    formed = {
        f"formations.{parts.formation.name}.{k}": v.detach().cpu() for k, v in parts.formation.parameters().items()
    }
    spent = {name: took for term in parts.terms for name, took in term.source.spent.items()}
    made = SyntheticSet(
        images=parameters.result.float().cpu().clone(),
        labels=parameters.labels.cpu(),
        label_kind="probabilities" if parameters.labels.is_floating_point() else "hard",
        group=parameters.group.cpu(),
        spec=parts.data.spec,
        storage=config.storage,
        recipe=recipe_of(config, None if parameters.syn_lr is None else float(parameters.syn_lr)).to_dict(),
        provenance={
            **_provenance(config, steps, seconds, growth),
            "features_seconds": round(sum(spent.values()), 3),
        },
        component_state=formed,
    )
    return _labelled(made, config, parts.data, parts.projector)


def _labelled(made: SyntheticSet, config: RunConfig, data: DataSet, projector: LabelProjector) -> SyntheticSet:
    """Let the projector label the finished images; what it gives becomes the set's labels, or travels with it."""
    recipe = Recipe.from_dict(made.recipe)
    context = label_context(config, data, made.labels.to(data.train.device), made.label_kind)
    projector.finish(with_images(context, made, recipe))
    final = projector.final_labels()
    if final is None:
        return made.with_(component_state={**_projector_state(projector), **made.component_state})
    labels, kind = final
    stored = recipe.with_(labels=STORED_LABELS)
    return made.with_(labels=labels.cpu(), label_kind=kind, recipe=stored.to_dict())


def _projector_state(projector: LabelProjector) -> dict[str, Tensor]:
    return {f"label_projectors.{projector.name}.{key}": value.cpu() for key, value in projector.state_dict().items()}


def _provenance(config: RunConfig, steps: int, seconds: float, growth: int | None) -> dict[str, Any]:
    trained_with = recipe_of(config).augmentation
    used = [
        ("label_projectors", config.labels.name),
        ("formations", config.formation.name),
        ("networks", config.network),
        *([("matchers", config.matcher.name)] if config.matcher else []),
        *(("matchers", term.matcher.name) for term in config.terms or ()),
        *([("selectors", config.selector.name)] if config.selector else []),
        *(("augmentations", name) for name in (*names_in(config.augmentation), *names_in(trained_with))),
    ]
    entries = [registry().entry(kind, name) for kind, name in dict.fromkeys(used)]
    return {
        "method": config.method,
        "data": config.data.source(),
        "settings": config.identity(),
        "deviations": list(config.deviations),
        "steps": steps,
        "seconds": round(seconds, 3),
        "growth": growth,
        "plugins": [
            {"kind": e.kind, "name": e.name, "distribution": e.distribution, "version": e.version} for e in entries
        ],
    }
