"""Scores that take out of an accuracy what labels and augmentation add to it.

Paper: Li et al., "DD-Ranking: Rethinking the Evaluation of Dataset Distillation" (arXiv:2505.13300). Their label
robust score (LRS) and augmentation robust score (ARS) lie in [0, 1]; a set that is worth no more than random images
and no less than all of them gets (1 - 1/e) / (e - 1/e) = 0.269. Accuracies are fractions here: the exponential of
per cents, which the public code 0.2 takes, explodes. Also different: accuracies are those of the last pass instead of
the best on the test set, learning rates are searched on training images kept aside if at all, and random images are
drawn anew for every network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from limbeck.errors import UsageError

if TYPE_CHECKING:
    from limbeck.evaluation.rows import Evaluation

WEIGHT = 0.5
"""Of the first of the two gains that a score weighs, as published."""


def label_robust_score(
    *, synthetic: float, random: float, synthetic_hard: float, whole: float, weight: float = WEIGHT
) -> float:
    """Return LRS = (e^l - e^-1) / (e - e^-1) with l = weight * IOR - (1 - weight) * HLR, in [0, 1].

    IOR = synthetic - random is the improvement over random images, HLR = whole - synthetic_hard what classes as
    labels lose against the whole real set.

    Args:
        synthetic: accuracy in [0, 1] of networks trained on the set with its own labels.
        random: on as many random real images with the same kind of labels.
        synthetic_hard: on the set with classes for labels; equal to ``synthetic`` where the labels are classes.
        whole: on all real images with their classes.
        weight: of the first gain, in [0, 1].

    Raises:
        UsageError: an accuracy or the weight is no fraction.
    """
    _check({"synthetic": synthetic, "random": random, "synthetic_hard": synthetic_hard, "whole": whole}, weight)
    return _score(weight * (synthetic - random) - (1 - weight) * (whole - synthetic_hard))


def augmentation_robust_score(
    *, synthetic: float, random: float, synthetic_plain: float, random_plain: float, weight: float = WEIGHT
) -> float:
    """Return ARS = (e^b - e^-1) / (e - e^-1) with b the gain over random images, weighed over two trainings.

    b = weight * (synthetic - random) + (1 - weight) * (synthetic_plain - random_plain).

    Args:
        synthetic: accuracy in [0, 1] of networks trained on the set with augmentation.
        random: on as many random real images with the same labels and augmentation.
        synthetic_plain: on the set without augmentation.
        random_plain: on random real images without augmentation.
        weight: of training with augmentation, in [0, 1].

    Raises:
        UsageError: an accuracy or the weight is no fraction.
    """
    given = {"synthetic": synthetic, "random": random, "synthetic_plain": synthetic_plain, "random_plain": random_plain}
    _check(given, weight)
    return _score(weight * (synthetic - random) + (1 - weight) * (synthetic_plain - random_plain))


def scores_of(rows: Sequence[Evaluation]) -> dict[str, Any]:
    """Return the scores of a set that was measured beside its baselines, and what they were made of.

    Args:
        rows: "synthetic" and what stands beside it; see ``baselines.rows_for_scores``.

    Returns:
        JSON values: ``lrs`` and ``ars``, each ``{"value", "inputs", "weight", "note"}`` where ``inputs`` are mean
        accuracies in [0, 1] of last passes by row. A score whose rows were not all measured is left out.
    """
    found = {row.label: row for row in rows}
    own = found.get("synthetic")
    if own is None:
        return {}
    is_soft = own.label_kind != "hard" or own.labels != "hard"
    random = "random_soft" if is_soft else "random"
    hard = "synthetic_hard" if is_soft else "synthetic"
    scores = {
        "lrs": _of(
            label_robust_score,
            found,
            {"synthetic": "synthetic", "random": random, "synthetic_hard": hard, "whole": "whole"},
        ),
        "ars": _of(
            augmentation_robust_score,
            found if own.augmentation != "none" else {},
            {
                "synthetic": "synthetic",
                "random": random,
                "synthetic_plain": "synthetic_plain",
                "random_plain": "random_plain",
            },
        ),
    }
    return {name: score for name, score in scores.items() if score is not None}


def _of(
    score: Callable[..., float], found: Mapping[str, Evaluation], needed: Mapping[str, str]
) -> dict[str, Any] | None:
    """Return a score with its inputs, or None where a row is missing or was measured on another network."""
    used = {argument: found[label] for argument, label in needed.items() if label in found}
    if len(used) < len(needed) or len({row.recipe["network"] for row in used.values()}) > 1:
        return None
    return {
        "value": score(**{argument: row.mean for argument, row in used.items()}),
        "inputs": {row.label: row.mean for row in used.values()},
        "weight": WEIGHT,
        "note": "; ".join([_note(used["random"]), *([_whole_note(used["whole"])] if "whole" in used else [])]),
    }


def _note(random: Evaluation) -> str:
    searched = f", each row's rate searched on {random.validation_images} training images kept aside"
    return f"last pass, random images drawn anew for each network{searched if random.lr_searched else ''}"


def _whole_note(whole: Evaluation) -> str:
    recipe = whole.recipe
    return (
        f"all real images by {recipe['epochs']} epochs of {recipe['optimiser']}, learning rate {recipe['lr']:g}, "
        f"batches of {recipe['batch_size']}, augmentation {whole.augmentation}"
    )


def _score(gain: float) -> float:
    return (math.exp(gain) - math.exp(-1)) / (math.e - math.exp(-1))


def _check(accuracies: Mapping[str, float], weight: float) -> None:
    for name, value in {**accuracies, "weight": weight}.items():
        if not 0 <= value <= 1:
            raise UsageError(
                f"{name} is {value:g}: scores are made of fractions from 0 to 1. Divide accuracies in per cent by 100."
            )
