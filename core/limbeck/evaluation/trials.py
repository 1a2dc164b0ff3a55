"""Rows of an evaluation as independent jobs, one per network, and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from limbeck.data import DataSpec, RealData
from limbeck.errors import UsageError
from limbeck.evaluation.job import FORMATION, PREPROCESSING, PROJECTOR
from limbeck.evaluation.recipe import Recipe
from limbeck.evaluation.rows import Evaluation
from limbeck.execution.executors import Executor, Job, Result
from limbeck.plugins import registry
from limbeck.seeding import derive_seed

OnNetwork = Callable[[str, int, Result], None]
"""Told of a row's label, a network's number in it, and the network's result."""

OnRow = Callable[[Evaluation], None]
"""Told of a row once all its networks have arrived."""


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
        formation: the formation's tensors.
    """

    images: Tensor
    labels: Tensor
    group: Tensor
    spec: DataSpec
    bytes: int
    label_kind: str = "hard"
    projector: Mapping[str, Tensor] = field(default_factory=dict)
    formation: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """A row to be measured.

    Attributes:
        label: the row's name.
        recipe: how each network is trained.
        networks: how many.
        material: what the network of a given seed trains on; the row states the size of the first one's.
    """

    label: str
    recipe: Recipe
    networks: int
    material: Callable[[int], Material]


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

    def rows(
        self,
        trials: Sequence[Trial],
        cache: Path | None = None,
        on_network: OnNetwork | None = None,
        on_row: OnRow | None = None,
    ) -> list[Evaluation]:
        """Train the networks of all trials, as one batch of jobs, and return a row for each.

        Raises:
            UsageError: a trial without networks.
        """
        pending = [_Pending(trial, self._materials(trial)) for trial in trials]
        places = [(row, network) for row in pending for network in range(row.trial.networks)]

        def arrive(index: int, result: Result) -> None:
            row, network = places[index]
            row.results[network] = result
            if on_network is not None:
                on_network(row.trial.label, network, result)
            if on_row is not None and len(row.results) == row.trial.networks:
                on_row(row.finish())

        self.executor.run([self._job(row, network) for row, network in places], cache, arrive)
        return [row.finish() for row in pending]

    def _seed(self, label: str, network: int) -> int:
        """Return the seed of one network, from which all its chance comes."""
        return derive_seed(self.seed, "eval", label, network)

    def _materials(self, trial: Trial) -> list[Material]:
        if trial.networks < 1:
            raise UsageError(f"{trial.networks} evaluation networks were asked for: give 1 or more.")
        return [trial.material(self._seed(trial.label, network)) for network in range(trial.networks)]

    def _job(self, row: _Pending, network: int) -> Job:
        trial, material = row.trial, row.materials[network]
        return Job(
            function="limbeck.evaluation.job:train_and_test",
            config={
                "recipe": trial.recipe.to_dict(),
                "seed": self._seed(trial.label, network),
                "spec": material.spec.to_dict(),
                "label_kind": material.label_kind,
                "device": str(self.device),
                "precision": str(self.dtype).removeprefix("torch."),
                "versions": {"torch": torch.__version__, **providers(trial.recipe)},
            },
            tensors={
                "images": material.images,
                "labels": material.labels,
                "group": material.group,
                "test_images": self.test.images,
                "test_labels": self.test.labels,
                **{PROJECTOR + key: value for key, value in material.projector.items()},
                **{FORMATION + key: value for key, value in material.formation.items()},
                **{PREPROCESSING + key: value for key, value in material.spec.tensors().items()},
            },
            name=f"{trial.label}, network {network + 1} of {trial.networks}",
        )


def providers(recipe: Recipe) -> dict[str, str]:
    """Return what a recipe's components come from, so that other code is never taken for the same network.

    A file given with ``-p`` has no version; a digest of its text stands for one.
    """
    used = [("networks", recipe.network), ("label_projectors", recipe.labels["name"])]
    used += [("formations", recipe.formation["name"])]
    used += [("augmentations", recipe.augmentation["name"])] if recipe.augmentation else []
    entries = [registry().entry(kind, name) for kind, name in used]
    return {entry.distribution: entry.revision for entry in entries}


@dataclass
class _Pending:
    """A row whose networks arrive one by one, in any order."""

    trial: Trial
    materials: list[Material]
    results: dict[int, Result] = field(default_factory=dict)

    def finish(self) -> Evaluation:
        """Return the row, its networks in order."""
        trial, material = self.trial, self.materials[0]
        results = [self.results[network] for network in range(trial.networks)]
        return Evaluation(
            label=trial.label,
            protocol=trial.recipe.protocol,
            recipe=trial.recipe.to_dict(),
            accuracies=[result["accuracy"] for result in results],
            per_class=_mean_per_class([result["per_class"] for result in results]),
            bytes=material.bytes,
            images=len(material.images),
            seconds=sum(result["seconds"] for result in results),
            label_kind=material.label_kind,
        )


def _mean_per_class(rows: Sequence[Sequence[float | None]]) -> list[float]:
    """Average over networks; NaN where the test set has none of a class."""
    table = [[math.nan if value is None else value for value in row] for row in rows]
    return [sum(column) / len(column) for column in zip(*table, strict=True)]
