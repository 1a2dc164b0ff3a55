"""What a set is measured beside: random real images, at equal number and equal bytes, and all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from limbeck.config import BASELINES, Baseline
from limbeck.data import DataSet, RealData
from limbeck.data.selector import draw
from limbeck.evaluation.measure import check_fit, make_measurement, material_of
from limbeck.evaluation.recipe import Recipe
from limbeck.evaluation.rows import Evaluation
from limbeck.evaluation.trials import Material, OnNetwork, OnRow, Trial
from limbeck.execution.executors import Executor
from limbeck.seeding import generator
from limbeck.synthetic import SyntheticSet

SMALL = 5000
"""Training images below which the whole set is cheap to train on."""


def evaluate_with_baselines(
    synthetic: SyntheticSet,
    data: DataSet,
    recipe: Recipe,
    *,
    baselines: Sequence[Baseline] = BASELINES,
    networks: int = 5,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    executor: Executor | None = None,
    cache: Path | None = None,
    whole_cache: Path | None = None,
    on_result: OnNetwork | None = None,
    on_row: OnRow | None = None,
) -> list[Evaluation]:
    """Measure a set, random real images at its number and at its bytes, and the whole real set.

    Random rows draw afresh for every network. They and the whole set learn hard labels without a formation,
    and the whole set has a short recipe of its own, stated in its row. A class with fewer real images than
    a random row wants gives all it has.

    Args:
        synthetic: the set.
        data: the real set it stands for.
        recipe: how networks are trained on the synthetic and the random images.
        baselines: which of "random", "random_bytes" and "whole" stand beside it.
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
        The row "synthetic", then the baselines' in the order random, random_bytes, whole.

    Raises:
        UsageError: no network asked for, or set and data differ in shape or classes.
    """
    check_fit(synthetic.spec, data.spec)
    measurement = make_measurement(data, seed, device, dtype, executor)
    own = material_of(synthetic, data, recipe, measurement)
    plain = recipe.with_(labels={"name": "hard"}, formation={"name": "identity"})
    real = by_class(data.train)
    same_number = class_counts(synthetic)
    same_bytes = [images_for_bytes(own.bytes, real)] * real.spec.num_classes
    trials = [
        Trial("synthetic", recipe, networks, lambda _: own),
        Trial("random", plain, networks, lambda seed: random_material(real, same_number, seed)),
        Trial("random_bytes", plain, networks, lambda seed: random_material(real, same_bytes, seed)),
    ]
    whole = Trial(
        "whole",
        whole_recipe(plain, len(real)),
        whole_networks(networks, len(real), measurement.device),
        lambda _: _pixels(real, slice(None)),
    )
    wanted = ("synthetic", *baselines)
    rows = measurement.rows([trial for trial in trials if trial.label in wanted], cache, on_result, on_row)
    if "whole" in wanted:
        rows += measurement.rows([whole], whole_cache or cache, on_result, on_row)
    return rows


def whole_recipe(recipe: Recipe, size: int) -> Recipe:
    """Return the short recipe for a whole real set of ``size`` images: 10 epochs, or 30 for a small one.

    The learning rate falls to a tenth half way; batches are of 256, or of 64 for a small set, which otherwise sees
    too few updates to learn (96.6 against 99.3 per cent on digits). All else is the protocol's.
    """
    epochs, batch_size = (30, 64) if size < SMALL else (10, 256)
    return recipe.with_(epochs=epochs, milestones=(epochs // 2,), factor=0.1, batch_size=batch_size, protocol="whole")


def whole_networks(asked: int, size: int, device: torch.device) -> int:
    """Return the number of networks for the whole set: 5 where cheap, else 2; never more than asked."""
    return min(asked, 5 if size < SMALL or device.type == "cuda" else 2)


def images_for_bytes(budget: int, real: RealData) -> int:
    """Return how many real images of each class fit into ``budget`` bytes, at least 1.

    An image costs a byte per pixel and channel, and its label one byte (two above 256 classes).
    """
    return max(1, budget // (real.spec.num_classes * _image_bytes(real)))


def class_counts(synthetic: SyntheticSet) -> list[int]:
    """Return the images of each class; one with soft labels counts for the class its group is numbered as."""
    classes = synthetic.labels if synthetic.labels.dim() == 1 else synthetic.group
    return torch.bincount(classes, minlength=synthetic.spec.num_classes).tolist()


def by_class(real: RealData) -> RealData:
    """Return the same images grouped by their class."""
    if real.group is real.labels:
        return real
    return RealData(real.images, real.labels, real.spec, device=real.device, dtype=real.dtype)


def random_material(real: RealData, counts: list[int], seed: int) -> Material:
    """Draw real images of each class for the network of one seed."""
    return _pixels(real, draw(real, counts, generator(seed, "select")))


def _pixels(real: RealData, index: Tensor | slice) -> Material:
    labels = real.labels[index]
    return Material(real.images[index], labels, labels, real.spec, len(labels) * _image_bytes(real))


def _image_bytes(real: RealData) -> int:
    return real.images[0].numel() + (1 if real.spec.num_classes <= 256 else 2)
