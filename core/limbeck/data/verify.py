"""What can be told about a data set once it was read: numbers, statistics, and images in both parts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from limbeck.data.dataset import RawData
from limbeck.data.load import channel_statistics

MEAN_TOLERANCE = 0.05
STD_FACTOR = 1.5
"""Statistics may be a convention, such as another set's, but no further from the measured ones than this."""

EXACT = 5e-4
"""Difference below which stated statistics are the measured ones, rounded."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        verdict: ``"ok"``, ``"note"`` for what may be meant so, or ``"wrong"``.
        subject: what was looked at, in a word.
        text: what was found.
    """

    verdict: Literal["ok", "note", "wrong"]
    subject: str
    text: str


def verify(raw: RawData, facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what is found in a data set whose tensors are valid.

    Args:
        raw: the set.
        facts: what its registration states: ``shape``, ``classes``, ``train``, ``test``, or none of these.
    """
    yield from _numbers(raw, facts)
    yield from _classes(raw)
    yield statistics_of(raw)
    yield from _duplicates(raw)


def _numbers(raw: RawData, facts: Mapping[str, Any]) -> Iterator[Finding]:
    found = {
        "shape": "x".join(map(str, raw.spec.shape)),
        "classes": raw.spec.num_classes,
        "train": len(raw.train_images),
        "test": len(raw.test_images),
    }
    wrong = [key for key, value in found.items() if key in facts and facts[key] != value]
    for key in wrong:
        yield Finding("wrong", "numbers", f"{key} is {found[key]}, but {facts[key]} was expected")
    if not wrong:
        yield Finding(
            "ok",
            "numbers",
            f"{found['train']:,} training and {found['test']:,} test images of {found['shape']}, "
            f"{found['classes']} classes",
        )


def _classes(raw: RawData) -> Iterator[Finding]:
    for part, labels in (("training", raw.train_labels), ("test", raw.test_labels)):
        counts = torch.bincount(labels, minlength=raw.spec.num_classes).tolist()
        empty = [name for name, count in zip(raw.spec.class_names, counts, strict=True) if not count]
        for name in empty:
            yield Finding("wrong" if part == "training" else "note", "classes", f"'{name}' has no {part} images")
        if part == "training":
            alone = [name for name, count in zip(raw.spec.class_names, counts, strict=True) if count == 1]
            for name in alone:
                yield Finding("note", "classes", f"'{name}' has a single training image")
        if not empty:
            yield Finding("ok", "classes", f"each has {_range(counts)} {part} images")


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def statistics_of(raw: RawData) -> Finding:
    """Compare the mean and std that a data set states with those of its training images."""
    mean, std = channel_statistics(raw.train_images)
    stated, found = _numbers_of(raw.spec.mean, raw.spec.std), _numbers_of(mean, std)
    shift = max(abs(a - b) for a, b in zip(raw.spec.mean, mean, strict=True))
    factor = max(max(a / b, b / a) for a, b in zip(raw.spec.std, std, strict=True))
    if shift > MEAN_TOLERANCE or factor > STD_FACTOR:
        return Finding("wrong", "statistics", f"stated {stated}, but measured {found}")
    if shift > EXACT or max(abs(a - b) for a, b in zip(raw.spec.std, std, strict=True)) > EXACT:
        return Finding("note", "statistics", f"stated {stated}, measured {found}: close enough to normalise by")
    return Finding("ok", "statistics", f"{stated}, as measured")


def _duplicates(raw: RawData) -> Iterator[Finding]:
    """Compare images by a hash of their bytes."""
    classes: dict[bytes, set[int]] = {}
    for image, label in _hashed(raw.train_images, raw.train_labels):
        classes.setdefault(image, set()).add(label)
    shared = [(label, classes[image]) for image, label in _hashed(raw.test_images, raw.test_labels) if image in classes]
    torn = sum(len(known) > 1 for known in classes.values())
    repeated = len(raw.train_images) - len(classes)
    if shared:
        others = sum(label not in known for label, known in shared)
        text = f"{len(shared):,} test images are training images too, {others:,} of them under another class"
        yield Finding("wrong", "duplicates", text)
    if torn:
        yield Finding("wrong", "duplicates", f"{torn:,} training images stand under several classes")
    if repeated:
        yield Finding("note", "duplicates", f"{repeated:,} training images repeat another one")
    if not shared and not repeated:
        yield Finding("ok", "duplicates", "no test image is a training image, and none of these occurs twice")


def _hashed(images: Tensor, labels: Tensor) -> Iterator[tuple[bytes, int]]:
    for image, label in zip(images.contiguous().numpy(), labels.tolist(), strict=True):
        yield hashlib.blake2b(image.data, digest_size=16).digest(), label


def _numbers_of(mean: tuple[float, ...], std: tuple[float, ...]) -> str:
    first, second = (" ".join(f"{value:.4f}" for value in values) for values in (mean, std))
    return f"mean {first}, std {second}"
