"""What pages show of a space, whatever was asked of it: colours by a trait, and what accuracies cost."""

from __future__ import annotations

from markupsafe import Markup

from limbeck.report.charts import SERIES
from limbeck_applications.nas.report.charts import MARKS, front_svg
from limbeck_applications.nas.searchers.pareto import Objective, front, point
from limbeck_applications.nas.tables.searches import COSTS
from limbeck_applications.nas.tables.trained import Trained

COLOURED = "norm"
"""The trait that points are coloured by, where a space has it."""

NAMES = {"parameters": "parameters", "flops": "FLOPs"}


def colours(results: Trained) -> tuple[str, dict[str, list[int]]]:
    """Return the trait that points are coloured by and its groups; no trait and one group where none divides them."""
    traits = results.traits
    trait = COLOURED if COLOURED in traits else next(iter(traits), "")
    if not trait:
        return "", {"": list(range(len(results.outcome.architectures)))}
    return trait, {kind: places.tolist() for kind, places in traits[trait].items()}


def legend(results: Trained) -> list[tuple[str, int, str]]:
    """Return the name of each group, the number of its colour and the name of its mark."""
    return list(zip(colours(results)[1], range(1, len(SERIES) + 1), MARKS, strict=False))


def fronts(results: Trained, what: str, worth: list[float]) -> list[tuple[str, Markup]]:
    """Draw what architectures are worth against each cost, by the cost's name.

    Args:
        results: with the architectures and their costs.
        what: "accuracy" or "rank".
        worth: of each architecture, the greater the better.
    """
    found = []
    for cost in COSTS:
        points = [
            (float(getattr(results.outcome.costs[each.name], cost)), own)
            for each, own in zip(results.outcome.architectures, worth, strict=True)
        ]
        found.append((NAMES[cost], Markup(front_svg(points, _chosen(results, worth, cost), what, NAMES[cost]))))
    return found


def front_rows(results: Trained, worth: list[float]) -> list[tuple[str, int, int, float]]:
    """Return name, parameters, FLOPs and worth of the architectures that none beats in worth and parameters."""
    rows = []
    for place in _chosen(results, worth, "parameters"):
        name = results.outcome.architectures[place].name
        cost = results.outcome.costs[name]
        rows.append((name, cost.parameters, cost.flops, worth[place]))
    return sorted(rows, key=lambda row: row[1])


def _chosen(results: Trained, worth: list[float], cost: Objective) -> list[int]:
    costs = [results.outcome.costs[each.name] for each in results.outcome.architectures]
    return front(
        [point(own, each.parameters, each.flops, ("score", cost)) for own, each in zip(worth, costs, strict=True)]
    )
