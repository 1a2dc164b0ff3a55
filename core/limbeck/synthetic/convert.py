"""Turning a set into another form, and what that costs in accuracy."""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from limbeck.data import DataSet
from limbeck.errors import UsageError
from limbeck.evaluation import Evaluation, Recipe, evaluate_set
from limbeck.files import PART
from limbeck.synthetic.sets import SyntheticSet

COST = "storage_cost"
"""Where the figures of a set keep what its number format cost."""


@contextlib.contextmanager
def new_folder(place: Path) -> Iterator[Path]:
    """Yield a hidden folder beside ``place`` that takes its name at the end, or vanishes on an error.

    Raises:
        UsageError: ``place`` exists, or cannot be made.
    """
    _require_free(place)
    hidden = place.with_name(f".{place.name}.{os.getpid()}{PART}")
    try:
        hidden.mkdir(parents=True)
        yield hidden
        _require_free(place)
        hidden.rename(place)
    except OSError as error:
        raise UsageError(f"cannot write {place}: {error.strerror}. Choose another place.") from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _require_free(place: Path) -> None:
    if place.exists() or place.is_symlink():
        raise UsageError(f"{place} exists already and is not overwritten. Choose another place, or remove it first.")


def storage_cost(
    before: SyntheticSet,
    after: SyntheticSet,
    data: DataSet,
    *,
    networks: int,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """Measure a set in two number formats with the same networks: same recipe, seeds, order and augmentation.

    Args:
        before: the set as it was.
        after: the same images in another storage.
        data: real images to test on.
        networks: trained on each of the two, from equal initial weights pairwise.
        seed: the evaluation's seed.
        device: where they train.

    Returns:
        Both accuracies (mean, population deviation, each network's), the difference in percentage points (negative
        is a loss) and its standard error over pairs of networks, None for a single pair.
    """
    recipe = Recipe.from_dict(before.recipe)
    row = evaluate_set(before, data, recipe, networks=networks, seed=seed, device=device)
    rows = [row, row]
    if before.storage != after.storage:
        rows[1] = evaluate_set(after, data, recipe, networks=networks, seed=seed, device=device)
    differences = [100 * (y - x) for x, y in zip(rows[0].accuracies, rows[1].accuracies, strict=True)]
    error = statistics.stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else None
    return {
        "network": recipe.network,
        "protocol": recipe.protocol,
        "networks": networks,
        "seed": seed,
        "before": {"storage": before.storage, **_figures(rows[0])},
        "after": {"storage": after.storage, **_figures(rows[1])},
        "points": statistics.fmean(differences),
        "standard_error": error,
    }


def _figures(row: Evaluation) -> dict[str, Any]:
    return {"mean": row.mean, "std": row.std, "accuracies": row.accuracies, "bytes": row.bytes}
