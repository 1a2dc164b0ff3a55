"""What a continual strategy promises: a row after each experience, from its seed, its memory and the past alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from itertools import islice

import torch

from limbeck.errors import DataError, UsageError
from limbeck.testing.general import names_its_source
from limbeck.testing.suite import NotApplicable, Subject, require
from limbeck_applications.continual.bridge.randomness import lent_generators
from limbeck_applications.continual.bridge.strategy import AvalancheStrategy
from limbeck_applications.continual.memory.budget import Budget, image_bytes
from limbeck_applications.continual.strategy import Context, FromMemory, Kept, Retrained, Row, Strategy
from limbeck_applications.continual.stream import Experience, Stream
from limbeck_applications.continual.testing.cases import (
    EXPERIENCES,
    tiny_context,
    tiny_stream,
    with_other_images,
    with_other_memory,
)

BASE = Strategy
FAMILIES = (Strategy, AvalancheStrategy, FromMemory)
RECORDS = (Experience, Kept, Budget)
"""What authors derive from and are handed, for the page of the kind."""

OUTSIDE = 20_210_310


def _learned(subject: Subject, stream: Stream, context: Context, rows: int = EXPERIENCES) -> list[Row]:
    """Return the first rows of a run; the global generators are lent as a study lends them."""
    strategy: Strategy = subject.make()
    try:
        strategy.check(stream, context)
        with lent_generators(context.seed_of("lent")):
            return list(islice(strategy.run(stream, context), rows))
    except DataError as error:
        raise NotApplicable(str(error)) from None


def _rows(subject: Subject) -> list[Row]:
    stream = tiny_stream()
    return subject.keep("rows", lambda: _learned(subject, stream, tiny_context(stream)))  # type: ignore[no-any-return]


def _figures(rows: list[Row]) -> list[tuple[object, ...]]:
    return [(row.accuracies, row.bytes, row.images) for row in rows]


def writes_a_row_after_each_experience(subject: Subject) -> None:
    """It writes a row after each experience, with an accuracy on every experience of the stream."""
    rows = _rows(subject)
    require(len(rows) == EXPERIENCES, f"{len(rows)} rows of a stream of {EXPERIENCES} experiences")
    for row in rows:
        require(len(row.accuracies) == EXPERIENCES, f"{len(row.accuracies)} accuracies of {EXPERIENCES} experiences")
        require(all(0 <= found <= 1 for found in row.accuracies), f"accuracies {row.accuracies} outside 0 to 1")
        costs = {name: value for name, value in asdict(row).items() if name != "accuracies"}
        bad = [name for name, value in costs.items() if not (math.isfinite(value) and value >= 0)]
        require(not bad, f"{', '.join(bad)} negative or not finite")


def keeps_what_it_may(subject: Subject) -> None:
    """After every experience it keeps no more bytes than it may, and counts the images among them."""
    stream = tiny_stream()
    budget, kind = tiny_context(stream).budget, subject.cls.memory
    if kind == "other":
        raise NotApplicable("the budget does not bound what it keeps")
    for position, row in enumerate(_rows(subject)):
        seen = len(stream.seen(position))
        allowed = 0 if kind == "none" else budget.allowed(seen)
        require(row.bytes <= allowed, f"{row.bytes} bytes kept where {allowed} are allowed, after {seen} classes")
        least = row.images * image_bytes(stream.spec) if kind == "real" else row.images
        require(row.bytes >= least, f"{row.images} images in {row.bytes} bytes")


def refuses_a_budget_that_is_too_small(subject: Subject) -> None:
    """A budget that does not hold one image of each class is refused in one line, before anything is trained."""
    if subject.cls.memory != "real":
        raise NotApplicable("it keeps no real images")
    stream = tiny_stream()
    context = tiny_context(stream, budget=Budget(1, stream.spec.num_classes))
    _refused(lambda: subject.make().check(stream, context))


def is_deterministic(subject: Subject) -> None:
    """The same seed gives the same rows, whatever was drawn elsewhere before."""
    stream = tiny_stream()
    state = torch.get_rng_state()
    torch.set_rng_state(torch.Generator().manual_seed(OUTSIDE).get_state())
    try:
        again = _learned(subject, stream, tiny_context(stream))
    finally:
        torch.set_rng_state(state)
    require(_figures(again) == _figures(_rows(subject)), "the same seed gave other figures the second time")


def knows_nothing_of_later_experiences(subject: Subject) -> None:
    """What it answers after an experience does not depend on the training images or the memory of later ones."""
    stream = with_other_images(tiny_stream(), EXPERIENCES - 1)
    context = with_other_memory(tiny_context(tiny_stream()), EXPERIENCES - 1)
    found = _learned(subject, stream, context, EXPERIENCES - 1)
    require(
        _figures(found) == _figures(_rows(subject)[: EXPERIENCES - 1]),
        "earlier figures change with the training images or the memory of the last experience",
    )


def leaves_the_stream_alone(subject: Subject) -> None:
    """The images of the stream and of the memory are afterwards what they were."""
    stream = tiny_stream()
    context = tiny_context(stream)
    _learned(subject, stream, context)
    fresh, other = tiny_stream(), tiny_context(stream)
    for one, two in zip(stream.experiences, fresh.experiences, strict=True):
        same = torch.equal(one.train.images, two.train.images) and torch.equal(one.train.labels, two.train.labels)
        require(same and torch.equal(one.test.images, two.test.images), "images or labels of the stream have changed")
    for one_kept, two_kept in zip(context.memory, other.memory, strict=True):
        require(torch.equal(one_kept.images, two_kept.images), "images of the memory have changed")


def learns_from_soft_labels(subject: Subject) -> None:
    """A memory whose labels are probabilities can be learned from."""
    if subject.cls.memory != "distilled":
        raise NotApplicable("it has no distilled memory")
    stream = tiny_stream()
    found = _learned(subject, stream, tiny_context(stream, soft=True), 1)
    require(len(found) == 1, "no row came of it")


def trains_each_network_by_itself(subject: Subject) -> None:
    """A network that is trained from memory does not depend on those that are trained in the same call."""
    if not issubclass(subject.cls, FromMemory):
        raise NotApplicable("it does not train from memory alone")
    stream = tiny_stream()
    context, strategy = tiny_context(stream), subject.make()
    asked = [Retrained(stream, 1, context.memory[1], seed) for seed in (3, 4)]
    together = strategy.retrain(asked, context)
    alone = [row for each in asked for row in strategy.retrain([each], context)]
    require(_figures(together) == _figures(alone), "other figures than when each is trained alone")


def _refused(call: Callable[[], object]) -> None:
    try:
        call()
    except UsageError as error:
        require("\n" not in str(error), "the message has several lines")
        return
    require(False, "nothing is raised; call context.budget.images(seen, bytes_of_an_image) in check")


CHECKS = (
    names_its_source,
    writes_a_row_after_each_experience,
    keeps_what_it_may,
    refuses_a_budget_that_is_too_small,
    is_deterministic,
    knows_nothing_of_later_experiences,
    leaves_the_stream_alone,
    learns_from_soft_labels,
    trains_each_network_by_itself,
)
