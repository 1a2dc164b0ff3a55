"""Turning what ``fit`` was given for all networks into what each of them gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from limbeck import seeding
from limbeck.augment.base import Augmentation
from limbeck.errors import DataError, UsageError
from limbeck.networks.functional import FunctionalNetwork, State
from limbeck.synthetic.labels import LabelProjector
from limbeck.training.data import Samples
from limbeck.training.losses import known
from limbeck.training.task import Streams, Task

ORDERS = ("independent", "shared")


class OwnStreams:
    """The two generators of one network's training."""

    def __init__(self, train: torch.Generator, augment: torch.Generator) -> None:
        self.train, self.augment = train, augment


def per_network(name: str, value: float | Sequence[float], count: int) -> list[float]:
    """Return one number per network from one for all or one each."""
    if isinstance(value, Sequence):
        if len(value) != count:
            raise _miscounted(name, len(value), count)
        return [float(each) for each in value]
    return [float(value)] * count


def start_state(network: FunctionalNetwork, start: int | State) -> State:
    """Return the state given, or the initial one of the seed given."""
    if isinstance(start, Mapping):
        return start
    return network.initial(seeding.generator(start, "init", device=network.device))


def make_streams(
    tasks: Sequence[Task],
    start: Sequence[int] | Sequence[State],
    seeds: Sequence[int] | None,
    generators: Sequence[Streams] | None,
    order: str,
    order_seed: int,
    device: torch.device,
) -> list[Streams]:
    """Return each network's generators; with ``order="shared"`` all orders are drawn alike."""
    known("order", order, ORDERS)
    if generators is not None:
        streams = list(generators)
    else:
        own = [each for each in (start if seeds is None else seeds) if not isinstance(each, Mapping)]
        if not own and len(start):
            raise UsageError(
                "networks that start from states have no seed for order and augmentation: "
                "give seeds=[...] or generators=[...], one per network."
            )
        streams = [
            OwnStreams(
                seeding.generator(seed, "train", device=device),
                seeding.generator(seed, "augment", device=device),
            )
            for seed in own
        ]
    if len(streams) != len(start):
        raise _miscounted("seeds or generators", len(streams), len(start))
    if order == "independent":
        return streams
    if len({len(task.data) for task in tasks}) > 1:
        raise UsageError("order='shared' needs data of equal length; use order='independent'.")
    return [OwnStreams(seeding.generator(order_seed, "order", device=device), own.augment) for own in streams]


def make_tasks(
    count: int,
    data: Samples | Sequence[Samples],
    labels: Tensor | LabelProjector | None,
    sample_weights: Tensor | None,
    class_mask: Tensor | None,
    augmentation: Augmentation | None,
    device: torch.device,
) -> list[Task]:
    """Return what each of ``count`` networks learns, its tensors on ``device``."""
    sets = list(data) if isinstance(data, Sequence) else [data] * count
    if len(sets) != count:
        raise _miscounted("data", len(sets), count)
    return [
        _checked(
            Task(
                data=own,
                labels=_labels_of(labels, own, position, count, device),
                weights=_row("sample_weights", sample_weights, 1, position, count, device),
                class_mask=_row("class_mask", class_mask, 1, position, count, device),
                augmentation=augmentation,
            )
        )
        for position, own in enumerate(sets)
    ]


def _labels_of(
    labels: Tensor | LabelProjector | None, data: Samples, position: int, count: int, device: torch.device
) -> Tensor | LabelProjector:
    if isinstance(labels, LabelProjector):
        return labels
    given = data.labels if labels is None else labels
    row = _row("labels", given, 2 if given.is_floating_point() else 1, position, count, device)
    return given if row is None else row


def _row(
    name: str, value: Tensor | None, dimensions: int, position: int, count: int, device: torch.device
) -> Tensor | None:
    """Return network ``position``'s part of a tensor that is shared or has one more axis, the networks'."""
    if value is None:
        return None
    if value.dim() == dimensions + 1:
        if len(value) != count:
            raise _miscounted(name, len(value), count)
        value = value[position]
    elif value.dim() != dimensions:
        raise DataError(
            f"{name} has shape {list(value.shape)}: give {dimensions} axes for all networks, "
            f"or {dimensions + 1} with the networks first."
        )
    return value.detach().to(device)


def _checked(task: Task) -> Task:
    size = len(task.data)
    if not size:
        raise DataError("there is nothing to train on: the data hold no image.")
    for name, value in (("labels", task.labels), ("sample_weights", task.weights)):
        if isinstance(value, Tensor) and len(value) != size:
            raise DataError(f"{len(value)} {name} were given for {size} images: give one per image.")
    if task.weights is not None and task.augmentation is not None and task.augmentation.mixes_labels:
        raise UsageError(
            f"sample_weights belong to single images, but augmentation '{task.augmentation.name}' blends images: "
            "leave the weights out, or train with another augmentation."
        )
    labels, mask = task.labels, task.class_mask
    if mask is not None and isinstance(labels, Tensor) and not labels.is_floating_point():
        outside = ~mask[labels] if task.weights is None else ~mask[labels] & (task.weights != 0)
        if bool(outside.any()):
            raise DataError(
                f"class_mask leaves out classes of {int(outside.sum())} training images: "
                "allow those classes, or give the images weight 0."
            )
    return task


def _miscounted(name: str, found: int, count: int) -> UsageError:
    return UsageError(f"{name}: {found} given for {count} networks. Give one for all, or one per network.")
