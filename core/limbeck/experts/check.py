"""Looking a buffer over: whether its files are whole, and whether its experts learned."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from limbeck.errors import ArtifactError
from limbeck.experts.buffer import Buffer
from limbeck.experts.records import Head, Record, read_record


@dataclass(frozen=True)
class Finding:
    """What there is to say of one expert.

    Attributes:
        subject: which.
        text: what was found.
        is_wrong: whether it cannot be followed.
    """

    subject: str
    text: str
    is_wrong: bool = False


def check(buffer: Buffer) -> Iterator[Finding]:
    """Read every expert of a buffer, and yield what is wrong with it, or how it learned."""
    numbers = buffer.experts()
    if not numbers:
        yield Finding(buffer.key, "no expert has finished an epoch yet")
    for expert in range(max(numbers, default=-1) + 1):
        name = f"expert {expert}"
        try:
            head = buffer.head(expert)
            record = read_record(buffer.file(expert))
        except FileNotFoundError:
            yield Finding(name, "is missing; the same 'limbeck experts train' as before trains it", is_wrong=True)
            continue
        except ArtifactError as error:
            yield Finding(name, str(error), is_wrong=True)
            continue
        faults = [] if head is None else list(_faults(head, record))
        yield Finding(name, "; ".join(faults) or _described(record), is_wrong=bool(faults))


def _faults(head: Head, record: Record) -> Iterator[str]:
    infinite = [epoch for epoch, weights in enumerate(record.weights) if not bool(torch.isfinite(weights).all())]
    if infinite:
        yield f"its weights after epoch {infinite[0]} are no finite numbers"
    still = [epoch for epoch, length in enumerate(moved(record.weights), 1) if length == 0]
    if still:
        yield f"its weights did not move in epoch {still[0]}"
    first, last = head.losses[0], head.losses[-1]
    if not math.isfinite(last) or (head.epochs > 1 and last >= first):
        yield f"its training loss did not fall ({first:.3g} -> {last:.3g})"


def _described(record: Record) -> str:
    lengths = moved(record.weights)
    way = f"moved {lengths[0]:.3g} in the first epoch" + (f", {lengths[-1]:.3g} in the last" if lengths[1:] else "")
    return f"{len(record.losses)} epochs, training loss {record.losses[0]:.3g} -> {record.losses[-1]:.3g}, {way}"


def moved(weights: list[Tensor]) -> list[float]:
    """Return how far the weights went in each epoch, the Euclidean length."""
    return [float((after - before).norm()) for before, after in itertools.pairwise(weights)]
