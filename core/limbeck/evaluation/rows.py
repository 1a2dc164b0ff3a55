"""One row of an evaluation: what networks trained on one set of images achieved."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from limbeck.errors import ArtifactError
from limbeck.evaluation.recipe import STORED_LABELS, Recipe
from limbeck.evaluation.scores import scores_of
from limbeck.files import read_json, signed, write_json

FILE = "evaluation.json"


@dataclass(frozen=True)
class Evaluation:
    """Test accuracies of networks trained from scratch on one set, all by one recipe.

    Attributes:
        label: what they were trained on ("synthetic", "random", "random_bytes", "whole").
        protocol: name of the procedure that set the recipe's numbers.
        recipe: how each network was trained.
        accuracies: of each network after its last pass, in [0, 1]; ``mean`` and ``std`` are theirs.
        per_class: mean over networks for each class; NaN where the test set has none of it.
        bytes: what the set costs to keep, labels and label projector included.
        images: stored images.
        seconds: time spent training and testing, summed over networks.
        label_kind: "hard", "probabilities" or "logits": the labels stored with the images.
        selection: which of the two the protocol reports, "last" or "best"; both are kept apart here.
        best: of each network the highest of its tests, so chosen on the test set and optimistic; None where it was
            tested only once.
        tests: finished passes after which every network was tested; empty where that was only the last.
        curves: accuracies at those passes, one list per network.
        lr_searched: validation accuracy in [0, 1] of every rate tried, by the rate as text; empty where none was.
        validation_images: real training images that the rates were compared on.
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
    best: list[float] | None = None
    tests: list[int] = field(default_factory=list)
    curves: list[list[float]] = field(default_factory=list)
    lr_searched: dict[str, float] = field(default_factory=dict)
    validation_images: int = 0

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
    def best_mean(self) -> float | None:
        """Mean over networks of the best tests, or None; never to be set beside a ``mean`` without its note."""
        return None if self.best is None else statistics.fmean(self.best)

    @property
    def best_std(self) -> float | None:
        """Population standard deviation of the best tests, or None."""
        return None if self.best is None else statistics.pstdev(self.best)

    @property
    def best_note(self) -> str:
        """How the best was chosen, to be written wherever it is shown; empty where there is none."""
        if self.best is None:
            return ""
        recipe = Recipe.from_dict(self.recipe)
        number = sum(recipe.counts(done) for done in self.tests)
        late = "" if recipe.best_of == 1 else f" of the last {100 * recipe.best_of:g} % of passes"
        return f"best of {number} test{'' if number == 1 else 's'}{late} on the test set, optimistic"

    @property
    def lr(self) -> float:
        """Learning rate the networks were trained with, found by the search where there was one."""
        return float(self.recipe["lr"])

    @property
    def labels(self) -> str:
        """Name of the label projector the networks learned from; "soft" for soft labels stored with the images."""
        name = str(self.recipe["labels"]["name"])
        return "soft" if name == STORED_LABELS["name"] and self.label_kind != "hard" else name

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


_DERIVED = ("networks", "mean", "std", "best_mean", "best_std", "best_note", "lr", "labels", "augmentation")


def save_rows(folder: Path, rows: Sequence[Evaluation]) -> None:
    """Write ``evaluation.json`` into a run folder, whole or not at all; what scores the rows give stand in it."""
    write_json(folder / FILE, signed({"rows": [row.to_dict() for row in rows], "scores": scores_of(rows)}))


def load_rows(folder: Path) -> list[Evaluation]:
    """Read the rows of a run folder; none when it was not evaluated.

    Raises:
        ArtifactError: the file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return []
    try:
        return [Evaluation.from_dict(row) for row in read_json(path)["rows"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise ArtifactError(
            f"{path} is truncated or altered. Delete it and measure again with 'limbeck evaluate'."
        ) from None
