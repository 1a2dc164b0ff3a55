"""What a run folder holds, as far as it got: only the synthetic set must be there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from torch import Tensor

from limbeck.distillation.checkpoint import unsealed
from limbeck.distillation.log import read_row
from limbeck.errors import ArtifactError, UsageError
from limbeck.evaluation.cross import CrossTable, load_tables
from limbeck.evaluation.kept import Other, load_others
from limbeck.evaluation.rows import Evaluation, load_rows
from limbeck.files import checked_text, read_json
from limbeck.synthetic import SyntheticSet

LogRow = dict[str, float]


@dataclass(frozen=True)
class Run:
    """A run folder, read.

    Attributes:
        folder: where it is.
        synthetic: the finished set.
        config: the resolved configuration, empty when the folder has none.
        config_text: the same as the YAML that was written.
        plan: the execution plan.
        environment: versions and machine.
        log: rows with "step", "loss" and "seconds", by rising step, all finite.
        initial: images [n, ch, h, w] in [0, 1] and groups [n] before the first step, or None.
        rows: what the set was measured at by its own recipe, and what beside it; none when it was not.
        others: what it was measured at otherwise: by another protocol, on another network or other data.
        tables: what it was measured at on many networks.
    """

    folder: Path
    synthetic: SyntheticSet
    config: dict[str, Any]
    config_text: str
    plan: dict[str, Any]
    environment: dict[str, Any]
    log: list[LogRow]
    initial: tuple[Tensor, Tensor] | None
    rows: list[Evaluation]
    others: list[Other]
    tables: list[CrossTable]


def read_run(folder: Path) -> Run:
    """Read what is in ``folder``.

    Raises:
        UsageError: no such folder, or no synthetic set in it.
        ArtifactError: a file in it was truncated or altered.
    """
    if not folder.is_dir():
        raise UsageError(f"no run folder at {folder}. Give the folder that 'limbeck distill --out' wrote.")
    synthetic = SyntheticSet.load(folder)
    config_text = _config_text(folder / "config.yaml")
    return Run(
        folder=folder,
        synthetic=synthetic,
        config=_config(folder / "config.yaml", config_text),
        config_text=config_text,
        plan=_json(folder / "plan.json"),
        environment=_json(folder / "environment.json"),
        log=_log(_text(folder / "log.jsonl")),
        initial=_initial(folder / "initial.safetensors", synthetic),
        rows=load_rows(folder),
        others=load_others(folder),
        tables=load_tables(folder),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise _altered(path, error) from None


def _config_text(path: Path) -> str:
    try:
        return checked_text(_text(path))
    except ValueError as error:
        raise _altered(path, error) from None


def _json(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise _altered(path, error) from None
    if not isinstance(value, dict):
        raise _altered(path, "it holds no mapping")
    return value


def _config(path: Path, text: str) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text) if path.exists() else {}
    except yaml.YAMLError as error:
        raise _altered(path, str(error).splitlines()[0]) from None
    if not isinstance(value, dict):
        raise _altered(path, "it holds no mapping")
    return value


def _log(text: str) -> list[LogRow]:
    """Read the losses; a resumed run's later row wins, and a line that a kill cut off is passed over."""
    rows = {row["step"]: row for row in map(read_row, text.splitlines()) if row is not None}
    return [rows[step] for step in sorted(rows)]


def _initial(path: Path, synthetic: SyntheticSet) -> tuple[Tensor, Tensor] | None:
    if not path.exists():
        return None
    try:
        content = path.read_bytes()
        tensors = unsealed(content)[1] if b"__metadata__" in content else parse_tensors(content)
        start = synthetic.with_(images=tensors["images"].float(), space="normalised", storage="float32")
        return start.unit(), tensors["group"]
    except (OSError, SafetensorError, KeyError, RuntimeError, ValueError) as error:
        raise _altered(path, error) from None


def _altered(path: Path, reason: object) -> ArtifactError:
    line = " ".join(str(reason).split())
    return ArtifactError(f"{path} is truncated or altered ({line}). Delete it to write the page without it.")
