"""Measuring a set: fresh networks are trained on it by a recipe and tested on real images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.data import DataSet, DataSpec, RealData
from limbeck.errors import UsageError
from limbeck.evaluation.job import PROJECTOR, network_builder
from limbeck.evaluation.recipe import Recipe
from limbeck.evaluation.rows import Evaluation
from limbeck.execution.executors import Executor, Job, OnResult, Result
from limbeck.plugins import registry
from limbeck.seeding import derive_seed
from limbeck.synthetic import LabelProjector, ProjectorContext, SyntheticSet


@dataclass(frozen=True)
class Material:
    """What one network trains on.

    Attributes:
        images: normalised float [n, ch, h, w], or uint8 pixels.
        labels: [n] or [n, C].
        group: int64 [n].
        spec: how pixels are normalised, those of the test images too.
        bytes: what it costs to keep.
        label_kind: of ``labels``.
        projector: the label projector's tensors.
    """

    images: Tensor
    labels: Tensor
    group: Tensor
    spec: DataSpec
    bytes: int
    label_kind: str = "hard"
    projector: Mapping[str, Tensor] | None = None


@dataclass(frozen=True)
class Measurement:
    """How sets are measured, whatever they are.

    Attributes:
        test: real images the networks are tested on.
        seed: the evaluation's seed.
        device: where networks train.
        dtype: ``torch.float32``, or ``torch.bfloat16`` for mixed precision.
        executor: runs the networks.
    """

    test: RealData
    seed: int
    device: torch.device
    dtype: torch.dtype
    executor: Executor

    def seed_of(self, label: str, network: int) -> int:
        """Return the seed of one network: all that its chance comes from."""
        return derive_seed(self.seed, "eval", label, network)

    def row(
        self,
        label: str,
        recipe: Recipe,
        networks: int,
        material: Callable[[int], Material],
        cache: Path | None = None,
        on_result: OnResult | None = None,
    ) -> Evaluation:
        """Train ``networks`` networks, each on ``material(its seed)``, and return what they achieved."""
        if networks < 1:
            raise UsageError(f"{networks} evaluation networks were asked for: give 1 or more.")
        seeds = [self.seed_of(label, network) for network in range(networks)]
        materials = [material(seed) for seed in seeds]
        jobs = [
            self._job(f"{label}, network {position + 1} of {networks}", recipe, seed, own)
            for position, (seed, own) in enumerate(zip(seeds, materials, strict=True))
        ]
        results = self.executor.run(jobs, cache, on_result)
        return _row(label, recipe, materials[0], results)

    def _job(self, name: str, recipe: Recipe, seed: int, material: Material) -> Job:
        state = {PROJECTOR + key: value for key, value in (material.projector or {}).items()}
        return Job(
            function="limbeck.evaluation.job:train_and_test",
            config={
                "recipe": recipe.to_dict(),
                "seed": seed,
                "spec": material.spec.to_dict(),
                "label_kind": material.label_kind,
                "device": str(self.device),
                "precision": str(self.dtype).removeprefix("torch."),
                "versions": {name: version(name) for name in ("limbeck", "torch")},
            },
            tensors={
                "images": material.images,
                "labels": material.labels,
                "group": material.group,
                "test_images": self.test.images,
                "test_labels": self.test.labels,
                **state,
            },
            name=name,
        )


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
        data: real images; the training part is used only by a label projector that needs it.
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
        UsageError: no network asked for, or set and data differ in shape or classes.
    """
    check_fit(synthetic.spec, data.spec)
    measurement = make_measurement(data, seed, device, dtype, executor)
    own = material_of(synthetic, data, recipe, measurement)
    return measurement.row(label, recipe, networks, lambda _: own, cache, on_result)


def make_measurement(
    data: DataSet, seed: int, device: torch.device | str, dtype: torch.dtype, executor: Executor | None
) -> Measurement:
    """Return how sets are measured, with the default executor where none is given."""
    runs: Executor = executor or registry().create("executors", "serial")
    return Measurement(data.test, seed, torch.device(device), dtype, runs)


def material_of(synthetic: SyntheticSet, data: DataSet, recipe: Recipe, measurement: Measurement) -> Material:
    """Return what networks train on for a synthetic set, its label projector made ready once for all."""
    images, stored = synthetic.normalised(), projector_state(synthetic, recipe.labels["name"])
    projector: LabelProjector = registry().create("label_projectors", recipe.labels)
    extra = 0
    if not stored:
        device = measurement.device
        projector.prepare(
            ProjectorContext(
                real=data.train,
                spec=synthetic.spec,
                network=network_builder(recipe.network, synthetic.spec, device),
                seed=derive_seed(measurement.seed, "eval", "labels"),
                device=device,
                labels=synthetic.labels,
                label_kind=synthetic.label_kind,
            )
        )
        stored, extra = projector.state_dict(), projector.bytes()
    return Material(
        images,
        synthetic.labels,
        synthetic.group,
        synthetic.spec,
        synthetic.bytes + extra,
        synthetic.label_kind,
        stored,
    )


def projector_state(synthetic: SyntheticSet, name: str) -> dict[str, Tensor]:
    """Return the tensors of the label projector that travel with the set, by the projector's own names."""
    prefix = f"label_projectors.{name}."
    return {
        key.removeprefix(prefix): value
        for key, value in synthetic.component_state.items()
        if key.startswith(prefix)
    }


def check_fit(synthetic: DataSpec, real: DataSpec) -> None:
    """Refuse to test on images of another shape or with other classes.

    Raises:
        UsageError: says what differs.
    """
    for what, found, asked in (
        ("images of shape", synthetic.shape, real.shape),
        ("a number of classes of", synthetic.num_classes, real.num_classes),
    ):
        if found != asked:
            raise UsageError(
                f"the synthetic set has {what} {found}, but '{real.name}' has {asked}. "
                f"Name the data it was distilled from: --data {synthetic.name}"
            )


def _row(label: str, recipe: Recipe, material: Material, results: Sequence[Result]) -> Evaluation:
    return Evaluation(
        label=label,
        protocol=recipe.protocol,
        recipe=recipe.to_dict(),
        accuracies=[result["accuracy"] for result in results],
        per_class=_mean_per_class([result["per_class"] for result in results]),
        bytes=material.bytes,
        images=len(material.images),
        seconds=sum(result["seconds"] for result in results),
        label_kind=material.label_kind,
    )


def _mean_per_class(rows: Sequence[Sequence[float | None]]) -> list[float]:
    """Average over networks; NaN where the test set has none of a class."""
    table: list[list[Any]] = [[float("nan") if value is None else value for value in row] for row in rows]
    return [sum(column) / len(column) for column in zip(*table, strict=True)]
