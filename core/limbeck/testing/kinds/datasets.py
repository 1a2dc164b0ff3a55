"""What a data set promises: bytes and labels that fit what is announced. Files that are missing excuse it."""

from __future__ import annotations

import torch

from limbeck.data import Dataset, RawData, RealData, default_root
from limbeck.data.checks import check_classes
from limbeck.data.verify import statistics_of
from limbeck.errors import DataError
from limbeck.testing.randomness import same_bits
from limbeck.testing.suite import NotApplicable, Subject, require

BASE = Dataset
SMALL = 2**24
"""Bytes of training images up to which a data set is read a second time."""


def _raw(subject: Subject) -> RawData:
    """Return the data as read from the usual folder, once.

    Raises:
        NotApplicable: files are missing.
    """

    def load() -> RawData | str:
        try:
            return _load(subject)
        except DataError as error:
            return str(error)

    found = subject.keep("raw", load)
    if isinstance(found, str):
        raise NotApplicable(found)
    raw: RawData = found
    return raw


def _load(subject: Subject) -> RawData:
    raw: RawData = subject.make().load(default_root().expanduser(), download=False)
    return raw


def parts_are_what_they_say(subject: Subject) -> None:
    """Both parts hold bytes and class ids of the shape and classes announced."""
    raw = _raw(subject)
    parts = {"training": (raw.train_images, raw.train_labels), "test": (raw.test_images, raw.test_labels)}
    for name, (images, labels) in parts.items():
        require(images.dtype == torch.uint8 and labels.dtype == torch.int64, f"{name}: {images.dtype}, {labels.dtype}")
        require(tuple(images.shape[1:]) == raw.spec.shape, f"{name}: {list(images.shape[1:])}, not {raw.spec.shape}")
        require(images.device.type == labels.device.type == "cpu", f"{name}: not on the CPU")
        RealData(images, labels, raw.spec)


def every_class_is_there(subject: Subject) -> None:
    """Every class has a name of its own and training images."""
    raw = _raw(subject)
    require(len(set(raw.spec.class_names)) == raw.spec.num_classes, "class names repeat")
    counts = torch.bincount(raw.train_labels, minlength=raw.spec.num_classes)
    check_classes(counts.tolist(), raw.spec.class_names, raw.spec.name)


def statistics_are_its_own(subject: Subject) -> None:
    """Mean and std are those of its training images, or a convention near enough to normalise by."""
    finding = statistics_of(_raw(subject))
    require(finding.verdict != "wrong", finding.text)


def matches_its_listing(subject: Subject) -> None:
    """What listings say of it is true."""
    raw, facts = _raw(subject), subject.entry.facts
    true = {
        "shape": "x".join(map(str, raw.spec.shape)),
        "classes": raw.spec.num_classes,
        "train": len(raw.train_labels),
        "test": len(raw.test_labels),
    }
    if not true.keys() & facts.keys():
        raise NotApplicable("its registration states no facts")
    for name in true.keys() & facts.keys():
        require(facts[name] == true[name], f"{name} is said to be {facts[name]}, and is {true[name]}")


def reads_the_same_twice(subject: Subject) -> None:
    """Reading it again gives the same bytes."""
    raw = _raw(subject)
    if raw.train_images.numel() > SMALL:
        raise NotApplicable("it is too large to be read twice for this")
    other = _load(subject)
    require(same_bits([raw.train_images, raw.test_labels], [other.train_images, other.test_labels]), "it does not")


CHECKS = (
    parts_are_what_they_say,
    every_class_is_there,
    statistics_are_its_own,
    matches_its_listing,
    reads_the_same_twice,
)
