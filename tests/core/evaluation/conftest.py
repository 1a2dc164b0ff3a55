"""A small world: three classes of 8x8 images that a tiny network can tell apart, if not perfectly."""

import pytest
import torch

from limbeck.data import DataSet, DataSpec, RealData
from limbeck.evaluation import Recipe
from limbeck.synthetic import SyntheticSet

SPEC = DataSpec("bars", (1, 8, 8), 3, ("left", "middle", "right"), (0.4,), (0.2,), False)


def pixels(labels, seed):
    rng = torch.Generator().manual_seed(seed)
    images = 0.8 * torch.rand(len(labels), 1, 8, 8, generator=rng)
    for position, label in enumerate(labels.tolist()):
        images[position, :, :, 2 * label : 2 * label + 2] += 0.15
    return (images * 255).to(torch.uint8)


@pytest.fixture
def spec():
    return SPEC


@pytest.fixture
def data():
    train, test = torch.arange(36) % 3, torch.arange(50) % 3
    return DataSet(SPEC, RealData(pixels(train, 0), train, SPEC), RealData(pixels(test, 1), test, SPEC))


@pytest.fixture
def synthetic(data):
    index = torch.cat([data.train.members(group)[:2] for group in range(3)])
    labels = data.train.labels[index]
    return SyntheticSet(data.train.take(index), labels, labels, SPEC)


@pytest.fixture
def recipe():
    return Recipe(network="convnet-d1-w4-in", epochs=4, milestones=(2,), batch_size=4, lr=0.1, protocol="dc")
