"""What a continual benchmark promises: streams that lose no class and no test image, from the order's number alone."""

from __future__ import annotations

import torch

from limbeck.data import DataSet, DataSpec
from limbeck.errors import UnknownNameError, UsageError
from limbeck.plugins import registry
from limbeck.testing.general import names_its_source
from limbeck.testing.suite import NotApplicable, Subject, require
from limbeck_applications.continual.stream import ContinualBenchmark, Stream
from limbeck_applications.continual.testing.cases import noise

BASE = ContinualBenchmark
CLASSES, SHAPE = 10, "1x8x8"
"""Of data sets that do not say how many classes they have, and of what shape their images are."""


def _stand_in(benchmark: ContinualBenchmark) -> DataSet:
    """Return random images of as many classes as the benchmark's data set has."""
    try:
        facts = registry().entry("datasets", benchmark.source["name"]).facts
    except UnknownNameError:
        facts = {}
    classes = int(facts.get("classes", CLASSES))
    channels, height, width = map(int, str(facts.get("shape", SHAPE)).split("x"))
    names = tuple(f"class {c}" for c in range(classes))
    spec = DataSpec(
        "tiny", (channels, height, width), classes, names, (0.5,) * channels, (0.25,) * channels, mirror=False
    )
    return noise(spec)


def _stream(subject: Subject, order: int = 0) -> tuple[DataSet, Stream]:
    benchmark: ContinualBenchmark = subject.make()
    data = _stand_in(benchmark)
    return data, benchmark.stream(data, order)


def names_a_data_set(subject: Subject) -> None:
    """The data set it is made of is registered, and takes the options that it gives it."""
    source = subject.make().source
    registry().create("datasets", source)


def shows_every_class(subject: Subject) -> None:
    """No class of the data is left out, and experiences hold images of exactly the classes that they name."""
    data, stream = _stream(subject)
    shown = {c for experience in stream.experiences for c in experience.classes}
    require(shown == set(range(data.spec.num_classes)), f"{data.spec.num_classes - len(shown)} classes are left out")
    require(stream.spec.num_classes == data.spec.num_classes, "the stream numbers classes anew")
    for number, experience in enumerate(stream.experiences):
        for part in (experience.train, experience.test):
            found = set(part.labels.tolist())
            require(found == set(experience.classes), f"experience {number} names other classes than it holds")


def brings_classes_once(subject: Subject) -> None:
    """Where every experience brings new classes, no class comes twice, and no training image is lost."""
    data, stream = _stream(subject)
    if stream.scenario != "class":
        raise NotApplicable("its classes come again in every experience")
    classes = [c for experience in stream.experiences for c in experience.classes]
    require(len(classes) == len(set(classes)), "a class is in two experiences")
    held = sum(len(experience.train) for experience in stream.experiences)
    require(held == len(data.train), f"{held} training images of {len(data.train)} are in the experiences")


def tests_on_all_images_of_its_classes(subject: Subject) -> None:
    """Each experience is tested on every test image of its classes."""
    data, stream = _stream(subject)
    for number, experience in enumerate(stream.experiences):
        wanted = sum(data.test.group_sizes[c] for c in experience.classes)
        require(len(experience.test) == wanted, f"experience {number} has {len(experience.test)} of {wanted} images")


def is_deterministic(subject: Subject) -> None:
    """The same order gives the same stream."""
    one, other = _stream(subject)[1], _stream(subject)[1]
    require(_content(one) == _content(other), "the same order gave another stream the second time")


def has_further_orders(subject: Subject) -> None:
    """A further order gives another stream, or is refused in one line."""
    first = _stream(subject)[1]
    try:
        second = _stream(subject, 1)[1]
    except UsageError as error:
        require("\n" not in str(error), "the message has several lines")
        raise NotApplicable("it has one order") from None
    require(_content(first) != _content(second), "orders 0 and 1 are the same stream; refuse those that do not exist")


def leaves_the_data_alone(subject: Subject) -> None:
    """The images of the data set are afterwards what they were."""
    data = _stream(subject)[0]
    fresh = _stand_in(subject.make())
    same = torch.equal(data.train.images, fresh.train.images) and torch.equal(data.test.images, fresh.test.images)
    require(same, "images of the data set have changed")


def _content(stream: Stream) -> list[tuple[tuple[int, ...], str, str]]:
    return [(each.classes, each.train.digest(), each.test.digest()) for each in stream.experiences]


CHECKS = (
    names_its_source,
    names_a_data_set,
    shows_every_class,
    brings_classes_once,
    tests_on_all_images_of_its_classes,
    is_deterministic,
    has_further_orders,
    leaves_the_data_alone,
)
