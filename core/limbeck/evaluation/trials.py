"""Rows of an evaluation as independent jobs, one per network, and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from limbeck.config import names_in
from limbeck.data import DataSpec, RealData
from limbeck.errors import UsageError
from limbeck.evaluation.job import FORMATION, PREPROCESSING, PROJECTOR
from limbeck.evaluation.recipe import Recipe
from limbeck.evaluation.rows import Evaluation
from limbeck.evaluation.validation import Split
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
        validation: the training images of which some are kept aside, where learning rates are searched.
    """

    test: RealData
    seed: int
    device: torch.device
    dtype: torch.dtype
    executor: Executor
    validation: Split | None = None

    def rows(
        self,
        trials: Sequence[Trial],
        cache: Path | None = None,
        on_network: OnNetwork | None = None,
        on_row: OnRow | None = None,
    ) -> list[Evaluation]:
        """Train the networks of all trials, as one batch of jobs, and return a row for each.

        Trials whose recipes search a learning rate train one network for each rate before, as a batch of its own.

        Raises:
            UsageError: a trial without networks.
        """
        searches = self._search(trials, cache)
        pending = [_Pending(trial, searches[trial.label], self._materials(trial)) for trial in trials]
        places = [(row, network) for row in pending for network in range(row.trial.networks)]

        def arrive(index: int, result: Result) -> None:
            row, network = places[index]
            row.results[network] = result
            if on_network is not None:
                on_network(row.trial.label, network, result)
            if on_row is not None and len(row.results) == row.trial.networks:
                on_row(row.finish())

        jobs = [
            self._job(
                row.recipe,
                row.materials[network],
                self._seed(row.trial.label, network),
                f"{row.trial.label}, network {network + 1} of {row.trial.networks}",
            )
            for row, network in places
        ]
        self.executor.run(jobs, cache, arrive)
        return [row.finish() for row in pending]

    def _search(self, trials: Sequence[Trial], cache: Path | None) -> dict[str, Search]:
        """Try the rates of each trial's recipe, all with the same seed, on the training images kept aside."""
        places, jobs = [], []
        held = None if self.validation is None else self.validation.held
        for trial in trials:
            if not trial.recipe.lr_search:
                continue
            seed = self._seed(trial.label, "lr")
            material = trial.material(seed)
            for rate in trial.recipe.lr_search:
                recipe = trial.recipe.with_(lr=rate, evaluate_every=0)
                places.append((trial.label, rate))
                jobs.append(self._job(recipe, material, seed, f"{trial.label}, learning rate {rate}", held))
        found: dict[str, dict[float, Result]] = {trial.label: {} for trial in trials}
        for (label, rate), result in zip(places, self.executor.run(jobs, cache) if jobs else (), strict=True):
            found[label][rate] = result
        return {label: _searched(results, 0 if held is None else len(held)) for label, results in found.items()}

    def _seed(self, label: str, network: int | str) -> int:
        """Return the seed of one network, from which all its chance comes."""
        return derive_seed(self.seed, "eval", label, network)

    def _materials(self, trial: Trial) -> list[Material]:
        if trial.networks < 1:
            raise UsageError(f"{trial.networks} evaluation networks were asked for: give 1 or more.")
        return [trial.material(self._seed(trial.label, network)) for network in range(trial.networks)]

    def _job(self, recipe: Recipe, material: Material, seed: int, name: str, test: RealData | None = None) -> Job:
        """Return the job of one network, which holds nothing of the recipe that does not concern it."""
        test = test or self.test
        return Job(
            function="limbeck.evaluation.job:train_and_test",
            config={
                "recipe": recipe.with_(lr_search=(), selection="last", best_of=1.0).to_dict(),
                "seed": seed,
                "spec": material.spec.to_dict(),
                "label_kind": material.label_kind,
                "device": str(self.device),
                "precision": str(self.dtype).removeprefix("torch."),
                "versions": {"torch": torch.__version__, **providers(recipe)},
            },
            tensors={
                "images": material.images,
                "labels": material.labels,
                "group": material.group,
                "test_images": test.images,
                "test_labels": test.labels,
                **{PROJECTOR + key: value for key, value in material.projector.items()},
                **{FORMATION + key: value for key, value in material.formation.items()},
                **{PREPROCESSING + key: value for key, value in material.spec.tensors().items()},
            },
            name=name,
        )


@dataclass(frozen=True)
class Search:
    """What a search of learning rates found.

    Attributes:
        tried: validation accuracy of each rate, in [0, 1]; empty where none was searched.
        images: how many the rates were compared on.
        seconds: what it took.
    """

    tried: Mapping[float, float]
    images: int = 0
    seconds: float = 0.0

    def chosen(self, recipe: Recipe) -> Recipe:
        """Return the recipe with the best rate, the first of equals."""
        return recipe.with_(lr=max(self.tried, key=lambda rate: self.tried[rate])) if self.tried else recipe


def _searched(results: Mapping[float, Result], images: int) -> Search:
    tried = {rate: result["accuracy"] for rate, result in results.items()}
    return Search(tried, images if tried else 0, sum(result["seconds"] for result in results.values()))


def providers(recipe: Recipe) -> dict[str, str]:
    """Return what a recipe's components come from, so that other code is never taken for the same network.

    A file given with ``-p`` has no version; a digest of its text stands for one.
    """
    used = [("networks", recipe.network), ("label_projectors", recipe.labels["name"])]
    used += [("formations", recipe.formation["name"])]
    used += [("augmentations", name) for name in names_in(recipe.augmentation)]
    entries = [registry().entry(kind, name) for kind, name in used]
    return {entry.distribution: entry.revision for entry in entries}


@dataclass
class _Pending:
    """A row whose networks arrive one by one, in any order."""

    trial: Trial
    search: Search
    materials: list[Material]
    results: dict[int, Result] = field(default_factory=dict)

    @property
    def recipe(self) -> Recipe:
        """How its networks are trained, at the rate that was found."""
        return self.search.chosen(self.trial.recipe)

    def finish(self) -> Evaluation:
        """Return the row, its networks in order."""
        trial, material, recipe = self.trial, self.materials[0], self.recipe
        results = [self.results[network] for network in range(trial.networks)]
        return Evaluation(
            label=trial.label,
            protocol=recipe.protocol,
            recipe=recipe.to_dict(),
            accuracies=[result["accuracy"] for result in results],
            per_class=_mean_per_class([result["per_class"] for result in results]),
            bytes=material.bytes,
            images=len(material.images),
            seconds=sum(result["seconds"] for result in results) + self.search.seconds,
            label_kind=material.label_kind,
            selection=recipe.selection,
            best=[_best(result, recipe) for result in results] if recipe.evaluate_every else None,
            tests=results[0]["tests"] if recipe.evaluate_every else [],
            curves=[result["curve"] for result in results] if recipe.evaluate_every else [],
            lr_searched={str(rate): accuracy for rate, accuracy in self.search.tried.items()},
            validation_images=self.search.images,
        )


def _best(result: Result, recipe: Recipe) -> float:
    tests = zip(result["tests"], result["curve"], strict=True)
    return max(float(found) for done, found in tests if recipe.counts(done))


def _mean_per_class(rows: Sequence[Sequence[float | None]]) -> list[float]:
    """Average over networks; NaN where the test set has none of a class."""
    table = [[math.nan if value is None else value for value in row] for row in rows]
    return [sum(column) / len(column) for column in zip(*table, strict=True)]
