"""One set, many networks: how well images that were made with one network teach others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from limbeck.data import DataSet
from limbeck.errors import ArtifactError, LimbeckError, UsageError
from limbeck.evaluation.kept import CROSS, damaged, read_kept
from limbeck.evaluation.measure import evaluate_set
from limbeck.evaluation.recipe import Recipe
from limbeck.evaluation.rows import Evaluation
from limbeck.evaluation.trials import OnNetwork
from limbeck.execution.executors import Executor
from limbeck.files import signed, write_json
from limbeck.networks import build_network
from limbeck.synthetic import SyntheticSet


@dataclass(frozen=True)
class Architecture:
    """One network of a table.

    Attributes:
        network: its registered name.
        parameters: numbers it learns, for the images and classes of the set.
        row: what networks of its kind, trained on the set, achieved.
    """

    network: str
    parameters: int
    row: Evaluation


@dataclass
class CrossTable:
    """Networks side by side, all trained on one set by one procedure.

    Attributes:
        pool: the name of the collection the networks are from, or "chosen".
        protocol: the protocol and its options that were asked for, or None for the set's own recipe.
        data: name of the real data they are tested on.
        rows: one for each network that was measured.
        failures: why the others were not, by network.
    """

    pool: str
    protocol: dict[str, Any] | None
    data: str
    rows: list[Architecture] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells one table of a folder from another."""
        return self.pool, str(self.protocol), self.data

    def to_dict(self) -> dict[str, Any]:
        """Return the table as JSON values."""
        rows = [{"network": one.network, "parameters": one.parameters, "row": one.row.to_dict()} for one in self.rows]
        return {**vars(self), "rows": rows}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CrossTable:
        """Read what ``to_dict`` wrote."""
        rows = [
            Architecture(one["network"], one["parameters"], Evaluation.from_dict(one["row"])) for one in values["rows"]
        ]
        return cls(**{**values, "rows": rows})


def cross_architecture(
    table: CrossTable,
    synthetic: SyntheticSet,
    data: DataSet,
    members: Mapping[str, int],
    recipe: Callable[[str], Recipe],
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    executor: Executor | None = None,
    cache: Path | None = None,
    on_result: OnNetwork | None = None,
    on_row: Callable[[CrossTable], None] | None = None,
) -> CrossTable:
    """Measure a set on every network of a pool; one that cannot be measured is listed with the reason.

    The set's own network gets the very seeds of its headline row, so a cache gives it at no cost.

    Args:
        table: where rows and failures go.
        synthetic: the set.
        data: the real data it stands for; networks train where these lie.
        members: how many networks of each name are trained.
        recipe: how a network of a name is trained.
        seed: the evaluation's seed.
        dtype: ``torch.float32``, or ``torch.bfloat16`` for mixed precision.
        executor: runs the networks; one after the other by default.
        cache: folder of finished networks by content; what is there is not trained again.
        on_result: told of a network's name, its number and its result as it arrives.
        on_row: told of the table after each of its networks.

    Returns:
        ``table``.
    """
    for name, count in members.items():
        try:
            built = build_network(name, synthetic.spec)
            row = evaluate_set(
                synthetic,
                data,
                recipe(name),
                networks=count,
                seed=seed,
                device=data.train.device,
                dtype=dtype,
                executor=executor,
                cache=cache,
                on_result=_named(on_result, name),
            )
            table.rows.append(Architecture(name, built.num_parameters, row))
        except (LimbeckError, RuntimeError) as error:  # RuntimeError: no memory for this one, perhaps for the next
            table.failures[name] = " ".join(str(error).split()) or type(error).__name__
        if on_row is not None:
            on_row(table)
    return table


def _named(on_result: OnNetwork | None, name: str) -> Callable[[int, dict[str, Any]], None]:
    return lambda number, result: None if on_result is None else on_result(name, number, result)


def save_table(folder: Path, table: CrossTable) -> None:
    """Write a table into ``cross_architecture.json``, whole or not at all.

    Tables of other pools stay, and so do earlier rows of this one whose networks were not measured this time.
    """
    try:
        stored = load_tables(folder)
    except ArtifactError:  # damaged: measuring again is the cure
        stored = []
    before = next((one for one in stored if one.key == table.key), None)
    tables = [one for one in stored if one.key != table.key] + [table if before is None else _updated(before, table)]
    write_json(folder / CROSS, signed({"tables": [one.to_dict() for one in tables]}))


def _updated(before: CrossTable, table: CrossTable) -> CrossTable:
    rows = {one.network: one for one in (*before.rows, *table.rows) if one.network not in table.failures}
    measured = {one.network for one in table.rows}
    failures = {name: reason for name, reason in before.failures.items() if name not in measured}
    return replace(table, rows=list(rows.values()), failures={**failures, **table.failures})


def load_tables(folder: Path) -> list[CrossTable]:
    """Read the tables of a folder; none where no pool was measured.

    Raises:
        ArtifactError: the file is damaged.
    """
    path = folder / CROSS
    if not path.exists():
        return []
    values = read_kept(path)
    try:
        return [CrossTable.from_dict(one) for one in values["tables"]]
    except (KeyError, TypeError, AttributeError):
        raise damaged(path) from None


def member_counts(members: list[str] | None, default: int, counts: Mapping[str, int], pool: str = "") -> dict[str, int]:
    """Return how many networks of each name are trained.

    Args:
        members: names of the pool's networks, or None where ``counts`` names the networks themselves.
        default: how many of those that ``counts`` does not name.
        counts: how many by name; a name stands for its variants too (``convnet`` for ``convnet-d3-w128-in``).
        pool: its name, for the message.

    Raises:
        UsageError: ``counts`` names what is not in the pool.
    """
    if members is None:
        return dict(counts)
    used: dict[str, str | None] = {name: max(_fitting(name, counts), key=len, default=None) for name in members}
    for name in counts:
        if name not in used.values():
            raise UsageError(
                f"--networks names '{name}', which is not in the pool '{pool}': it has {', '.join(members)}."
            )
    return {name: default if key is None else counts[key] for name, key in used.items()}


def _fitting(name: str, keys: Mapping[str, int]) -> list[str]:
    plain = name.replace("_", "-") + "-"
    return [key for key in keys if plain.startswith(key.replace("_", "-") + "-")]
