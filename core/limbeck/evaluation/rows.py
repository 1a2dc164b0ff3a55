"""One row of an evaluation: what networks trained on one set of images achieved."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from limbeck.errors import ArtifactError
from limbeck.files import write_json

FILE = "evaluation.json"


@dataclass(frozen=True)
class Evaluation:
    """Test accuracies of networks trained from scratch on one set, all by one recipe.

    Attributes:
        label: what they were trained on ("synthetic", "random", "random_bytes", "whole").
        protocol: name of the procedure that set the recipe's numbers.
        recipe: how each network was trained.
        accuracies: of each network after its last epoch, in [0, 1].
        per_class: mean over networks for each class; NaN where the test set has none of it.
        bytes: what the set costs to keep, labels and label projector included.
        images: stored images.
        seconds: time spent training and testing, summed over networks.
        label_kind: "hard", "probabilities" or "logits": the labels stored with the images.
        selection: the epoch that is reported; "last" is never chosen by test accuracy.
    """

    label: str
    protocol: str
    recipe: dict[str, Any]
    accuracies: list[float]
    per_class: list[float]
    bytes: int
    images: int
    seconds: float
    label_kind: str = "hard"
    selection: str = "last"

    @property
    def networks(self) -> int:
        """Number of networks trained."""
        return len(self.accuracies)

    @property
    def mean(self) -> float:
        """Mean accuracy over networks."""
        return statistics.fmean(self.accuracies)

    @property
    def std(self) -> float:
        """Population standard deviation of the accuracies, as papers report it."""
        return statistics.pstdev(self.accuracies)

    @property
    def standard_error(self) -> float:
        """Standard error of the mean, from the sample deviation; NaN for a single network."""
        if self.networks < 2:
            return math.nan
        return statistics.stdev(self.accuracies) / math.sqrt(self.networks)

    @property
    def labels(self) -> str:
        """Name of the label projector the networks learned from."""
        return str(self.recipe["labels"]["name"])

    @property
    def augmentation(self) -> str:
        """Name of the augmentation they were trained with, or "none"."""
        return str((self.recipe.get("augmentation") or {"name": "none"})["name"])

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON values, derived figures included; NaN becomes null."""
        return {
            **asdict(self),
            "per_class": [None if math.isnan(value) else value for value in self.per_class],
            **{key: getattr(self, key) for key in _DERIVED},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Evaluation:
        """Read what ``to_dict`` wrote."""
        fields = {key: value for key, value in values.items() if key not in _DERIVED}
        fields["per_class"] = [math.nan if value is None else value for value in fields["per_class"]]
        return cls(**fields)


_DERIVED = ("networks", "mean", "std", "labels", "augmentation")


def save_rows(folder: Path, rows: Sequence[Evaluation]) -> None:
    """Write ``evaluation.json`` into a run folder, whole or not at all."""
    write_json(folder / FILE, {"rows": [row.to_dict() for row in rows]})


def load_rows(folder: Path) -> list[Evaluation]:
    """Read the rows of a run folder; none when it was not evaluated.

    Raises:
        ArtifactError: the file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return []
    try:
        return [Evaluation.from_dict(row) for row in json.loads(path.read_text())["rows"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise ArtifactError(
            f"{path} is truncated or altered. Delete it and measure again with 'limbeck evaluate'."
        ) from None
