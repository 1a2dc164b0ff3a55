"""What a set is measured beside: random real images, at equal number and equal bytes, and all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from limbeck.config import BASELINES, Baseline
from limbeck.data import DataSet, RealData
from limbeck.data.selector import draw
from limbeck.errors import UsageError
from limbeck.evaluation.measure import check_fit, make_measurement, material_of
from limbeck.evaluation.recipe import Recipe
from limbeck.evaluation.rows import Evaluation
from limbeck.evaluation.trials import Material, Measurement, OnNetwork, OnRow, Trial
from limbeck.execution.executors import Executor
from limbeck.plugins import registry
from limbeck.seeding import generator
from limbeck.synthetic import LabelProjector, SyntheticSet

PROJECTORS = "label_projectors."
"""Prefix of the tensors of label projectors among those that travel with a set."""

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
    a random row wants gives all it has. Where the recipe searches a learning rate, each row finds its own, and
    random rows draw none of the images that rates are compared on; the whole set keeps the recipe's ``lr``.

    Further rows tell what labels and augmentation are worth (arXiv:2505.13300): "random_soft", random images with
    the set's own label projector; "synthetic_hard", the set with classes for labels; "synthetic_plain" and
    "random_plain", the set and random images without augmentation, both with the set's kind of labels.

    Args:
        synthetic: the set.
        data: the real set it stands for.
        recipe: how networks are trained on the synthetic and the random images.
        baselines: which rows stand beside it.
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
        The row "synthetic", then the baselines' in the order of ``limbeck.config.Baseline``, "whole" last.

    Raises:
        UsageError: no network asked for, set and data differ in shape or classes, the loss does not fit the labels,
            or a baseline that does not exist for this set.
    """
    check_fit(synthetic.spec, data.spec)
    recipe.check_labels(synthetic.label_kind)
    for label in baselines:
        reason = obstacle(label, synthetic.label_kind, recipe)
        if reason:
            raise UsageError(f"row '{label}' cannot be measured: {reason}. Leave it out of evaluation.baselines.")
    measurement = make_measurement(data, seed, device, dtype, executor, search=bool(recipe.lr_search))
    own = material_of(synthetic, data, recipe, measurement)
    real = by_class(data.train)
    rest = real if measurement.validation is None else real.subset(measurement.validation.rest)
    wanted = ("synthetic", *baselines)
    trials = [
        Trial("synthetic", recipe, networks, lambda _: own),
        *_random_trials(synthetic, recipe, own, rest, networks),
        *_own_trials(synthetic, data, recipe, own, measurement, networks, wanted),
    ]
    rows = measurement.rows([trial for trial in trials if trial.label in wanted], cache, on_result, on_row)
    if "whole" in wanted:
        count = whole_networks(networks, len(real), measurement.device)
        short = whole_recipe(_for_real(recipe), len(real))
        whole = Trial("whole", short, count, lambda _: _pixels(real, slice(None)))
        rows += measurement.rows([whole], whole_cache or cache, on_result, on_row)
    return rows


def obstacle(label: Baseline, label_kind: str, recipe: Recipe) -> str:
    """Say why a row cannot be measured beside a set, or return nothing where it can.

    Args:
        label: the row.
        label_kind: of the labels stored with the set.
        recipe: how networks are trained on it.
    """
    is_soft = recipe.has_soft_labels(label_kind)
    if label in ("random_soft", "synthetic_hard") and not is_soft:
        return "the set's labels are classes already"
    if label.endswith("_plain") and recipe.augmentation is None:
        return "the recipe has no augmentation to leave out"
    projector: LabelProjector = registry().create("label_projectors", recipe.labels)
    if label in ("random_soft", "random_plain") and is_soft and not projector.labels_any_image:
        return "the soft labels belong to the set's own images, and nothing gives random ones the like"
    if label == "synthetic_plain" and projector.labels_views:
        return "the labels belong to augmented views"
    return ""


def rows_for_scores(label_kind: str, recipe: Recipe) -> tuple[Baseline, ...]:
    """Return the rows that the scores of a set need beside it (see ``scores``), those that can be measured.

    Args:
        label_kind: of the labels stored with the set.
        recipe: how networks are trained on it.
    """
    needed: tuple[Baseline, ...] = (
        "random",
        "random_soft",
        "random_plain",
        "synthetic_plain",
        "synthetic_hard",
        "whole",
    )
    return tuple(label for label in needed if not obstacle(label, label_kind, recipe))


def _for_real(recipe: Recipe) -> Recipe:
    return recipe.for_classes().with_(formation={"name": "identity"})


def _random_trials(
    synthetic: SyntheticSet, recipe: Recipe, own: Material, real: RealData, networks: int
) -> Iterator[Trial]:
    """Yield the rows of random images, drawn from ``real``, with their classes or with the set's own projector."""
    number = class_counts(synthetic)
    budget = [images_for_bytes(own.bytes, real)] * real.spec.num_classes
    classes = _for_real(recipe)
    soft = recipe.with_(formation={"name": "identity"})
    is_soft = recipe.has_soft_labels(synthetic.label_kind)

    def with_projector(seed: int) -> Material:
        drawn = random_material(real, number, seed)
        return replace(drawn, projector=own.projector, bytes=drawn.bytes + own.bytes - synthetic.bytes)

    def with_classes(seed: int) -> Material:
        return random_material(real, number, seed)

    yield Trial("random", classes, networks, with_classes)
    yield Trial("random_bytes", classes, networks, lambda seed: random_material(real, budget, seed))
    yield Trial("random_soft", soft, networks, with_projector)
    plain = (soft if is_soft else classes).with_(augmentation=None)
    yield Trial("random_plain", plain, networks, with_projector if is_soft else with_classes)


def _own_trials(
    synthetic: SyntheticSet,
    data: DataSet,
    recipe: Recipe,
    own: Material,
    measurement: Measurement,
    networks: int,
    wanted: Sequence[str],
) -> Iterator[Trial]:
    """Yield the rows of the set itself, with classes for labels and without augmentation."""
    yield Trial("synthetic_plain", recipe.with_(augmentation=None), networks, lambda _: own)
    if "synthetic_hard" in wanted:
        hard = recipe.for_classes()
        material = material_of(_with_classes(synthetic), data, hard, measurement)
        yield Trial("synthetic_hard", hard, networks, lambda _: material)


def _with_classes(synthetic: SyntheticSet) -> SyntheticSet:
    """Return the same images with classes for labels, and without what only gives them other labels."""
    labels = synthetic.labels if synthetic.label_kind == "hard" else synthetic.labels.argmax(1)
    state = {name: value for name, value in synthetic.component_state.items() if not name.startswith(PROJECTORS)}
    return synthetic.with_(labels=labels, label_kind="hard", component_state=state)


def whole_recipe(recipe: Recipe, size: int) -> Recipe:
    """Return the short recipe for a whole real set of ``size`` images: 10 epochs, or 30 for a small one.

    The learning rate falls to a tenth half way; batches are of 256, or of 64 for a small set, which otherwise sees
    too few updates to learn (96.6 against 99.3 per cent on digits). It is tested once, and no rate is searched. All
    else is the protocol's.
    """
    epochs, batch_size = (30, 64) if size < SMALL else (10, 256)
    return recipe.with_(
        epochs=epochs,
        schedule="step",
        cosine_share=1.0,
        best_of=1.0,
        milestones=(epochs // 2,),
        factor=0.1,
        batch_size=batch_size,
        evaluate_every=0,
        selection="last",
        lr_search=(),
        protocol="whole",
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
