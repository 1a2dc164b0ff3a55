"""What a set is measured beside: random real images, at equal number and equal bytes, and all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from limbeck.data import DataSet, RealData
from limbeck.data.selector import draw
from limbeck.evaluation.measure import Material, check_fit, make_measurement, material_of
from limbeck.evaluation.recipe import Recipe
from limbeck.evaluation.rows import Evaluation
from limbeck.execution.executors import Executor, Result
from limbeck.seeding import generator
from limbeck.synthetic import SyntheticSet

SMALL = 5000
"""Training images below which the whole set is cheap to train on."""

OnNetwork = Callable[[str, int, Result], None]
"""Told of a row's label, a network's number in it, and the network's result."""


def evaluate_with_baselines(
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
    whole_cache: Path | None = None,
    on_result: OnNetwork | None = None,
    on_row: Callable[[Evaluation], None] | None = None,
) -> list[Evaluation]:
    """Measure a set, random real images at its number and at its bytes, and the whole real set.

    Random rows draw afresh for every network. They and the whole set learn hard labels without a formation,
    and the whole set has a short recipe of its own, stated in its row.

    Args:
        synthetic: the set.
        data: the real set it stands for.
        recipe: how networks are trained on the synthetic and the random images.
        networks: how many for each of them.
        seed: the evaluation's seed.
        device: where networks train.
        dtype: ``torch.float32``, or ``torch.bfloat16`` for mixed precision.
        executor: runs the networks; one after the other by default.
        cache: folder of finished networks by content.
        whole_cache: the same for the whole set, which no synthetic set changes; ``cache`` by default.
        on_result: told of each network as it arrives.
        on_row: told of each finished row.

    Returns:
        Rows "synthetic", "random", "random_bytes" and "whole".

    Raises:
        UsageError: no network asked for, or set and data differ in shape or classes.
    """
    check_fit(synthetic.spec, data.spec)
    measurement = make_measurement(data, seed, device, dtype, executor)
    real, plain = data.train, recipe.with_(labels={"name": "hard"}, formation={"name": "identity"})
    own = material_of(synthetic, data, recipe, measurement)
    same_number = class_counts(synthetic)
    same_bytes = [images_for_bytes(own.bytes, real)] * real.spec.num_classes
    everything = _pixels(real, torch.arange(len(real), device=real.device))
    short, few = whole_recipe(plain, len(real)), whole_networks(networks, len(real), measurement.device)
    whole_folder = cache if whole_cache is None else whole_cache
    rows = []
    for label, how, count, material, folder in (
        ("synthetic", recipe, networks, lambda _: own, cache),
        ("random", plain, networks, lambda s: _random(real, same_number, s), cache),
        ("random_bytes", plain, networks, lambda s: _random(real, same_bytes, s), cache),
        ("whole", short, few, lambda _: everything, whole_folder),
    ):
        rows.append(measurement.row(label, how, count, material, folder, _labelled(on_result, label)))
        if on_row is not None:
            on_row(rows[-1])
    return rows


def whole_recipe(recipe: Recipe, size: int) -> Recipe:
    """Return the short recipe for a whole real set of ``size`` images: 10 epochs (30 for a small one).

    The learning rate falls to a tenth half way; batches are of 256; all else is the protocol's.
    """
    epochs = 30 if size < SMALL else 10
    return recipe.with_(
        epochs=epochs, milestones=(epochs // 2,), factor=0.1, batch_size=256, protocol="whole"
    )


def whole_networks(asked: int, size: int, device: torch.device) -> int:
    """Return the number of networks for the whole set: 5 where cheap, else 2; never more than asked."""
    return min(asked, 5 if size < SMALL or device.type == "cuda" else 2)


def images_for_bytes(budget: int, real: RealData) -> int:
    """Return how many real images of each class fit into ``budget`` bytes, at least 1.

    An image costs a byte per pixel and channel, and its label one byte (two above 256 classes).
    """
    return max(1, budget // (real.spec.num_classes * _image_bytes(real)))


def class_counts(synthetic: SyntheticSet) -> list[int]:
    """Return the images of each class; soft labels count as the class their group is numbered after."""
    classes = synthetic.labels if synthetic.labels.dim() == 1 else synthetic.group
    return torch.bincount(classes, minlength=synthetic.spec.num_classes).tolist()


def _random(real: RealData, counts: list[int], seed: int) -> Material:
    by_class = (
        real
        if real.group is real.labels
        else RealData(real.images, real.labels, real.spec, device=real.device)
    )
    return _pixels(real, draw(by_class, counts, generator(seed, "select")))


def _pixels(real: RealData, index: Tensor) -> Material:
    labels = real.labels[index]
    return Material(real.images[index], labels, labels, real.spec, len(index) * _image_bytes(real))


def _image_bytes(real: RealData) -> int:
    return real.images[0].numel() + (1 if real.spec.num_classes <= 256 else 2)


def _labelled(on_result: OnNetwork | None, label: str) -> Callable[[int, Result], None] | None:
    return None if on_result is None else lambda index, result: on_result(label, index, result)
