import pytest
import torch
from torch import nn
from torch.utils.data import ConcatDataset, Subset
from torchvision import transforms
from torchvision.transforms import v2

from limbeck.errors import UsageError
from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.bridge.preprocessing import (
    for_channels,
    given_statistics,
    is_mirrored,
    random_steps,
    roots,
    statistics_of,
)

NORMALIZE = transforms.Normalize((0.2, 0.3, 0.4), (0.5, 0.6, 0.7))
EXPECTED = ((0.2, 0.3, 0.4), (0.5, 0.6, 0.7))


class Plain(torch.utils.data.Dataset):
    """A torchvision-like data set."""

    def __init__(self, transform=None):
        self.transform, self.targets = transform, [0, 1]

    def __len__(self):
        return 2

    def __getitem__(self, index):
        image = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(index))
        return (image if self.transform is None else self.transform(image)), index


def dataset(evaluation, train=None, own=None):
    utils = avalanche().benchmarks.utils
    groups = utils.TransformGroups({"train": train, "eval": evaluation})
    return utils.as_classification_dataset(Plain(own), groups)


NESTS = {
    "alone": NORMALIZE,
    "compose": transforms.Compose([transforms.Compose([nn.Identity(), NORMALIZE])]),
    "tuple": (NORMALIZE, None),
    "tuple of a compose": (transforms.Compose([NORMALIZE]), None),
    "sequential": nn.Sequential(nn.Identity(), NORMALIZE),
    "version 2": v2.Compose([v2.Normalize((0.2, 0.3, 0.4), (0.5, 0.6, 0.7))]),
    "tensors": transforms.Normalize(torch.tensor(EXPECTED[0]).double(), torch.tensor(EXPECTED[1]).double()),
}


@pytest.mark.parametrize("nest", NESTS)
def test_normalize_is_found_in_every_nest(nest):
    found = statistics_of(dataset(NESTS[nest]))
    assert [list(each) for each in found] == [pytest.approx(each) for each in EXPECTED]


def test_it_is_found_in_the_data_set_underneath_and_through_wrappers():
    plain = Plain(transforms.Compose([NORMALIZE]))
    assert statistics_of(dataset(None, own=NORMALIZE)) == EXPECTED
    assert statistics_of(ConcatDataset([Subset(plain, [0])])) == EXPECTED


def test_it_is_found_when_frozen_and_in_a_subset():
    wrapped = dataset(NORMALIZE).freeze_transforms().subset([1])
    assert statistics_of(wrapped) == EXPECTED


def test_a_training_transform_says_nothing_of_evaluation():
    assert statistics_of(dataset(None, train=NORMALIZE)) is None


def test_two_that_differ_are_refused_and_two_alike_are_one():
    with pytest.raises(UsageError, match=r"in 2 ways.*mean="):
        statistics_of(dataset(NORMALIZE, own=transforms.Normalize((0.1,), (0.2,))))
    assert statistics_of(ConcatDataset([Plain(NORMALIZE), Plain(NORMALIZE)])) == EXPECTED


def test_a_stream_that_flips_has_classes_that_a_flip_keeps():
    flip = transforms.Compose([transforms.RandomHorizontalFlip(), NORMALIZE])
    assert is_mirrored(dataset(NORMALIZE, train=flip))
    assert not is_mirrored(dataset(NORMALIZE, train=NORMALIZE))
    assert random_steps(dataset(flip)) == ["RandomHorizontalFlip"]
    assert random_steps(dataset(NORMALIZE, train=flip)) == []


def test_the_data_sets_underneath_are_found_once():
    one, other = Plain(), Plain()
    assert roots(ConcatDataset([one, Subset(other, [0]), one])) == [one, other]


def test_given_statistics_come_in_pairs():
    assert given_statistics(None, None) is None
    assert given_statistics([1], [2]) == ((1.0,), (2.0,))
    with pytest.raises(UsageError, match="only std"):
        given_statistics(None, [1])


def test_one_number_stands_for_all_channels():
    assert for_channels(None, 3) == ((0.0,) * 3, (1.0,) * 3)
    assert for_channels(((0.5,), (0.2,)), 3) == ((0.5,) * 3, (0.2,) * 3)
    with pytest.raises(UsageError, match="have 3 channels, but mean has 2"):
        for_channels(((0.5, 0.5), (0.2,)), 3)
