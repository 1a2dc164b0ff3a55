"""Training and validation images: of each class alike, apart from each other and from test images."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from limbeck.data import DataSet, RealData, load_dataset
from limbeck.errors import DataError, UsageError
from limbeck.testing.randomness import moved_generators
from limbeck_applications.nas.problem import problem_of


@pytest.fixture(scope="module")
def data():
    """Real digits whose first two pixels number them, so that no two images are alike."""

    def numbered(real, high):
        images = real.images.clone()
        place = torch.arange(len(images))
        images[:, 0, 0, 0], images[:, 0, 0, 1], images[:, 0, 0, 2] = place // 256, place % 256, high
        return RealData(images, real.labels, real.spec)

    found = load_dataset("digits")
    return DataSet(found.spec, numbered(found.train, 0), numbered(found.test, 1))


def of(real):
    return {bytes(each.numpy()) for each in real.images}


@pytest.mark.parametrize(("images", "validation"), [(None, 100), (200, 100), (210, 20)])
def test_the_parts_are_disjoint_and_of_each_class_alike(data, images, validation):
    found = problem_of(data, images=images, validation=validation)
    train, aside, test = of(found.train), of(found.validation), of(data.test)
    assert len(train) == len(found.train) and len(aside) == len(found.validation)
    assert not train & aside and not train & test and not aside & test
    assert train | aside <= of(data.train)
    assert found.validation.group_sizes == [validation // 10] * 10
    if images is not None:
        assert found.train.group_sizes == [images // 10] * 10
    else:
        assert train | aside == of(data.train)


def test_images_keep_their_labels(data):
    found = problem_of(data, images=200, validation=100)
    known = {
        bytes(image.numpy()): int(label) for image, label in zip(data.train.images, data.train.labels, strict=True)
    }
    for part in (found.train, found.validation):
        assert [known[bytes(image.numpy())] for image in part.images] == part.labels.tolist()


def test_test_images_change_nothing(data):
    other = DataSet(data.spec, data.train, data.train)
    assert (
        problem_of(other, images=200, validation=100).identity()
        == problem_of(data, images=200, validation=100).identity()
    )


def test_the_split_does_not_follow_from_the_seed_of_the_proxy(data):
    with moved_generators() as moved:
        one, two = (problem_of(data, images=200, validation=100, seed=seed) for seed in (0, 1))
    assert one.digest == two.digest and moved == []
    assert problem_of(data, images=200, validation=100, split_seed=1).digest != one.digest
    assert of(problem_of(data, images=100, validation=100).validation) == of(one.validation)


def test_an_identity_changes_with_all_that_scores_depend_on(data, tmp_path):
    one = problem_of(data, images=200, validation=100)
    others = [
        one.with_seed(1),
        replace(one, network="convnet-d1-w4-in"),
        replace(one, train=one.validation),
        replace(one, validation=one.train),
        problem_of(data, images=190, validation=100),
    ]
    assert one.with_seed(1).seed == 1 and one.with_seed(1).train is one.train
    assert all(each.identity() != one.identity() for each in others)
    assert replace(one, cache=tmp_path).identity() == one.identity()


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"images": 9, "validation": 100}, UsageError, "images is 9, but there are 10 classes: give 10 or more."),
        (
            {"images": 15, "validation": 100},
            UsageError,
            "images is 15, which 10 classes cannot share equally: give a multiple of 10, such as 10.",
        ),
        (
            {"images": None, "validation": 13},
            UsageError,
            "validation is 13, which 10 classes cannot share equally: give a multiple of 10, such as 10.",
        ),
        ({"images": 100, "validation": 3}, UsageError, "validation is 3, but there are 10 classes: give 10 or more."),
        (
            {"images": None, "validation": 1440},
            DataError,
            "class '0' of 'digits' has 143 training images, but 145 are needed, 144 of them to rank on: ask for fewer "
            "with --validation or --images.",
        ),
    ],
)
def test_what_cannot_be_split_is_refused_in_one_line(data, asked, error, said):
    with pytest.raises(error) as refused:
        problem_of(data, **asked)
    assert str(refused.value) == said
