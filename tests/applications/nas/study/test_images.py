"""From what was asked to images and architectures."""

from __future__ import annotations

import pytest
import torch

from limbeck.data import load_dataset
from limbeck.errors import UsageError
from limbeck.seeding import generator
from limbeck.testing.randomness import moved_generators
from limbeck_applications.nas.study.images import images_of


@pytest.fixture
def images(settings):
    return lambda **changes: images_of(settings("rank", **changes), data_root=None, download=False)


def test_a_fifth_is_kept_aside_when_nobody_says(images):
    found = images(validation=None, images=None).problem
    assert len(found.validation) == 280 and len(found.train) == 1442 - 280


def test_test_images_are_those_of_the_data_set_and_no_others(images):
    found, data = images(images=None), load_dataset("digits")
    assert torch.equal(found.test.images, data.test.images)
    assert len(found.problem.train) + len(found.problem.validation) <= len(data.train)


def test_options_that_are_spelled_out_are_no_other_space(images):
    written = images(space={"name": "chains", "stages": 3, "layers": 3})
    assert written.space_spec == images(space="chains").space_spec
    assert written.space_spec != images(space={"name": "chains", "stages": 2}).space_spec


def test_a_sample_is_drawn_once_for_all_and_a_larger_one_goes_on(images):
    one = images()
    with moved_generators() as moved:
        names = [each.name for each in one.architectures(12)]
    assert moved == [] and len(set(names)) == 12
    assert [each.name for each in images().architectures(16)][:12] == names


def test_a_sample_of_all_is_all(images):
    one = images(space={"name": "chains", "stages": 1, "layers": 1, "widths": [2, 3, 4]})
    every = [each.name for each in one.architectures(None)]
    assert sorted(each.name for each in one.architectures(one.space.size)) == sorted(every) and len(every) == 3


def test_a_sample_of_a_space_that_can_be_listed_favours_no_network(images):
    one = images(space={"name": "chains", "stages": 1, "layers": 2, "widths": [2, 3, 4]})
    assert len(list(one.space.all())) == 12 < one.space.size == 18
    every = list(one.space.all())
    order = torch.randperm(12, generator=generator(0, "nas", "sample"))
    for number in (2, 12):
        assert one.architectures(number) == [every[place] for place in order[:number]]
    with pytest.raises(UsageError, match=r"a sample of 13 was asked for, but chains has 12 architectures"):
        one.architectures(13)


def test_a_sample_holds_what_fits_alone(images):
    one = images(space="convnet720")
    assert all(one.space.cost(each, one.problem.spec).parameters for each in one.architectures(8))
    with pytest.raises(UsageError, match="does not fit images of 1x8x8"):
        one.architectures(None)


def test_more_than_fit_are_refused_with_how_many_there_are(images):
    one = images(space={"name": "chains", "stages": 1, "layers": 1, "widths": [2], "norms": ["batch", "none"]})
    one.space.__class__ = type("Half", (type(one.space),), {"cost": half(one.space.cost)})
    with pytest.raises(UsageError, match=r"2 different architectures were asked for, but only 1 were found among 200"):
        one.architectures(2)


def half(cost):
    """Return a cost that refuses networks without a norm."""

    def refusing(self, architecture, spec):
        if architecture.traits["norm"] == "none":
            raise UsageError("no norm.")
        return cost(architecture, spec)

    return refusing


@pytest.mark.parametrize("options", [{}, {"layers": 2, "widths": [2]}], ids=["large", "small"])
def test_a_space_of_which_nothing_fits_says_what_stands_in_the_way(images, options):
    one = images(space={"name": "chains", "stages": 4, **options})
    said = r"none of 200 architectures drawn from chains fits; the last one: .*does not fit images of 1x8x8"
    with pytest.raises(UsageError, match=said):
        one.architectures(2)
    with pytest.raises(UsageError, match=said):
        one.check()


def test_a_space_of_which_something_fits_is_no_matter(images):
    images(space="convnet720").check()
