"""What the page of full training shows beside the drawings: accuracies in order, seeds against seeds, fronts."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from markupsafe import Markup

from limbeck_applications.nas.report.accuracies import seeds_svg, sorted_svg
from limbeck_applications.nas.report.space import colours, front_rows, fronts, legend
from limbeck_applications.nas.tables.statistics import Estimate, noise_floor
from limbeck_applications.nas.tables.trainings import TruthResults

ENDS = 10
"""Best and worst architectures that are listed; of twice as many or fewer all are."""

PANELS = 3
"""Pairs of seeds that are drawn."""


def truth_values(results: TruthResults) -> dict[str, Any]:
    """Return what the template of a page of full training is filled with."""
    worth = [] if results.truth is None else [float(value) for value in results.truth]
    lines, cut = list(enumerate(results.lines, 1)), len(results.lines) > 2 * ENDS
    return {
        "best": results.lines[0] if lines else None,
        "median": float(np.median(worth)) if worth else None,
        "accuracies": _sorted(results),
        "legend": legend(results),
        "trait": colours(results)[0],
        "seeds": _seeds(results),
        "groups": results.groups,
        "fronts": fronts(results, "accuracy", worth) if worth else [],
        "cheapest": front_rows(results, worth),
        "ends_of": [("The best", lines[:ENDS]), ("The worst", lines[-ENDS:])] if cut else [("All", lines)],
    }


def _sorted(results: TruthResults) -> Markup:
    if not results.lines:
        return Markup("")
    ranks = {line.architecture.name: place for place, line in enumerate(results.lines)}
    groups = {
        kind: [ranks[results.outcome.architectures[place].name] for place in places]
        for kind, places in colours(results)[1].items()
    }
    return Markup(sorted_svg([[each.test for each in line.runs] for line in results.lines], groups))


def _seeds(results: TruthResults) -> list[tuple[int, int, Estimate, Markup]]:
    """Draw one seed against another, in a panel for each pair, coloured as all architectures are."""
    paired = results.paired
    if len(paired.trained) < 2 or not len(paired.trained[0]):
        return []
    names = [each.name for each in results.outcome.architectures]
    there = {each.name: place for place, each in enumerate(paired.outcome.architectures)}
    groups = {
        kind: [there[names[place]] for place in places if names[place] in there]
        for kind, places in colours(results)[1].items()
    }
    found = []
    for one, other in list(combinations(range(len(paired.trained)), 2))[:PANELS]:
        seeds = paired.outcome.truth.seeds[one], paired.outcome.truth.seeds[other]
        pair = paired.trained[one], paired.trained[other]
        panel = seeds_svg(np.asarray(pair[0]), np.asarray(pair[1]), groups, seeds)
        found.append((*seeds, noise_floor(pair), Markup(panel)))
    return found
