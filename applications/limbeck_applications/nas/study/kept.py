"""A study's file: what was asked and what was found, in a form that pages are made from without computing."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from limbeck.config import Spec
from limbeck.errors import ArtifactError, UsageError
from limbeck.files import read_json, signed, write_json
from limbeck.options import parse
from limbeck.plugins import registry
from limbeck_applications.nas.cost import Cost
from limbeck_applications.nas.space import Architecture, SearchSpace
from limbeck_applications.nas.study.asked import ProblemSettings, RankSettings, SearchSettings
from limbeck_applications.nas.study.rows import Found, Made, Ranking, RankOutcome, Scored, Searched, SearchOutcome
from limbeck_applications.nas.truth import Measured, Truth

NAME = "study.json"

TABLE = "truth.csv"
"""What 'limbeck nas truth' writes into its folder."""

OWN = {
    NAME,
    "scores.jsonl",
    "prepared",
    "weights",
    "searchers",
    "trained",
    "cache",
    ".lock",
    "table.csv",
    "groups.csv",
    "scores.csv",
    "report.html",
}
"""What a study's folder holds."""

Outcome = RankOutcome | SearchOutcome

SETTINGS: dict[str, type[ProblemSettings]] = {"rank": RankSettings, "search": SearchSettings}


def title_of(kind: str, spec: Spec) -> str:
    """Return what tables call a component: its name, a method it stands for, and options that are not the defaults."""
    options = registry().create(kind, spec.model_dump(mode="json")).options
    values, given = (options.model_dump(mode="json", exclude_defaults=brief) for brief in (False, True))
    if "method" in values:
        given = {"method": values["method"], **given}
    words = ", ".join(_written(key, value) for key, value in given.items())
    return tidied(f"{spec.name} [{words}]" if given else spec.name)


def tidied(title: str) -> str:
    """Return a title whose whole numbers are written as such: seconds=30 for seconds=30.0."""
    return re.sub(r"(=-?[0-9]+)\.0(?=[],])", r"\1", title)


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
    values = {
        "kind": "rank" if isinstance(outcome, RankOutcome) else "search",
        "settings": outcome.settings.model_dump(mode="json"),
        "truth": None if outcome.truth is None else _of_truth(outcome.truth),
        "truth_name": outcome.truth_name,
        "command": outcome.command,
        "images": outcome.images,
    }
    found = _ranked(outcome, folder) if isinstance(outcome, RankOutcome) else _searched(outcome, folder)
    write_json(folder / NAME, signed({**values, **found}))


def load_outcome(folder: Path) -> Outcome:
    """Read a study as far as it has come.

    Raises:
        UsageError: the folder holds no study.
        ArtifactError: its file was altered.
    """
    values = _read(folder)
    settings = load_settings(folder)
    try:
        truth = None if values["truth"] is None else _truth(values["truth"])
        shared = {"truth": truth, "truth_name": values["truth_name"], "command": values["command"]}
        shared["images"] = values.get("images", 0)
        if isinstance(settings, RankSettings):
            return RankOutcome(
                settings,
                [_architecture(each) for each in values["architectures"]],
                {name: Cost(**cost) for name, cost in values["costs"].items()},
                [_ranking(each, folder) for each in values["rankings"]],
                **shared,
            )
        assert isinstance(settings, SearchSettings)
        searches = [_search(each) for each in values["searches"]]
        return SearchOutcome(settings, tidied(values["proxy"]), _made(values["made"], folder), searches, **shared)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _altered(folder, error) from None


def load_settings(folder: Path) -> ProblemSettings:
    """Return what a study was asked.

    Raises:
        UsageError: the folder holds no study, or a plugin that it needs has other options now.
        ArtifactError: its file was altered.
    """
    values = _read(folder)
    if values.get("kind") not in SETTINGS:
        raise _altered(folder, ValueError(f"kind '{values.get('kind')}'"))
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
    foreign = [name for name in held if name not in OWN]
    if foreign and NAME not in held:
        raise UsageError(f"{folder} holds other files ({foreign[0]}). Give the study a folder of its own: --out.")
    if NAME not in held:
        return
    with contextlib.suppress(ArtifactError):
        there = load_settings(folder)
        for what, its, asked in (
            ("a study of another kind", type(there).__name__, type(settings).__name__),
            (f"a study of {there.space.name}", there.space.name, settings.space.name),
            (f"a study on {there.data}", there.data, settings.data),
        ):
            if its != asked:
                raise UsageError(f"{folder} holds {what}. Choose another folder with --out.")


def _ranked(outcome: RankOutcome, folder: Path) -> dict[str, Any]:
    return {
        "architectures": [_of_architecture(each) for each in outcome.architectures],
        "costs": {name: asdict(cost) for name, cost in outcome.costs.items()},
        "rankings": [
            {**asdict(each), "made": _of_made(each.made, folder), "scores": _of_scores(each.scores)}
            for each in outcome.rankings
        ],
    }


def _searched(outcome: SearchOutcome, folder: Path) -> dict[str, Any]:
    searches = []
    for each in outcome.searches:
        found = [{**asdict(one), "architecture": _of_architecture(one.architecture)} for one in each.found]
        searches.append({**asdict(each), "found": found})
    return {"proxy": outcome.proxy, "made": _of_made(outcome.made, folder), "searches": searches}


def _of_scores(scores: Mapping[str, Scored]) -> dict[str, Any]:
    return {name: {**asdict(scored), "figures": dict(scored.figures)} for name, scored in scores.items()}


def _of_truth(truth: Truth) -> dict[str, Any]:
    """Return a table as JSON values; what is told in an order is written as pairs, since keys are sorted."""
    return {"rows": [asdict(row) for row in truth.rows], "notes": list(truth.notes.items())}


def _of_architecture(architecture: Architecture) -> dict[str, Any]:
    return {"name": architecture.name, "genome": list(architecture.genome), "traits": list(architecture.traits.items())}


def _of_made(made: Made | None, folder: Path) -> dict[str, Any] | None:
    if made is None:
        return None
    place = made.folder
    if place is not None and place.is_relative_to(folder):
        place = place.relative_to(folder)
    return {**asdict(made), "folder": None if place is None else str(place)}


def _made(values: dict[str, Any] | None, folder: Path) -> Made | None:
    if values is None:
        return None
    return Made(**{**values, "folder": None if values["folder"] is None else folder / values["folder"]})


def _architecture(values: dict[str, Any]) -> Architecture:
    return Architecture(values["name"], tuple(values["genome"]), dict(values["traits"]))


def _ranking(values: dict[str, Any], folder: Path) -> Ranking:
    scores = {name: Scored(**each) for name, each in values["scores"].items()}
    return Ranking(
        **{**values, "proxy": tidied(values["proxy"]), "made": _made(values["made"], folder), "scores": scores}
    )


def _search(values: dict[str, Any]) -> Searched:
    found = [Found(**{**each, "architecture": _architecture(each["architecture"])}) for each in values["found"]]
    return Searched(
        **{
            **values,
            "searcher": tidied(values["searcher"]),
            "found": found,
            "retrained": [Measured(**each) for each in values["retrained"]],
        }
    )


def _truth(values: dict[str, Any]) -> Truth:
    return Truth(tuple(Measured(**row) for row in values["rows"]), dict(values["notes"]))


def _read(folder: Path) -> dict[str, Any]:
    path = folder / NAME
    if not path.exists() and (folder / TABLE).exists():
        raise UsageError(
            f"{folder} is a folder of 'limbeck nas truth': its table is {folder / TABLE}, which 'limbeck nas rank "
            "--truth' takes. It has no page."
        )
    if not path.exists():
        raise UsageError(
            f"{folder} holds no study: it has no {NAME}. Give a folder that 'limbeck nas rank --out' or 'limbeck nas "
            "search --out' wrote."
        )
    try:
        return dict(read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise _altered(folder, error) from None


def _altered(folder: Path, error: Exception) -> ArtifactError:
    return ArtifactError(f"{folder / NAME} is altered ({error}). Type the command of the study again.")
