"""Parts of a data set: some classes, a long tail, a few images a class, whitened pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from limbeck.config import View
from limbeck.data.dataset import DataSet
from limbeck.data.real import RealData
from limbeck.data.whitening import Whitening
from limbeck.errors import UsageError, unknown_name
from limbeck.seeding import generator


def view_of(data: DataSet, view: View, seed: int) -> DataSet:
    """Return the part of a data set that a view names; ``seed`` draws which images stay.

    Raises:
        UsageError: a class that the data does not have, or one named twice.
    """
    if view.classes is not None:
        data = _with_classes(data, view.classes)
    if view.imbalance is not None:
        data = _thinned(data, _long_tail(data.train.labels, view.imbalance), generator(seed, "data", "imbalance"))
    if view.max_per_class is not None:
        limits = [view.max_per_class] * data.spec.num_classes
        data = _thinned(data, limits, generator(seed, "data", "max_per_class"))
    return _whitened(data) if view.preprocessing == "zca" and data.spec.whitening is None else data


def split_view(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a data set's name and options, and the settings of the view on it."""
    named = {key: value for key, value in settings.items() if key not in View.model_fields}
    return named, {key: value for key, value in settings.items() if key in View.model_fields}


def _with_classes(data: DataSet, classes: Sequence[int | str]) -> DataSet:
    chosen = [_class_id(each, data.spec.class_names, data.spec.name) for each in classes]
    if len(set(chosen)) < len(chosen):
        twice = next(each for position, each in enumerate(chosen) if each in chosen[:position])
        raise UsageError(f"class {twice} ('{data.spec.class_names[twice]}') of '{data.spec.name}' is named twice.")
    spec = replace(data.spec, num_classes=len(chosen), class_names=tuple(data.spec.class_names[c] for c in chosen))
    renumbered = torch.full((data.spec.num_classes,), -1)
    renumbered[torch.tensor(chosen)] = torch.arange(len(chosen))

    def part(real: RealData) -> RealData:
        labels = renumbered.to(real.device)[real.labels]
        kept = (labels >= 0).nonzero().flatten()
        return RealData(real.images[kept], labels[kept], spec, device=real.device, dtype=real.dtype)

    return DataSet(spec, part(data.train), part(data.test))


def _class_id(asked: int | str, names: Sequence[str], data: str) -> int:
    if isinstance(asked, str) and asked in names:
        return names.index(asked)
    if isinstance(asked, str) and not asked.isdigit():
        raise unknown_name(f"class of '{data}'", asked, list(names))
    number = int(asked)
    if not 0 <= number < len(names):
        raise UsageError(f"class {number} was asked for, but '{data}' has classes 0 to {len(names) - 1}.")
    return number


def _long_tail(labels: Tensor, imbalance: float) -> list[int]:
    """Return the images each class keeps: n_max * imbalance^(-c / (C - 1)), rounded down (arXiv:1901.05555, sec. 5)."""
    counts = torch.bincount(labels)
    most, last = int(counts.max()), max(len(counts) - 1, 1)
    return [max(1, int(most * imbalance ** (-c / last) + 1e-9)) for c in range(len(counts))]


def _thinned(data: DataSet, limits: Sequence[int], rng: torch.Generator) -> DataSet:
    """Keep at most ``limits[c]`` training images of class c; the test part stays."""
    kept = choose(data.train.labels.cpu(), lambda label, size: min(size, limits[label]), rng)
    return DataSet(data.spec, data.train.subset(kept.to(data.train.device)), data.test)


def choose(labels: Tensor, count: Callable[[int, int], int], rng: torch.Generator) -> Tensor:
    """Draw ``count(class, size)`` images of every class without replacement; indices ascend."""
    chosen = []
    for label, members in enumerate(torch.split(labels.argsort(stable=True), torch.bincount(labels).tolist())):
        order = torch.randperm(len(members), generator=rng)
        chosen.append(members[order[: count(label, len(members))]])
    return torch.cat(chosen).sort().values


def _whitened(data: DataSet) -> DataSet:
    spec = replace(data.spec, whitening=Whitening.fit(data.train.images))
    return DataSet(spec, data.train.seen_as(spec), data.test.seen_as(spec))
