"""Streams of real data sets: nothing is lost, labels stay, and options are read as they are typed."""

from __future__ import annotations

import pytest
import torch

from limbeck.data import load_dataset
from limbeck.errors import UsageError
from limbeck.plugins import registry
from limbeck_applications.continual.benchmarks.permuted import permutation, permuted


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


def stream(spec, data, order=0):
    return registry().create("continual_benchmarks", spec).stream(data, order)


@pytest.mark.parametrize(
    ("options", "shares"),
    [
        ({}, [2, 2, 2, 2, 2]),
        ({"experiences": 3, "uneven": True}, [4, 3, 3]),
        ({"experiences": 10, "class_order": "natural"}, [1] * 10),
        ({"experiences": 3, "first": 6, "class_order": "distilled_replay"}, [6, 2, 2]),
    ],
)
def test_every_image_comes_once_with_the_label_it_had(digits, options, shares):
    found = stream({"name": "split_digits", **options}, digits)
    assert [len(experience.classes) for experience in found.experiences] == shares
    for part in ("train", "test"):
        held = [getattr(experience, part) for experience in found.experiences]
        images, labels = torch.cat([real.images for real in held]), torch.cat([real.labels for real in held])
        own = getattr(digits, part)
        assert images.shape == own.images.shape
        one, other = (
            sorted((int(c), bytes(image.flatten().tolist())) for image, c in zip(i, n, strict=True))
            for i, n in ((images, labels), (own.images, own.labels))
        )
        assert one == other
    assert found.spec == digits.spec


def test_the_images_of_an_experience_are_of_its_classes_alone(digits):
    for experience in stream("split_digits", digits, order=2).experiences:
        for real in (experience.train, experience.test):
            assert set(real.labels.tolist()) == set(experience.classes)
            assert sum(real.group_sizes) == len(real)


def test_orders_differ_and_repeat(digits):
    orders = [[e.classes for e in stream("split_digits", digits, order).experiences] for order in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]
    assert orders[0] == [(2, 8), (4, 9), (1, 6), (7, 3), (0, 5)]  # NumPy's permutation of seed 0


def test_streams_of_one_pass_are_said_to_be(digits):
    assert stream({"name": "split_digits", "online": True}, digits).online
    assert not stream("split_digits", digits).online


@pytest.mark.parametrize(
    ("name", "data", "options", "experiences"),
    [
        ("split_cifar100", "cifar100", {}, 5),
        ("split_cifar100-10", "cifar100", {}, 10),
        ("split-fashion-mnist", "fashion_mnist", {"experiences": 2}, 2),
        ("split_mnist", "mnist", {}, 5),
        ("permuted_mnist-10", "mnist", {}, 10),
    ],
)
def test_benchmarks_are_made_by_name(name, data, options, experiences):
    made = registry().create("continual_benchmarks", {"name": name, **options})
    assert made.source == {"name": data}
    assert made.options.experiences == experiences


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"name": "split_digits", "experiences": 3}, "10 classes cannot be shared equally by 3 experiences"),
        ({"name": "split_digits", "experiences": 11}, "11 experiences were asked for, but there are 10 classes"),
        ({"name": "split_digits", "class_order": [0, 1, 2]}, "class_order must name each of the 10 classes"),
        (
            {"name": "split_digits", "class_order": "nature"},
            r"class_order' is 'nature': .* \(did you mean 'natural'\?\)",
        ),
        ({"name": "split_digits", "class_order": [0.5]}, "must be numpy, natural, icarl, distilled_replay, or a list"),
        ({"name": "split_digits-two"}, "'two' is no number of experiences. Type for example split_digits-5"),
        ({"name": "permuted_mnist-x"}, "'x' is no number of experiences. Type for example permuted_mnist-5"),
        ({"name": "split_digits", "experience": 2}, "unknown option .* Did you mean 'experiences'"),
        ({"name": "split_digit"}, "unknown continual benchmark 'split_digit'. Did you mean 'split_digits'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(digits, spec, said):
    with pytest.raises(UsageError, match=said) as refused:
        stream(spec, digits)
    assert "\n" not in str(refused.value)


def test_permuted_images_are_the_same_pixels_elsewhere(digits):
    found = stream({"name": "permuted_mnist", "experiences": 3}, digits, order=1)
    assert found.scenario == "domain"
    first, *others = found.experiences
    assert torch.equal(first.train.images, digits.train.images)
    for position, experience in enumerate(others, 1):
        places = permutation(digits.spec.shape, 1, position)
        assert sorted(places.tolist()) == list(range(64))
        for own, real in ((experience.train, digits.train), (experience.test, digits.test)):
            assert torch.equal(own.images.flatten(1), real.images.flatten(1)[:, places])
            assert torch.equal(own.labels, real.labels)
    assert not torch.equal(others[0].train.images, others[1].train.images)


def test_every_channel_is_permuted_alike():
    colour = load_dataset((torch.randint(256, (8, 3, 4, 4), dtype=torch.uint8), torch.arange(8) % 2)).train
    found = permuted(colour, permutation((3, 4, 4), 0, 1)).images
    grey = permuted(colour, permutation((3, 4, 4), 0, 1)).images[:, :1]
    assert torch.equal(found[:, :1], grey)
    for image, moved in zip(colour.images, found, strict=True):
        pixels = {tuple(p) for p in image.flatten(1).T.tolist()}
        assert pixels == {tuple(p) for p in moved.flatten(1).T.tolist()}
