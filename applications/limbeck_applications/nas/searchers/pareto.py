"""Trade-offs: what no other architecture beats in everything, and how much such a front is worth.

Papers: Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II" (10.1109/4235.996017), sections III.A
(sorting by non-domination) and III.B (crowding distance); Zitzler and Thiele, "Multiobjective evolutionary algorithms"
(10.1109/4235.797969) for the hypervolume. Written from the definitions.

The same: ranks, and crowding distances whose extremes are infinite and whose others are sums of normalised gaps.
Different: of points that are equal in everything one counts as crowded out by the other, so that a population does not
fill with copies. Points are tuples of numbers that are all to be small; ``point`` turns a score around.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from limbeck_applications.nas.searcher import Trial

Objective = Literal["score", "parameters", "flops"]
"""What architectures are compared in: the score is to be great, the others small."""

OBJECTIVES: tuple[Objective, ...] = ("score", "parameters", "flops")

BEYOND = 1.1
"""Where the reference of a hypervolume lies, of the range of all points that are compared."""

Point = tuple[float, ...]
"""One number an objective, all to be small."""


def point(value: float, parameters: float, flops: float, objectives: Sequence[Objective] = OBJECTIVES) -> Point:
    """Return where an architecture lies: its score with the sign turned, and its costs, as far as they are asked."""
    found = {"score": -value, "parameters": float(parameters), "flops": float(flops)}
    return tuple(found[name] for name in objectives)


def point_of(trial: Trial, objectives: Sequence[Objective] = OBJECTIVES) -> Point:
    """Return where a trial lies."""
    return point(trial.value, trial.cost.parameters, trial.cost.flops, objectives)


def dominates(one: Point, other: Point) -> bool:
    """Return whether ``one`` is nowhere greater than ``other`` and somewhere smaller."""
    return one != other and all(own <= its for own, its in zip(one, other, strict=True))


def layers(points: Sequence[Point]) -> list[list[int]]:
    """Sort points by non-domination.

    Args:
        points: all of one length, without NaN.

    Returns:
        Places of the points that nothing dominates, then of those that only the first dominate, and so on.
    """
    beaten = [[place for place, other in enumerate(points) if dominates(own, other)] for own in points]
    above = [0] * len(points)
    for places in beaten:
        for place in places:
            above[place] += 1
    found, current = [], [place for place, number in enumerate(above) if number == 0]
    while current:
        found.append(current)
        following = []
        for place in current:
            for other in beaten[place]:
                above[other] -= 1
                if above[other] == 0:
                    following.append(other)
        current = sorted(following)
    return found


def front(points: Sequence[Point]) -> list[int]:
    """Return the places of the points that nothing dominates, in order; of equal points the first."""
    different = dict.fromkeys(points)
    return [
        place
        for place, own in enumerate(points)
        if own not in points[:place] and not any(dominates(other, own) for other in different)
    ]


def front_of(trials: Sequence[Trial], objectives: Sequence[Objective] = OBJECTIVES) -> list[Trial]:
    """Return the trials that no other beats in everything; those that came to nothing are left out."""
    sound = [trial for trial in trials if not trial.failed and math.isfinite(trial.value)]
    return [sound[place] for place in front([point_of(trial, objectives) for trial in sound])]


def crowding(points: Sequence[Point]) -> list[float]:
    """Return how far apart each point's neighbours are, summed over objectives, each divided by its range.

    A point at the end of an objective is infinitely far; a copy of an earlier point is at distance -1.
    """
    first = {own: place for place, own in reversed(list(enumerate(points)))}
    found = [0.0 if first[own] == place else -1.0 for place, own in enumerate(points)]
    for axis in range(len(points[0]) if points else 0):
        order = sorted(first.values(), key=lambda place: points[place][axis])
        spread = points[order[-1]][axis] - points[order[0]][axis]
        found[order[0]] = found[order[-1]] = math.inf
        if spread:
            for before, place, after in zip(order, order[1:], order[2:], strict=False):
                found[place] += (points[after][axis] - points[before][axis]) / spread
    return found


def survivors(points: Sequence[Point], number: int) -> list[int]:
    """Select as NSGA-II does: by rank, and of the last rank that does not fit those in the emptiest places.

    Args:
        points: what there is to select from.
        number: how many.

    Returns:
        Places of at most so many points. None of them is dominated by a point that is not among them.
    """
    chosen: list[int] = []
    for layer in layers(points):
        room = number - len(chosen)
        if len(layer) > room:
            apart = crowding([points[place] for place in layer])
            order = sorted(range(len(layer)), key=lambda own: -apart[own])
            return chosen + [layer[own] for own in order[:room]]
        chosen += layer
    return chosen


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """Return the volume between a reference and the points that are smaller in everything.

    Args:
        points: all to be small, without NaN.
        reference: the worst that counts; a point that is not smaller in every objective adds nothing.

    Returns:
        A number from 0, exact but for rounding: the union of the boxes from each point to the reference.
    """
    inside = sorted({own for own in points if all(a < b for a, b in zip(own, reference, strict=True))}, key=_last)
    if len(reference) == 1:
        return reference[0] - inside[0][0] if inside else 0.0
    volume = 0.0
    for number, own in enumerate(inside):
        until = inside[number + 1][-1] if number + 1 < len(inside) else reference[-1]
        if until > own[-1]:
            volume += (until - own[-1]) * hypervolume([each[:-1] for each in inside[: number + 1]], reference[:-1])
    return volume


def shares(searches: Sequence[Sequence[Point]]) -> list[float]:
    """Return the hypervolume of several sets of points, as shares in [0, 1] of one box for all of them.

    The box reaches from the best of all points in each objective to ``BEYOND`` of the range past it: a reference at the
    worst of all points would give nothing to the ends of a front, such as the cheapest architecture where it scores
    worst. An objective in which all points are equal does not count.

    Args:
        searches: the points of each, such as those of searches that are to be compared.
    """
    every = [own for points in searches for own in points]
    if not every:
        return [0.0] * len(searches)
    least, most = (tuple(map(pick, zip(*every, strict=True))) for pick in (min, max))
    axes = [axis for axis in range(len(least)) if most[axis] > least[axis]]
    if not axes:
        return [1.0 if points else 0.0 for points in searches]

    def scaled(own: Point) -> Point:
        return tuple((own[axis] - least[axis]) / (most[axis] - least[axis]) for axis in axes)

    reference = (BEYOND,) * len(axes)
    return [hypervolume([scaled(own) for own in points], reference) / math.prod(reference) for points in searches]


def _last(own: Point) -> float:
    return own[-1]
