"""A study's file: what was asked and what was found, in a form that pages are made from without computing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from limbeck.config import Spec
from limbeck.errors import ArtifactError, LimbeckError, UsageError
from limbeck.files import read_json, signed, write_json
from limbeck.options import parse
from limbeck.plugins import registry
from limbeck_applications.nas.space import SearchSpace
from limbeck_applications.nas.study.asked import ProblemSettings, RankSettings, SearchSettings, TruthSettings
from limbeck_applications.nas.study.audience import Audience
from limbeck_applications.nas.study.rows import Outcome
from limbeck_applications.nas.study.values import outcome_of, tidied, values_of

NAME = "study.json"

TABLE = "truth.csv"
"""What 'limbeck nas truth' writes into its folder."""

JOBS = "trained"
"""Folder of what was trained in full."""

MARKS = {NAME, "scores.jsonl", "prepared", "weights", "searchers"}
"""Names that only a study's folder holds; tables and pages may be anybody's."""

SAVE_SECONDS, PAGE_SECONDS = 10, 60
"""Least time between two writings of a study's file, and of its page, while something is still missing."""

SETTINGS: dict[str, type[ProblemSettings]] = {"rank": RankSettings, "search": SearchSettings, "truth": TruthSettings}


def kind_of(settings: ProblemSettings) -> str:
    """Return the command that settings are of."""
    return next(kind for kind, each in SETTINGS.items() if isinstance(settings, each))


def title_of(kind: str, spec: Spec) -> str:
    """Return what tables call a component: its name, a method it stands for, and options that are not the defaults."""
    options = registry().create(kind, spec.model_dump(mode="json")).options
    values, given = (options.model_dump(mode="json", exclude_defaults=brief) for brief in (False, True))
    if "method" in values:
        given = {"method": values["method"], **given}
    words = ", ".join(_written(key, value) for key, value in given.items())
    return tidied(f"{spec.name} [{words}]" if given else spec.name)


def check_titles(titles: Sequence[str], flag: str) -> None:
    """Refuse what is asked for twice: figures over seeds would take it for another seed.

    Raises:
        UsageError: names it.
    """
    for title in titles:
        if titles.count(title) > 1:
            raise UsageError(f"{title} was asked for twice: give each {flag} once, or with other options.")


def _written(key: str, value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{key}.{name}={each}" for name, each in value.items())
        return inner or f"{key}={{}}"
    return f"{value}" if key == "method" else f"{key}={value}"


def save_outcome(folder: Path, outcome: Outcome) -> None:
    """Write a study's file.

    Raises:
        UsageError: the folder cannot be written.
    """
    asked = {"kind": kind_of(outcome.settings), "settings": outcome.settings.model_dump(mode="json")}
    write_json(folder / NAME, signed({**asked, **values_of(outcome, folder)}))


def load_outcome(folder: Path) -> Outcome:
    """Read a study as far as it has come.

    Raises:
        UsageError: the folder holds no study.
        ArtifactError: its file was altered.
    """
    values = _read(folder)
    settings = load_settings(folder)
    try:
        return outcome_of(settings, values, folder)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _altered(folder) from None


def earlier(folder: Path, settings: ProblemSettings, *free: str) -> Outcome | None:
    """Return what an earlier start of the same study came to, or None.

    Args:
        folder: of the study.
        settings: of this start.
        free: those that may have been others, beside where it is computed.
    """
    free = ("executor", *free)
    with contextlib.suppress(LimbeckError):
        found = load_outcome(folder)
        its, own = (each.model_dump(exclude=set(free)) for each in (found.settings, settings))
        return found if kind_of(found.settings) == kind_of(settings) and its == own else None
    return None


class Keeper:
    """Writes a study's file, and has its page written, as the study goes on.

    Args:
        folder: of the study.
        told: writes the page.
    """

    def __init__(self, folder: Path, told: Audience) -> None:
        self.folder, self.told = folder, told
        self._saved = self._shown = time.monotonic()

    def save(self, outcome: Outcome) -> None:
        """Write the file."""
        save_outcome(self.folder, outcome)
        self._saved = time.monotonic()

    def goes_on(self, outcome: Callable[[], Outcome]) -> None:
        """Write what is due."""
        now = time.monotonic()
        if now - self._saved > SAVE_SECONDS:
            self.save(outcome())
        if now - self._shown > PAGE_SECONDS:
            self.told.tabled(outcome())
            self._shown = time.monotonic()


def load_settings(folder: Path) -> ProblemSettings:
    """Return what a study was asked.

    Raises:
        UsageError: the folder holds no study, or a plugin that it needs has other options now.
        ArtifactError: its file was altered.
    """
    values = _read(folder)
    if values.get("kind") not in SETTINGS:
        raise _altered(folder)
    return parse(SETTINGS[values["kind"]], values.get("settings", {}), f"{folder / NAME} settings")


def check_names(settings: ProblemSettings) -> SearchSpace:
    """Refuse names that nobody offers, and options they do not take, before anything is loaded.

    Returns:
        The space.

    Raises:
        UsageError: names what is wrong, and says what there is.
    """
    space: SearchSpace = registry().create("nas_spaces", settings.space.model_dump(mode="json"))
    registry().entry("datasets", settings.data)
    registry().entry("networks", settings.network)
    registry().create("executors", settings.executor.model_dump())
    return space


def check_folder(folder: Path, settings: ProblemSettings) -> None:
    """Refuse a folder that holds something else: other files, or a study of another kind, space or data set.

    Raises:
        UsageError: says what it holds.
    """
    held = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    harmless = {"cache", ".lock"}
    if isinstance(settings, TruthSettings):  # earlier versions wrote no settings
        harmless |= {TABLE, JOBS}
    foreign = [name for name in held if name not in harmless]
    if foreign and MARKS.isdisjoint(held):
        raise UsageError(f"{folder} holds other files ({foreign[0]}). Give the study a folder of its own: --out.")
    if NAME not in held:
        return
    with contextlib.suppress(ArtifactError):
        there = load_settings(folder)
        for what, its, asked in (
            (f"a study of another kind, of 'limbeck nas {kind_of(there)}'", kind_of(there), kind_of(settings)),
            (f"a study of {there.space.name}", there.space.name, settings.space.name),
            (f"a study on {there.data}", there.data, settings.data),
        ):
            if its != asked:
                raise UsageError(f"{folder} holds {what}. Choose another folder with --out.")


def _read(folder: Path) -> dict[str, Any]:
    path = folder / NAME
    if not path.exists() and any((folder / name).exists() for name in (TABLE, JOBS)):
        where = f", which {TABLE} begins with," if (folder / TABLE).exists() else ""
        raise UsageError(
            f"{folder} is a folder of 'limbeck nas truth' of an earlier version, which did not keep its settings: type "
            f"the whole command{where} once more with --out {folder}. What is trained stays."
        )
    if not path.exists():
        raise UsageError(
            f"{folder} holds no study: it has no {NAME}. Give a folder that 'limbeck nas rank', 'search' or 'truth' "
            "wrote with --out."
        )
    try:
        return dict(read_json(path))
    except (OSError, ValueError, TypeError):
        raise _altered(folder) from None


def _altered(folder: Path) -> ArtifactError:
    where = f", which {TABLE} begins with," if (folder / TABLE).exists() else ""
    return ArtifactError(
        f"{folder / NAME} is damaged or was altered. Type the whole command of the study{where} once more with --out "
        f"{folder}: what is computed stays."
    )
