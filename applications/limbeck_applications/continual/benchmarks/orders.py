"""In which order classes arrive, and how they are dealt out to experiences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator

from limbeck.errors import UsageError, closest

ICARL_SEED = 1993


def drawn(classes: int, seed: int) -> list[int]:
    """Return NumPy's legacy permutation of a seed, as published class orders are drawn."""
    return [int(c) for c in np.random.RandomState(seed).permutation(classes)]


DRAWN = "numpy"
"""The name of the orders that differ from one repetition to the next: repetition s is the permutation of seed s."""

FIXED: dict[str, Callable[[int], list[int]]] = {
    "natural": lambda classes: list(range(classes)),
    "icarl": lambda classes: drawn(classes, ICARL_SEED),
    "distilled_replay": lambda classes: list(range(classes))[::-1],
}
"""One order each: as numbered; drawn from seed 1993 (arXiv:1611.07725); last class first (arXiv:2103.15851).

Two orders of 100 classes go by the name of iCaRL. This is the one of most later papers, which begins 68, 56, 78; the
other, which begins 87, 0, 52 and is Avalanche's, can be given as a list.
"""


def _known(value: Any) -> Any:
    if isinstance(value, str) and (value == DRAWN or value in FIXED):
        return value
    if isinstance(value, list | tuple) and all(type(c) is int for c in value):
        return tuple(value)
    near = closest(value, (DRAWN, *FIXED)) if isinstance(value, str) else None
    guess = f" (did you mean '{near}'?)" if near else ""
    raise ValueError(f"must be {DRAWN}, {', '.join(FIXED)}, or a list of all classes, such as [1, 0, 2]{guess}")


ClassOrder = Annotated[str | tuple[int, ...], BeforeValidator(_known)]


def class_order(asked: str | Sequence[int], classes: int, repetition: int) -> list[int]:
    """Return the classes in order of arrival.

    Args:
        asked: ``numpy``, the name of a fixed order, or the order itself.
        classes: how many there are.
        repetition: number of the order, from 0; only ``numpy`` has more than one.

    Raises:
        UsageError: a list that is no permutation of the classes, or a further repetition of a fixed order.
    """
    if asked == DRAWN:
        return drawn(classes, repetition)
    if repetition:
        shown = asked if isinstance(asked, str) else "a list"
        raise UsageError(
            f"class_order={shown} is one order, but a further one was asked for. Type --orders 1 and more --seeds, or "
            f"class_order={DRAWN}, which has as many as you like."
        )
    return FIXED[asked](classes) if isinstance(asked, str) else _permutation(asked, classes)


def _permutation(asked: Sequence[int], classes: int) -> list[int]:
    order = list(asked)
    if sorted(order) == list(range(classes)):
        return order
    unknown = [c for c in order if not 0 <= c < classes]
    twice = [c for position, c in enumerate(order) if c in order[:position]]
    lost = sorted(set(range(classes)) - set(order))
    found = (
        f"class {unknown[0]} does not exist"
        if unknown
        else f"class {twice[0]} is named twice"
        if twice
        else f"class {lost[0]} is missing"
    )
    raise UsageError(
        f"class_order must name each of the {classes} classes, 0 to {classes - 1}, exactly once, but {found}. "
        f"Names of orders: {', '.join((DRAWN, *FIXED))}."
    )


def sizes(classes: int, experiences: int, *, first: int | None = None, uneven: bool = False) -> list[int]:
    """Return how many classes each experience brings; they add up to all classes.

    Args:
        classes: how many there are.
        experiences: how many they are dealt out to.
        first: classes of the first experience, the others sharing the rest; the same as the others when None.
        uneven: whether the earlier experiences may bring one class more than the later ones.

    Raises:
        UsageError: more experiences than classes, or classes that cannot be shared equally.
    """
    if first is not None:
        if first >= classes or experiences < 2:
            raise UsageError(
                f"a first experience of {first} of {classes} classes leaves {max(classes - first, 0)} for "
                f"{experiences - 1} others. Type for example first={max(classes // 2, 1)} and experiences=2 or more."
            )
        return [first, *sizes(classes - first, experiences - 1, uneven=uneven)]
    share, rest = divmod(classes, experiences)
    if not share:
        raise UsageError(
            f"{experiences} experiences were asked for, but there are {classes} classes for them. "
            f"Type experiences={classes} or fewer."
        )
    if rest and not uneven:
        divisors = [str(d) for d in range(2, classes + 1) if classes % d == 0]
        raise UsageError(
            f"{classes} classes cannot be shared equally by {experiences} experiences. Type experiences="
            f"{', '.join(divisors)}, or uneven=true, which gives the earlier ones {share + 1} and the later {share}."
        )
    return [share + (position < rest) for position in range(experiences)]
