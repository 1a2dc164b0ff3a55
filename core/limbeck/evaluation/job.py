"""One network of an evaluation: plain values and tensors in, accuracies out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from limbeck.augment import Augmentation
from limbeck.data import DataSpec, RealData
from limbeck.evaluation.recipe import Recipe
from limbeck.execution.device import threads_that_pay
from limbeck.networks import FunctionalNetwork, build_network
from limbeck.plugins import registry
from limbeck.synthetic import Formation, LabelProjector, ProjectorContext
from limbeck.training import Epochs, Progress, Samples, TrainData, accuracy, fit

PROJECTOR, FORMATION, PREPROCESSING = "projector.", "formation.", "preprocessing."
"""Prefixes of the tensors among a job's that are the label projector's, the formation's and the data's own."""


def train_and_test(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Train one network from scratch by a recipe and test it after its last pass, and before where the recipe says so.

    Args:
        config: ``recipe``, ``seed`` (the only source of chance), ``spec``, ``label_kind``, ``device`` and
            ``precision`` (a floating-point type of torch; bfloat16 is mixed precision).
        tensors: ``images`` [n, ch, h, w] (normalised float, or uint8 pixels), ``labels`` [n] or [n, C],
            ``group`` [n], ``test_images`` uint8 [m, ch, h, w], ``test_labels`` [m], and the label projector's
            state under ``projector.``, the formation's under ``formation.``.

    Returns:
        Of the last pass ``accuracy`` in [0, 1], ``per_class`` (None where the test set has none) and ``loss``;
        ``tests``, the finished passes after which it was tested, ``curve``, its accuracies then, and ``seconds``.
    """
    began = time.perf_counter()
    recipe = Recipe.from_dict(config["recipe"])
    spec = DataSpec.from_dict(config["spec"], _under(PREPROCESSING, tensors))
    device = torch.device(config["device"])
    network = build_network(recipe.network, spec, device)
    train = training_data(recipe, spec, tensors, device)
    test = RealData(tensors["test_images"], tensors["test_labels"], spec, device=device)
    dtype = getattr(torch, config["precision"])
    curve: dict[int, float] = {}

    def look(news: Progress) -> None:
        if recipe.evaluate_every and news.epoch % recipe.evaluate_every == 0 and news.epoch < recipe.epochs:
            curve[news.epoch] = accuracy(network, news.state, test, dtype=dtype).overall

    with threads_that_pay(network.largest_activation(), device):
        result = fit(
            network,
            start=[config["seed"]],
            data=train,
            labels=label_projector(recipe, spec, config, tensors, train),
            lr=recipe.lr,
            loss=recipe.loss,
            temperature=recipe.temperature,
            clip=recipe.clip,
            momentum=recipe.momentum if recipe.optimiser == "sgd" else 0.0,
            weight_decay=recipe.weight_decay,
            budget=Epochs(recipe.epochs),
            batch_size=recipe.batch_size,
            optimiser=recipe.optimiser,
            schedule=recipe.course,
            augmentation=augmentation_in(recipe, spec),
            dtype=dtype,
            eval_sets={"test": test},
            on_epoch=look,
        )
    found = result.metrics[0]["test"]
    curve[recipe.epochs] = found.overall
    return {
        "accuracy": found.overall,
        "per_class": [value if value == value else None for value in found.per_class],
        "loss": found.loss,
        "tests": list(curve),
        "curve": list(curve.values()),
        "seconds": time.perf_counter() - began,
    }


def network_builder(default: str, spec: DataSpec, device: torch.device) -> Callable[[str | None], FunctionalNetwork]:
    """Return what builds a network by name, or ``default`` for None."""
    return lambda name: build_network(name or default, spec, device)


def training_data(recipe: Recipe, spec: DataSpec, tensors: Mapping[str, Tensor], device: torch.device) -> Samples:
    """Form the training images; pixels stay bytes until a batch is drawn, where the formation allows.

    Args:
        recipe: says by which formation.
        spec: of the data.
        tensors: ``images``, ``labels``, ``group`` and the formation's own, as ``train_and_test`` takes them.
        device: that trains.
    """
    images, labels = tensors["images"], tensors["labels"].to(device)
    if images.dtype == torch.uint8 and recipe.formation == {"name": "identity"}:
        return RealData(images, labels, spec, device=device)
    if images.dtype == torch.uint8:
        images = RealData(images, labels, spec).normalise(images)
    images, stored = training_images(
        recipe, spec, images.to(device), tensors["group"].to(device), _under(FORMATION, tensors)
    )
    return TrainData(images, labels[stored], stored)


def training_images(
    recipe: Recipe, spec: DataSpec, images: Tensor, group: Tensor, state: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Form what students train on, before augmentation.

    Args:
        recipe: says by which formation.
        spec: of the data.
        images: stored images, normalised, [n, ch, h, w].
        group: group of each, int64 [n].
        state: the formation's tensors.

    Returns:
        Images [m, ch, h, w] and which stored image each was formed from, int64 [m].
    """
    formation: Formation = registry().create("formations", recipe.formation).for_data(spec)
    formation.load_state_dict({name: value.to(images.device) for name, value in state.items()})
    with torch.no_grad():
        return formation.formed(images, group, "evaluate")


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def label_projector(
    recipe: Recipe, spec: DataSpec, config: Mapping[str, Any], tensors: Mapping[str, Tensor], train: Samples
) -> LabelProjector:
    """Return what labels the training images, ready to be asked.

    Args:
        recipe: says by which projector.
        spec: of the data.
        config: ``seed`` of what it draws, and ``label_kind``.
        tensors: ``labels`` stored with the images, and the projector's own.
        train: what ``training_data`` made of them.
    """
    projector: LabelProjector = registry().create("label_projectors", recipe.labels)
    projector.load_state_dict(_under(PROJECTOR, tensors))
    device = train.labels.device
    formed = train if isinstance(train, TrainData) else None
    projector.prepare(
        ProjectorContext(
            real=None,
            spec=spec,
            network=network_builder(recipe.made_with or recipe.network, spec, device),
            seed=config["seed"],
            device=device,
            labels=tensors["labels"].to(device),
            label_kind=config["label_kind"],
            augmentation=augmentation_in(recipe, spec),
            images=None if formed is None else formed.images,
            stored=None if formed is None else formed.stored,
        )
    )
    return projector


def augmentation_in(recipe: Recipe, spec: DataSpec) -> Augmentation | None:
    """Return the augmentation students train with, fit for the data, or none."""
    if recipe.augmentation is None:
        return None
    made: Augmentation = registry().create("augmentations", recipe.augmentation)
    return made.for_data(spec)
