"""What is told about a data set that was read: every finding can be ok and can be otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from limbeck.data import DataSpec, RawData, channel_statistics
from limbeck.data.verify import verify

FACTS = {"shape": "1x4x4", "classes": 2, "train": 20, "test": 6}


def raw(**changes):
    images = torch.randint(256, (26, 1, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    mean, std = channel_statistics(images[:20])
    spec = DataSpec("mine", (1, 4, 4), 2, ("cat", "dog"), mean, std, mirror=True)
    labels = torch.arange(26) % 2
    return replace(RawData(spec, images[:20], labels[:20], images[20:], labels[20:]), **changes)


def findings(found, facts=FACTS):
    """Return texts by verdict and subject."""
    result = {}
    for finding in verify(found, facts):
        result.setdefault((finding.verdict, finding.subject), []).append(finding.text)
    return result


def test_a_set_without_fault_is_ok_throughout():
    found = findings(raw())
    assert {verdict for verdict, _ in found} == {"ok"}
    assert found["ok", "numbers"] == ["20 training and 6 test images of 1x4x4, 2 classes"]
    assert found["ok", "classes"] == ["each has 10 training images", "each has 3 test images"]
    assert {subject for _, subject in found} == {"numbers", "classes", "statistics", "duplicates"}


@pytest.mark.parametrize(("fact", "value"), [("shape", "3x4x4"), ("classes", 3), ("train", 21), ("test", 5)])
def test_numbers_that_were_not_expected_are_wrong(fact, value):
    [text] = findings(raw(), {**FACTS, fact: value})["wrong", "numbers"]
    assert text == f"{fact} is {FACTS[fact]}, but {value} was expected"


def test_nothing_is_expected_of_a_set_without_facts():
    assert ("ok", "numbers") in findings(raw(), {})


def test_classes_without_images_are_wrong_in_training_and_noted_in_test():
    labels = torch.zeros(20, dtype=torch.int64)
    found = findings(raw(train_labels=labels, test_labels=labels[:6]))
    assert found["wrong", "classes"] == ["'dog' has no training images"]
    assert found["note", "classes"] == ["'dog' has no test images"]


@pytest.mark.parametrize(
    ("mean", "std", "verdict"),
    [(0.0004, 1, "ok"), (0.01, 1, "note"), (0, 1.1, "note"), (0.06, 1, "wrong"), (0, 1.6, "wrong"), (0, 0.6, "wrong")],
)
def test_statistics_may_be_a_convention_but_not_anything(mean, std, verdict):
    found = raw()
    spec = replace(found.spec, mean=(found.spec.mean[0] + mean,), std=(found.spec.std[0] * std,))
    assert (verdict, "statistics") in findings(replace(found, spec=spec))


def test_images_in_both_parts_are_wrong_and_counted():
    found = raw()
    both = torch.cat([found.train_images[:3], found.test_images[3:]])
    [text] = findings(replace(found, test_images=both))["wrong", "duplicates"]
    assert text == "3 test images are training images too, 0 of them under another class"
    other = found.test_labels.clone()
    other[0] = 1 - other[0]
    [text] = findings(replace(found, test_images=both, test_labels=other))["wrong", "duplicates"]
    assert text.endswith(" 1 of them under another class")


def test_repeated_training_images_are_noted_and_wrong_under_two_classes():
    found = raw()
    images = found.train_images.clone()
    images[2] = images[0]
    again = findings(replace(found, train_images=images))
    assert again["note", "duplicates"] == ["1 training images repeat another one"]
    assert ("wrong", "duplicates") not in again
    images[1] = images[0]
    [text] = findings(replace(found, train_images=images))["wrong", "duplicates"]
    assert text == "1 training images stand under several classes"
