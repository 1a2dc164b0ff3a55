"""What the page of a study of searches shows beside the drawings: curves, fronts and what was found."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from limbeck_applications.nas.report.charts import curves_svg, front_svg
from limbeck_applications.nas.report.space import NAMES
from limbeck_applications.nas.tables.searches import COSTS, SearchResults
from limbeck_applications.nas.truth import Measured


def search_values(results: SearchResults) -> dict[str, Any]:
    """Return what the template of a page of searches is filled with."""
    lines = results.lines
    return {
        "lines": lines,
        "best": results.best,
        "curves": Markup(curves_svg({line.searcher: line.curves for line in lines})) if lines else "",
        "fronts": _fronts(results),
        "cheapest": [
            (one.architecture.name, one.parameters, one.flops, one.value) for one in results.front("parameters")
        ],
        "runs": [each for each in results.outcome.searches if each.found],
        "trained": _trained(results),
        "accuracies": {} if results.outcome.truth is None else results.outcome.truth.mean(),
    }


def _trained(results: SearchResults) -> list[tuple[Measured, str]]:
    """Return what was trained in full and the files of its weights, each once, as several searches may find it."""
    found = {
        file: each
        for search in results.outcome.searches
        for each in search.retrained
        if (file := search.weights.get(each.architecture))
    }
    return [(each, file) for file, each in found.items()]


def _fronts(results: SearchResults) -> list[tuple[str, Markup]]:
    every = results.every
    if not every:
        return []
    found = []
    for cost in COSTS:
        chosen = {one.architecture.name for one in results.front(cost)}
        points = [(float(getattr(one, cost)), one.value or 0.0) for one in every]
        places = [place for place, one in enumerate(every) if one.architecture.name in chosen]
        found.append((NAMES[cost], Markup(front_svg(points, places, "score", NAMES[cost]))))
    return found
