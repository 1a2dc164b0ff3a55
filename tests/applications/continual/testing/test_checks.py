"""Each check of strategies and streams finds what it is there to find, and the others let the component pass."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch

from limbeck.entries import Entry
from limbeck.errors import UsageError
from limbeck.plugins import load_installed, using
from limbeck.testing import check
from limbeck_applications.continual.benchmarks.split import SplitDigits
from limbeck_applications.continual.memory.budget import image_bytes
from limbeck_applications.continual.strategies.distilled_gdumb import DistilledGDumb
from limbeck_applications.continual.strategy import Row, Strategy
from limbeck_applications.continual.stream import Stream
from limbeck_applications.continual.testing.cases import tiny_stream


@pytest.fixture
def failures():
    """What fails of a class, tried as a component of a kind: reason by check."""

    def ask(kind, cls):
        with using(load_installed()) as registry:
            registry.add(Entry(kind, "tried", cls, summary="tried", plugin="tests", distribution="tests"))
            return {one.check: one.reason for one in check(kind, "tried") if one.status == "failed"}

    return ask


class Fair(Strategy):
    """Answers at random, from its seed; unpublished."""

    memory = "real"

    def check(self, stream, context):
        context.budget.images(1, image_bytes(stream.spec))

    def run(self, stream, context):
        for position, _ in enumerate(stream.experiences):
            yield self.row(stream, context, position)

    def row(self, stream, context, position):
        draw = torch.Generator().manual_seed(context.seed_of("row", position))
        found = tuple(torch.rand(len(stream), generator=draw).tolist())
        images = context.budget.images(len(stream.seen(position)), image_bytes(stream.spec))
        return Row(found, 0.1, images * image_bytes(stream.spec), images)


class Short(Fair):
    """Leaves out the last row; unpublished."""

    def run(self, stream, context):
        yield from list(super().run(stream, context))[:-1]


class Percent(Fair):
    """Answers in per cent; unpublished."""

    def row(self, stream, context, position):
        return Row((50.0,) * len(stream), 0.1)


class Seen(Fair):
    """Answers on the experiences so far alone; unpublished."""

    def row(self, stream, context, position):
        return Row((0.5,) * (position + 1), 0.1)


class Timeless(Fair):
    """Does not know how long it took; unpublished."""

    def row(self, stream, context, position):
        return Row((0.5,) * len(stream), float("nan"))


class Greedy(Fair):
    """Keeps what the whole stream allows from the start; unpublished."""

    def row(self, stream, context, position):
        return replace(super().row(stream, context, position), bytes=context.budget.total)


class Careless(Fair):
    """Counts half of its bytes; unpublished."""

    def row(self, stream, context, position):
        row = super().row(stream, context, position)
        return replace(row, bytes=row.bytes // 2)


class Unchecked(Fair):
    """Does not look at the budget before; unpublished."""

    def check(self, stream, context):
        return


COUNTER = iter(range(10**6))


class Moody(Fair):
    """Draws from something that no seed reaches; unpublished."""

    def row(self, stream, context, position):
        return replace(super().row(stream, context, position), accuracies=(1 / (1 + next(COUNTER)),) * len(stream))


class Prophet(Fair):
    """Looks at images that have not arrived; unpublished."""

    def row(self, stream, context, position):
        light = float(stream.experiences[-1].train.images.double().mean()) / 255
        return replace(super().row(stream, context, position), accuracies=(light,) * len(stream))


class Seer(Fair):
    """Learns from what the memory will hold at the end; unpublished."""

    memory = "distilled"

    def row(self, stream, context, position):
        last, kept = context.memory[-1], context.memory[position]
        light = float(last.images.double().mean().sigmoid())
        return Row((light,) * len(stream), 0.1, kept.bytes, kept.stored)


class Hasty(DistilledGDumb):
    """Trains on the last memory from the start; unpublished."""

    def retrain(self, networks, context):
        return super().retrain([replace(each, memory=context.memory[-1]) for each in networks], context)


class Vandal(Fair):
    """Blackens the images it has learned; unpublished."""

    def row(self, stream, context, position):
        stream.experiences[position].train.images.zero_()
        return super().row(stream, context, position)


class HardOnly(Fair):
    """Takes labels for classes; unpublished."""

    memory = "distilled"

    def row(self, stream, context, position):
        kept = context.memory[position]
        torch.bincount(kept.labels)
        return Row((0.5,) * len(stream), 0.1, kept.bytes, kept.stored)


class Herd(DistilledGDumb):
    """Networks that learn from each other; unpublished."""

    def retrain(self, networks, context):
        rows = super().retrain(networks, context)
        return [replace(row, accuracies=(1 / len(networks),) * len(row.accuracies)) for row in rows]


ROWS = "It writes a row after each experience, with an accuracy on every experience of the stream"
KEEPS = "After every experience it keeps no more bytes than it may, and counts the images among them"
SAME = "The same seed gives the same rows, whatever was drawn elsewhere before"
LATER = "What it answers after an experience does not depend on the training images or the memory of later ones"


def test_a_fair_strategy_passes(failures):
    assert failures("continual_strategies", Fair) == {}


@pytest.mark.parametrize(
    ("cls", "check", "reason"),
    [
        (Short, ROWS, "2 rows of a stream of 3 experiences"),
        (Percent, ROWS, "outside 0 to 1"),
        (Seen, ROWS, "1 accuracies of 3 experiences"),
        (Timeless, ROWS, "seconds negative or not finite"),
        (Greedy, KEEPS, "780 bytes kept where 260 are allowed, after 2 classes"),
        (Careless, KEEPS, "4 images in 130 bytes"),
        (
            Unchecked,
            "A budget that does not hold one image of each class is refused in one line, before anything is trained",
            "call context.budget.images",
        ),
        (Moody, SAME, "other figures the second time"),
        (Prophet, LATER, "earlier figures change"),
        (Seer, LATER, "earlier figures change"),
        (Vandal, "The images of the stream and of the memory are afterwards what they were", "have changed"),
        (HardOnly, "A memory whose labels are probabilities can be learned from", "raised "),
        (
            Herd,
            "A network that is trained from memory does not depend on those that are trained in the same call",
            "other figures",
        ),
    ],
)
def test_a_strategy_that_breaks_a_promise_is_found(failures, cls, check, reason):
    found = failures("continual_strategies", cls)
    assert reason in found[check]
    if cls is not Moody:  # whose rows are other ones wherever they are looked at
        assert set(found) == {check}


def test_a_look_at_the_last_memory_is_found_by_training_on_it(failures):
    assert "earlier figures change" in failures("continual_strategies", Hasty)[LATER]


class Even(SplitDigits):
    """Digits in pairs; unpublished."""


class Lossy(SplitDigits):
    """Forgets some training images; unpublished."""

    def stream(self, data, order):
        found = super().stream(data, order)
        first = found.experiences[0]
        fewer = replace(first, train=first.train.subset(torch.arange(len(first.train) - 1)))
        return replace(found, experiences=(fewer, *found.experiences[1:]))


class Untested(SplitDigits):
    """Tests on the first images; unpublished."""

    def stream(self, data, order):
        found = super().stream(data, order)
        kept = [replace(e, test=e.test.subset(torch.arange(len(e.classes)))) for e in found.experiences]
        return replace(found, experiences=tuple(kept))


class Misnamed(SplitDigits):
    """Names classes that are not there; unpublished."""

    def stream(self, data, order):
        found = super().stream(data, order)
        names = [e.classes for e in found.experiences]
        moved = [replace(e, classes=own) for e, own in zip(found.experiences, names[1:] + names[:1], strict=True)]
        return replace(found, experiences=tuple(moved))


class Twice(SplitDigits):
    """Brings the first classes again; unpublished."""

    def stream(self, data, order):
        found = super().stream(data, order)
        return replace(found, experiences=(*found.experiences, found.experiences[0]))


class Single(SplitDigits):
    """Has one order and says so to nobody; unpublished."""

    def stream(self, data, order):
        return super().stream(data, 0)


class Restless(SplitDigits):
    """Another stream at every call; unpublished."""

    def stream(self, data, order):
        return super().stream(data, next(COUNTER))


class Staining(SplitDigits):
    """Changes the data; unpublished."""

    def stream(self, data, order):
        data.train.images.fill_(7)
        return super().stream(data, order)


class Elsewhere(SplitDigits):
    """Made of something that does not exist; unpublished."""

    data = "no_such_data"


class Many(SplitDigits):
    """Refuses a further order in several lines; unpublished."""

    def stream(self, data, order):
        if order:
            raise UsageError("one\ntwo")
        return super().stream(data, order)


ONCE = "Where every experience brings new classes, no class comes twice, and no training image is lost"


def test_a_fair_benchmark_passes(failures):
    assert failures("continual_benchmarks", Even) == {}


@pytest.mark.parametrize(
    ("cls", "check", "reason"),
    [
        (Lossy, ONCE, "29 training images of 30"),
        (Twice, ONCE, "a class is in two experiences"),
        (Untested, "Each experience is tested on every test image of its classes", "2 of 4 images"),
        (
            Misnamed,
            "No class of the data is left out, and experiences hold images of exactly the classes that they name",
            "names other classes than it holds",
        ),
        (Single, "A further order gives another stream, or is refused in one line", "the same stream"),
        (Many, "A further order gives another stream, or is refused in one line", "several lines"),
        (Restless, "The same order gives the same stream", "another stream"),
        (Staining, "The images of the data set are afterwards what they were", "have changed"),
        (
            Elsewhere,
            "The data set it is made of is registered, and takes the options that it gives it",
            "unknown dataset 'no_such_data'",
        ),
    ],
)
def test_a_benchmark_that_breaks_a_promise_is_found(failures, cls, check, reason):
    found = failures("continual_benchmarks", cls)
    assert reason in found[check], found
    assert set(found) == {check}


def test_a_stream_that_loses_a_class_cannot_be_made():
    stream = tiny_stream()
    with pytest.raises(UsageError, match=r"must hold all of its 6 classes, but class 4 \('4'\) is in none"):
        Stream(stream.spec, stream.experiences[:-1])


def test_without_the_library_a_check_says_what_to_install(monkeypatch):
    for name in ["avalanche", *(name for name in sys.modules if name.startswith("avalanche."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with using(load_installed()):
        found = {one.check: one for one in check("continual_strategies", "naive")}
    assert (found[ROWS].status, found[SAME].status) == ("not applicable", "not applicable")
    assert "pip install 'limbeck[continual]'" in found[ROWS].reason
    assert found["Every option says what it means"].status == "passed"
