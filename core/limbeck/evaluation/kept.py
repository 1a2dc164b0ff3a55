"""What a folder keeps of its set's measurements: by the set's own recipe, and apart from them all others."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from limbeck.config import Baseline
from limbeck.errors import ArtifactError
from limbeck.evaluation.recipe import Recipe
from limbeck.evaluation.rows import FILE, Evaluation, load_rows, save_rows
from limbeck.files import content_key, read_json, signed, write_json
from limbeck.synthetic import SyntheticSet

CROSS, OTHERS = "cross_architecture.json", "evaluations"
"""Tables over networks, and the folder of rows measured by another protocol, on another network or other data."""


@dataclass(frozen=True)
class Other:
    """Rows that were not measured by the set's own recipe on its own data.

    Attributes:
        data: name of the real data.
        rows: all of one procedure.
    """

    data: str
    rows: list[Evaluation]


def keep_rows(folder: Path, synthetic: SyntheticSet, rows: Sequence[Evaluation]) -> list[Evaluation]:
    """Keep rows measured by the set's own recipe in ``evaluation.json``, and their figures with the set.

    Rows of the same label are replaced; others, such as baselines that were not measured this time, stay.

    Returns:
        The rows the file now holds.
    """
    try:
        before = load_rows(folder)
    except ArtifactError:  # damaged: measuring again is the cure
        before = []
    kept = _merged(before, rows)
    save_rows(folder, kept)
    measured = {row.label: {"mean": row.mean, "std": row.std, "networks": row.networks} for row in kept}
    figures = {**synthetic.figures, **measured}
    if figures != synthetic.figures:
        synthetic.with_(figures=figures).save(folder)
    return kept


def keep_other(folder: Path, recipe: Recipe, data: str, rows: Sequence[Evaluation]) -> Path:
    """Keep rows measured otherwise in a file of their own, named after the procedure; see ``keep_rows``.

    Returns:
        The file: ``evaluations/PROTOCOL-NETWORK-DIGEST.json``.
    """
    digest = content_key([recipe.to_dict(), data])[:8]
    name = re.sub(r"[^\w.=-]+", "-", f"{recipe.protocol or 'recipe'}-{recipe.network}-{digest}")
    path = folder / OTHERS / f"{name}.json"
    kept = _merged(_read_other(path).rows if path.exists() else [], rows)
    write_json(path, signed({"data": data, "rows": [row.to_dict() for row in kept]}))
    return path


def load_others(folder: Path) -> list[Other]:
    """Read what ``keep_other`` wrote, by file name.

    Raises:
        ArtifactError: a file is damaged.
    """
    return [_read_other(path) for path in sorted((folder / OTHERS).glob("*.json"))]


def forget(folder: Path) -> None:
    """Remove every measurement from a folder that is about to hold another set."""
    shutil.rmtree(folder / OTHERS, ignore_errors=True)
    for name in (FILE, CROSS):
        (folder / name).unlink(missing_ok=True)


def read_kept(path: Path) -> Any:
    """Read a JSON file of measurements.

    Raises:
        ArtifactError: it is damaged.
    """
    try:
        return read_json(path)
    except (OSError, ValueError):
        raise damaged(path) from None


def damaged(path: Path) -> ArtifactError:
    """Return the error for a file of measurements that cannot be understood."""
    return ArtifactError(f"{path} is truncated or altered. Delete it and measure again with 'limbeck evaluate'.")


def _read_other(path: Path) -> Other:
    values = read_kept(path)
    try:
        return Other(str(values["data"]), [Evaluation.from_dict(row) for row in values["rows"]])
    except (KeyError, TypeError, AttributeError):
        raise damaged(path) from None


def _merged(before: Sequence[Evaluation], rows: Sequence[Evaluation]) -> list[Evaluation]:
    """Return the rows with those of ``before`` whose label is not among them; known labels keep their order."""
    found = {row.label: row for row in (*before, *rows)}
    order = ["synthetic", *get_args(Baseline)]
    return sorted(found.values(), key=lambda row: order.index(row.label) if row.label in order else len(order))
