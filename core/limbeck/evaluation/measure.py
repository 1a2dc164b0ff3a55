"""Measuring a synthetic set: fresh networks are trained on it by a recipe and tested on real images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from limbeck.data import DataSet, DataSpec
from limbeck.errors import UsageError
from limbeck.evaluation.job import augmentation_in, network_builder, training_images
from limbeck.evaluation.recipe import Recipe
from limbeck.evaluation.rows import Evaluation
from limbeck.evaluation.trials import Material, Measurement, Trial
from limbeck.evaluation.validation import split
from limbeck.execution.executors import Executor, OnResult
from limbeck.plugins import registry
from limbeck.seeding import derive_seed
from limbeck.synthetic import LabelProjector, ProjectorContext, SyntheticSet


def evaluate_set(
    synthetic: SyntheticSet,
    data: DataSet,
    recipe: Recipe,
    *,
    networks: int = 5,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    executor: Executor | None = None,
    cache: Path | None = None,
    label: str = "synthetic",
    on_result: OnResult | None = None,
) -> Evaluation:
    """Train fresh networks on a synthetic set and test them on real images.

    A network's initial weights, order and augmentation come from ``seed``, ``label`` and its number alone, so
    accuracies do not depend on how many networks there are or where they run. The test images are normalised
    as the set's were.

    Args:
        synthetic: the set.
        data: real images; the training part is used only by a label projector that needs it, and by a search of
            learning rates.
        recipe: how each network is trained.
        networks: how many.
        seed: the evaluation's seed.
        device: where networks train.
        dtype: ``torch.float32``, or ``torch.bfloat16`` for mixed precision.
        executor: runs the networks; one after the other by default.
        cache: folder of finished networks by content; a rerun trains only those not found there.
        label: the row's name.
        on_result: told of each network's number and result as it arrives.

    Raises:
        UsageError: no network asked for, set and data differ in shape or classes, or the loss does not fit the labels.
    """
    check_fit(synthetic.spec, data.spec)
    recipe.check_labels(synthetic.label_kind)
    measurement = make_measurement(data, seed, device, dtype, executor, search=bool(recipe.lr_search))
    own = material_of(synthetic, data, recipe, measurement)
    tell = None if on_result is None else _without_label(on_result)
    return measurement.rows([Trial(label, recipe, networks, lambda _: own)], cache, tell)[0]


def make_measurement(
    data: DataSet,
    seed: int,
    device: torch.device | str,
    dtype: torch.dtype,
    executor: Executor | None,
    *,
    search: bool = False,
) -> Measurement:
    """Return how sets are measured, with the default executor where none is given.

    ``search``: keep training images aside to compare learning rates on.
    """
    runs: Executor = executor or registry().create("executors", "serial")
    validation = split(data.train, seed) if search else None
    return Measurement(data.test, seed, torch.device(device), dtype, runs, validation)


def material_of(synthetic: SyntheticSet, data: DataSet, recipe: Recipe, measurement: Measurement) -> Material:
    """Return what networks train on for a synthetic set.

    A label projector whose tensors do not travel with the set is made ready here, once for all networks, and
    its size counts.

    Raises:
        UsageError: the tensors that travel belong to other images, classes or views than the recipe's.
    """
    projector: LabelProjector = registry().create("label_projectors", recipe.labels)
    state, extra = travelling(synthetic, "label_projectors", recipe.labels["name"]), 0
    device = measurement.device
    context = ProjectorContext(
        real=None if state else data.train,
        spec=synthetic.spec,
        network=network_builder(recipe.made_with or recipe.network, synthetic.spec, device),
        seed=derive_seed(measurement.seed, "eval", "labels"),
        device=device,
        labels=synthetic.labels.to(device),
        label_kind=synthetic.label_kind,
    )
    context = with_images(context, synthetic, recipe)
    projector.load_state_dict(state)
    projector.prepare(context)
    if not state:
        projector.finish(context)
        state, extra = projector.state_dict(), projector.bytes()
    return Material(
        formation=travelling(synthetic, "formations", recipe.formation["name"]),
        images=synthetic.normalised(),
        labels=synthetic.labels,
        group=synthetic.group,
        spec=synthetic.spec,
        bytes=synthetic.bytes + extra,
        label_kind=synthetic.label_kind,
        projector=state,
    )


def with_images(context: ProjectorContext, synthetic: SyntheticSet, recipe: Recipe) -> ProjectorContext:
    """Let a label projector see the finished images as they are stored, and what students will make of them."""
    images, group = synthetic.normalised().to(context.device), synthetic.group.to(context.device)
    state = travelling(synthetic, "formations", recipe.formation["name"])
    formed, stored = training_images(recipe, synthetic.spec, images, group, state)
    return replace(context, augmentation=augmentation_in(recipe, synthetic.spec), images=formed, stored=stored)


def travelling(synthetic: SyntheticSet, kind: str, name: str) -> dict[str, Tensor]:
    """Return the tensors of a component that travel with the set, by the component's own names."""
    prefix, state = f"{kind}.{name}.", synthetic.component_state
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def check_fit(synthetic: DataSpec, real: DataSpec) -> None:
    """Refuse to test on images of another shape or with other classes.

    Raises:
        UsageError: says what differs.
    """
    found = [(spec.shape, spec.num_classes) for spec in (synthetic, real)]
    if found[0] != found[1]:
        ours, theirs = (f"{'x'.join(map(str, shape))} in {classes} classes" for shape, classes in found)
        raise UsageError(
            f"the synthetic set holds images of {ours}, but '{real.name}' has {theirs}. "
            f"Name the data it was distilled from: --data {synthetic.name}"
        )


def _without_label(on_result: OnResult) -> Callable[[str, int, dict[str, object]], None]:
    return lambda _, network, result: on_result(network, result)
