"""What a study found, put into its template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from limbeck.errors import LimbeckError
from limbeck.files import write_atomic
from limbeck.plugins import registry
from limbeck.report.strips import strips_of
from limbeck.report.template import fill
from limbeck_applications.nas.drawing import Drawing
from limbeck_applications.nas.report.graphs import graph_svg, is_column
from limbeck_applications.nas.report.ranks import rank_values
from limbeck_applications.nas.report.searched import search_values
from limbeck_applications.nas.report.trained import truth_values
from limbeck_applications.nas.space import Architecture, SearchSpace
from limbeck_applications.nas.study.asked import ProblemSettings
from limbeck_applications.nas.study.rows import Made, Outcome, RankOutcome, TruthOutcome
from limbeck_applications.nas.tables.columns import score_text, seconds_text
from limbeck_applications.nas.tables.results import Results
from limbeck_applications.nas.tables.searches import SearchResults
from limbeck_applications.nas.tables.trainings import TruthResults
from limbeck_applications.nas.truth import differing

FILE = "report.html"

DRAWN = 3
"""Best architectures that are drawn."""


AnyResults = Results | SearchResults | TruthResults


def publish(folder: Path, outcome: Outcome) -> Path:
    """Write the tables and the page of a study into its folder; the page needs no other file and no network.

    Args:
        folder: of the study.
        outcome: as far as it has come.

    Returns:
        The page.

    Raises:
        UsageError: the folder cannot be written.
    """
    results = results_of(outcome)
    results.save(folder)
    path = folder / FILE
    write_atomic(path, render(results).encode())
    return path


def results_of(outcome: Outcome) -> AnyResults:
    """Gather what an outcome holds."""
    if isinstance(outcome, RankOutcome):
        return Results.of(outcome)
    return TruthResults.of(outcome) if isinstance(outcome, TruthOutcome) else SearchResults.of(outcome)


def render(results: AnyResults) -> str:
    """Return the page as HTML; every text is escaped."""
    made: list[tuple[str, Made]] = []
    if isinstance(results, Results):
        template, values, best, made = "rank.html.j2", rank_values(results), _best_ranked(results), _of_ranks(results)
    elif isinstance(results, TruthResults):
        template, values, best = "truth.html.j2", truth_values(results), _best_trained(results)
    else:
        template, values, best = "search.html.j2", search_values(results), _best_found(results)
        made = [] if results.outcome.made is None else [(results.outcome.proxy, results.outcome.made)]
    outcome: Outcome = results.outcome
    return fill(
        template,
        script="compare.js",
        package=__package__,
        settings=outcome.settings,
        outcome=outcome,
        values=_settings(outcome.settings),
        differing=differing(outcome.truth, outcome.images),
        results=results,
        portraits=_portraits(outcome.settings, best),
        timed=seconds_text,
        scored=score_text,
        strips=[shown for name, each in made if each.folder and (shown := strips_of(name, [each.folder]))],
        **values,
    )


@dataclass(frozen=True)
class Portrait:
    """An architecture to be shown.

    Attributes:
        name: of the architecture.
        caption: why it is shown, and what it reaches.
        lists: layers from the image to the logits, by title, where that is all there is to see.
        graphs: drawings, by title.
    """

    name: str
    caption: str
    lists: list[tuple[str, list[str]]]
    graphs: list[tuple[str, Markup]]


def _portraits(settings: ProblemSettings, chosen: Sequence[tuple[Architecture, str]]) -> list[Portrait]:
    """Draw architectures; a space that is not there any more draws none."""
    try:
        space: SearchSpace = registry().create("nas_spaces", settings.space.model_dump(mode="json"))
        return [_portrait(each.name, caption, space.drawing(each)) for each, caption in chosen]
    except LimbeckError:
        return []


def _portrait(name: str, caption: str, drawings: Sequence[Drawing]) -> Portrait:
    lists = [(each.title, [node.label for node in each.nodes]) for each in drawings if is_column(each)]
    graphs = [(each.title, graph_svg(each)) for each in drawings if not is_column(each)]
    return Portrait(name, caption, lists, graphs)


def _best_ranked(results: Results) -> list[tuple[Architecture, str]]:
    """Choose the best by the best proxy, and the best of full training where it is not among them."""
    best = results.best
    chosen = [] if best is None else results.chosen(best, DRAWN)
    found = [
        (each, f"{_nth(k)} by {best.proxy}{_reaches(results, each)}")
        for k, each in enumerate(chosen)
        if best is not None
    ]
    if results.truth is not None:
        first = results.outcome.architectures[int(results.truth.argmax())]
        if first not in chosen:
            found.append((first, f"best by full training{_reaches(results, first)}"))
    return found


def _reaches(results: Results, architecture: Architecture) -> str:
    if results.truth is None:
        return ""
    place = results.outcome.architectures.index(architecture)
    return f", {100 * results.truth[place]:.2f} %"


def _best_trained(results: TruthResults) -> list[tuple[Architecture, str]]:
    return [
        (line.architecture, f"{_nth(k)} by full training, {100 * line.test.mean:.2f} %")
        for k, line in enumerate(results.lines[:DRAWN])
    ]


def _best_found(results: SearchResults) -> list[tuple[Architecture, str]]:
    """Choose the best score of all searches, one architecture once; none where no search has a best."""
    if not any(line.best for line in results.lines):
        return []
    first = max(one.value or 0.0 for one in results.every)
    tied = sum(one.value == first for one in results.every)
    ranked = sorted(results.every, key=lambda one: -(one.value or 0.0))[:DRAWN]
    again = {each.architecture: each.test for search in results.outcome.searches for each in search.retrained}
    tested = {name: f", {100 * test:.2f} % when trained in full" for name, test in again.items()}
    return [
        (
            one.architecture,
            (f"one of {tied} that tie for the best" if tied > 1 and one.value == first else f"{_nth(k)} by")
            + f" score, {score_text(one.value or 0.0)}{tested.get(one.architecture.name, '')}",
        )
        for k, one in enumerate(ranked)
    ]


def _nth(place: int) -> str:
    return ("best", "second", "third", "fourth", "fifth")[place]


def _of_ranks(results: Results) -> list[tuple[str, Made]]:
    """Return what the first seed of each proxy made."""
    first: dict[str, Made] = {}
    for each in results.outcome.rankings:
        if each.made is not None:
            first.setdefault(each.proxy, each.made)
    return list(first.items())


def _settings(settings: ProblemSettings) -> dict[str, Any]:
    """Return the settings as a page lists them: components under their names."""
    values = settings.model_dump(mode="json", exclude={"executor", "proxies", "searchers"})
    for kind in ("proxies", "searchers"):
        for number, each in enumerate(getattr(settings, kind, ()), 1):
            own = {key: value for key, value in each.model_dump(mode="json").items() if key != "name"}
            values[f"{kind} {number}"] = {"name": each.name, **own}
    return values
