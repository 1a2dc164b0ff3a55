"""What a comparison is about, kept in its folder: with the rows, all that its tables and its page are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from limbeck.compare.rows import WHOLE, Row
from limbeck.config import read_yaml
from limbeck.errors import UsageError
from limbeck.runs import CONFIG

RUNS = "runs"
"""Where run folders lie below a comparison's."""

OF_THE_SET = ("labels", "formation", "made_with", "learned_lr")
"""Parts of a recipe that belong to the set, and may differ where everything else is equal."""


@dataclass(frozen=True)
class Place:
    """Where a row stands in the table, measured or not.

    Attributes:
        method: name of the method, or ``WHOLE``.
        ipc: images per class; 0 for the whole data set.
        seed: of the run and its evaluation.
        key: content address of everything the row depends on.
    """

    method: str
    ipc: int
    seed: int
    key: str


@dataclass(frozen=True)
class Asked:
    """A comparison without the configurations of its rows.

    Attributes:
        data: name of the real data.
        places: of all rows, in the order they are measured; the whole data set's comes last.
        budget: what each method may spend ("iterations", "steps", "seconds"); empty where methods have their own.
        own_recipes: whether every method is measured by its own recipe; rows then do not compare directly.
        command: what was typed, to be typed again; empty where that is not known.
    """

    data: str
    places: tuple[Place, ...]
    budget: dict[str, Any] = field(default_factory=dict)
    own_recipes: bool = False
    command: str = ""

    @property
    def methods(self) -> list[str]:
        """The methods, in the order they were asked for, the baseline first where nobody named it."""
        return list(dict.fromkeys(place.method for place in self.places if place.method != WHOLE))

    @property
    def ipcs(self) -> list[int]:
        """The numbers of images per class, in the order they were asked for."""
        return list(dict.fromkeys(place.ipc for place in self.places if place.method != WHOLE))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Asked:
        """Read what ``to_dict`` wrote."""
        return cls(**{**values, "places": tuple(Place(**place) for place in values["places"])})


def gathered(folder: Path, rows: Sequence[Row]) -> Asked:
    """Return what finished rows and their runs tell, for a folder that does not say what was asked.

    Args:
        folder: of the comparison.
        rows: oldest first; of two in one place the later counts.
    """
    latest = {(row.method, row.ipc, row.seed): row for row in rows}
    ordered = sorted(latest.values(), key=lambda row: row.method == WHOLE)
    configs = [config for row in ordered if (config := _config(folder / RUNS / row.run / CONFIG))]
    budgets = [_stated(config["budget"]) for config in configs if config.get("matcher")]
    trainings = [(row.ipc, training(row)) for row in ordered if row.method != WHOLE]
    return Asked(
        data=configs[0]["data"]["name"] if configs else "unknown data",
        places=tuple(Place(row.method, row.ipc, row.seed, row.key) for row in ordered),
        budget=budgets[0] if budgets and all(each == budgets[0] for each in budgets) else {},
        own_recipes=any(how != other for ipc, how in trainings for at, other in trainings if at == ipc),
    )


def _stated(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if value is not None}


def _config(path: Path) -> Mapping[str, Any]:
    try:
        return read_yaml(path)
    except UsageError:
        return {}


def training(row: Row) -> dict[str, Any]:
    """Return how networks were trained on a set, without what belongs to the set itself."""
    return {key: value for key, value in row.evaluation["recipe"].items() if key not in OF_THE_SET}
