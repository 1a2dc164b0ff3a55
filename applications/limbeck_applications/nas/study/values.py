"""Outcomes as JSON values and back: the form that a study's file holds them in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from limbeck_applications.nas.cost import Cost
from limbeck_applications.nas.space import Architecture
from limbeck_applications.nas.study.asked import ProblemSettings, RankSettings, SearchSettings, TruthSettings
from limbeck_applications.nas.study.rows import (
    Found,
    Made,
    Outcome,
    Ranking,
    RankOutcome,
    Scored,
    Searched,
    SearchOutcome,
    TruthOutcome,
)
from limbeck_applications.nas.truth import Measured, Truth


def tidied(title: str) -> str:
    """Return a title whose whole numbers are written as such: seconds=30 for seconds=30.0."""
    return re.sub(r"(=-?[0-9]+)\.0(?=[],])", r"\1", title)


def values_of(outcome: Outcome, folder: Path) -> dict[str, Any]:
    """Return an outcome without its settings as JSON values.

    Args:
        outcome: of any kind.
        folder: of the study; what lies in it is named from there, so that it can be moved.
    """
    shared = {
        "truth": None if outcome.truth is None else _of_truth(outcome.truth),
        "truth_name": outcome.truth_name,
        "command": outcome.command,
        "images": outcome.images,
    }
    if isinstance(outcome, SearchOutcome):
        return {**shared, **_searched(outcome, folder)}
    space = {
        "architectures": [_of_architecture(each) for each in outcome.architectures],
        "costs": {name: asdict(cost) for name, cost in outcome.costs.items()},
    }
    if isinstance(outcome, TruthOutcome):
        return {**shared, **space, "failed": list(outcome.failed)}
    return {**shared, **space, "rankings": [_ranked(each, folder) for each in outcome.rankings]}


def outcome_of(settings: ProblemSettings, values: Mapping[str, Any], folder: Path) -> Outcome:
    """Return the outcome of JSON values.

    Args:
        settings: of the study; their kind is the outcome's.
        values: of ``values_of``.
        folder: of the study.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: the values are of no such outcome.
    """
    shared: dict[str, Any] = {
        "truth": None if values["truth"] is None else _truth(values["truth"]),
        "truth_name": values["truth_name"],
        "command": values["command"],
        "images": values.get("images", 0),
    }
    if isinstance(settings, SearchSettings):
        searches = [_search(each) for each in values["searches"]]
        return SearchOutcome(settings, tidied(values["proxy"]), _made(values["made"], folder), searches, **shared)
    architectures = [_architecture(each) for each in values["architectures"]]
    costs = {name: Cost(**cost) for name, cost in values["costs"].items()}
    if isinstance(settings, TruthSettings):
        return TruthOutcome(settings, architectures, costs, **shared, failed=list(values["failed"]))
    assert isinstance(settings, RankSettings)
    rankings = [_ranking(each, folder) for each in values["rankings"]]
    return RankOutcome(settings, architectures, costs, rankings, **shared)


def _ranked(ranking: Ranking, folder: Path) -> dict[str, Any]:
    return {**asdict(ranking), "made": _of_made(ranking.made, folder), "scores": _of_scores(ranking.scores)}


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
