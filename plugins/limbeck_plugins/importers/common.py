"""What importers of ``.pt`` files share: the statistics a project normalised with, and lists of experiments."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field
from torch import Tensor

from limbeck.config import Spec
from limbeck.data import DataSpec
from limbeck.errors import UsageError
from limbeck.options import Options

Columns = tuple[tuple[float, ...], tuple[float, ...]]

CIFAR10: Columns = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
IMAGENET: Columns = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

DC_STATISTICS: Mapping[str, Columns] = {
    "mnist": ((0.1307,), (0.3081,)),
    "fashion_mnist": ((0.2861,), (0.3530,)),
    "svhn": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
    "cifar10": CIFAR10,
    "cifar100": ((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762)),
    "tinyimagenet": IMAGENET,
}
"""Mean and deviation of VICO-UoE/DatasetCondensation, which DataDAM's code kept."""

MTT_STATISTICS: Mapping[str, Columns] = {
    **DC_STATISTICS,
    "cifar100": CIFAR10,
}
"""The same of GeorgeCazenavette/mtt-distillation and justincui03/tesla: CIFAR-100 with the numbers of CIFAR-10."""


class StatisticsOptions(Options):
    """What images were normalised with, where a file's project did not use its usual numbers."""

    mean: tuple[float, ...] | None = Field(
        None, description="of each channel, pixels in [0, 1]; the project's own for this data set when not given"
    )
    std: tuple[float, ...] | None = Field(None, description="likewise")


def their_spec(spec: DataSpec, table: Mapping[str, Columns], options: StatisticsOptions) -> DataSpec:
    """Return the data's specification with the statistics of the project, or those that the user gave.

    A data set that the project did not have keeps its own.
    """
    mean, std = table.get(spec.name.replace("-", "_"), (spec.mean, spec.std))
    return replace(spec, mean=options.mean or mean, std=options.std or std)


def convnet(spec: DataSpec, norm: str) -> str:
    """Return the field's usual network for images of this size: three blocks to 32 pixels, one more a doubling.

    Each block halves its maps, so images below 8 pixels have fewer.
    """
    depth = min(max(3, max(spec.shape[1:]).bit_length() - 3), min(spec.shape[1:]).bit_length() - 1)
    return f"convnet-d{depth}-w128-{norm}"


def component(spec: Spec | None) -> dict[str, Any] | None:
    """Return an option that names a component as a mapping; None and "none" are none."""
    return None if spec is None or spec.name == "none" else spec.model_dump()


def experiment_of(content: Any, number: int | None, path: Path) -> tuple[Tensor, Tensor, int, int]:
    """Return images and labels of one experiment of a list, which one it is, and of how many.

    Raises:
        UsageError: no such list, or no such experiment.
    """
    found = content.get("data") if isinstance(content, dict) else None
    if _is_pair(found):
        found = [found]
    if not isinstance(found, list | tuple) or not found or not all(map(_is_pair, found)):
        raise UsageError(
            f"{path} is no list of experiments: expected {{'data': [[images, labels], ...]}} with tensors inside. "
            "Choose another importer with --from."
        )
    index = len(found) - 1 if number is None else number
    if index >= len(found):
        raise UsageError(f"{path} has experiments 0 to {len(found) - 1}, and experiment={index} was asked for.")
    images, labels = found[index]
    return images, labels, index, len(found)


def _is_pair(value: Any) -> bool:
    is_two = isinstance(value, list | tuple) and len(value) == 2
    return is_two and all(isinstance(part, Tensor) for part in value)


def published_figures(content: Mapping[str, Any], index: int, count: int) -> dict[str, Any]:
    """Return the accuracies a list of experiments states for one of them, by network; empty when it states none.

    The file keeps those of all experiments behind each other, equally many for each.
    """
    stated = content.get("accs_all_exps")
    figures = {}
    for network, values in stated.items() if isinstance(stated, dict) else ():
        if not _are_numbers(values) or len(values) % count:
            continue
        length = len(values) // count
        own = [float(value) for value in values[index * length : (index + 1) * length]]
        figures[str(network)] = {"mean": statistics.fmean(own), "std": statistics.pstdev(own), "networks": length}
    return {"published": figures} if figures else {}


def _are_numbers(values: Any) -> bool:
    is_list = isinstance(values, Sequence) and not isinstance(values, str | bytes) and len(values) > 0
    return is_list and all(isinstance(value, int | float) and math.isfinite(value) for value in values)
