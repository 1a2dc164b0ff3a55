"""A study in its folder: what was asked and what was found beside the rows, so that tables can be made of it again."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from limbeck.errors import ArtifactError, UsageError
from limbeck.files import read_json, signed, write_json
from limbeck.options import parse
from limbeck.runs import CONFIG
from limbeck_applications.continual.study.asked import StudySettings
from limbeck_applications.continual.study.rows import NAME as ROWS
from limbeck_applications.continual.study.rows import Cell, Outcome, Rows, unbroken

NAME = "study.json"

OWN = (".lock", "memories", "cache")
"""What a study has in its folder before ``study.json`` is written."""


def save_outcome(folder: Path, outcome: Outcome) -> None:
    """Write everything but the rows, which have a file of their own; folders within the study's are kept by name.

    Raises:
        UsageError: the folder cannot be written.
    """
    memories = [
        {"memory": name, "order": order, "pieces": [str(_within(folder, place)) for place in places]}
        for (name, order), places in outcome.memories.items()
    ]
    values = {
        "settings": outcome.settings.model_dump(mode="json"),
        "cells": [vars(cell) for cell in outcome.cells],
        "failures": [{"key": cell.key, "reason": reason} for cell, reason in outcome.failures.items()],
        "experiences": outcome.experiences,
        "memories": memories,
        "scenario": outcome.scenario,
        "per_class": outcome.per_class,
        "deviations": list(outcome.deviations),
        "command": outcome.command,
    }
    write_json(folder / NAME, signed(values))


def load_outcome(folder: Path) -> Outcome:
    """Read a study as far as it has come.

    Raises:
        UsageError: the folder holds no study.
        ArtifactError: ``study.json`` was altered.
    """
    values = _read(folder)
    try:
        cells = [Cell(**each) for each in values["cells"]]
        by_key, rows = {cell.key: cell for cell in cells}, Rows(folder)
        return Outcome(
            settings=StudySettings.model_validate(values["settings"]),
            cells={cell: unbroken(rows.of(cell)) for cell in cells},
            failures={by_key[each["key"]]: each["reason"] for each in values["failures"]},
            experiences=values["experiences"],
            memories={(m["memory"], m["order"]): [folder / name for name in m["pieces"]] for m in values["memories"]},
            scenario=values["scenario"],
            per_class=values["per_class"],
            deviations=tuple(values["deviations"]),
            command=values["command"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise _altered(folder, error) from None


def check_folder(folder: Path, settings: StudySettings) -> None:
    """Refuse a folder that holds something else: other files, a run, or a study of another stream.

    Raises:
        UsageError: says what it holds.
    """
    held = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    foreign = [name for name in held if name not in OWN]
    if foreign and not {NAME, ROWS} & set(held):
        what = "a run of 'limbeck distill'" if CONFIG in held else f"other files ({foreign[0]})"
        raise UsageError(f"{folder} holds {what}. Give the study a folder of its own: --out.")
    if NAME in held:
        with contextlib.suppress(ArtifactError):
            there = load_settings(folder).benchmark.name
            if there != settings.benchmark.name:
                raise UsageError(
                    f"{folder} holds a study of {there}, and {settings.benchmark.name} was asked for. Choose another "
                    "folder with --out."
                )


def load_settings(folder: Path) -> StudySettings:
    """Return what a study was asked.

    Raises:
        UsageError: the folder holds no study, or a plugin that it needs has other options now.
        ArtifactError: ``study.json`` was altered.
    """
    return parse(StudySettings, _read(folder).get("settings", {}), f"{folder / NAME} settings")


def _read(folder: Path) -> dict[str, Any]:
    path = folder / NAME
    if not path.exists():
        raise UsageError(
            f"{folder} holds no study: it has no {NAME}. Give a folder that 'limbeck continual run --out' wrote."
        )
    try:
        return dict(read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise _altered(folder, error) from None


def _altered(folder: Path, error: Exception) -> ArtifactError:
    return ArtifactError(f"{folder / NAME} is altered ({error}). Type the command of the study again.")


def _within(folder: Path, place: Path) -> Path:
    return place.relative_to(folder) if place.is_relative_to(folder) else place
