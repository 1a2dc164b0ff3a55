"""Tiny networks and data in float64, where identities hold to rounding."""

import pytest
import torch
from torch import nn

from limbeck.augment.base import Augmentation, Draw
from limbeck.networks.functional import FunctionalNetwork
from limbeck.training import TrainData


def _network(norm):
    body = [nn.Conv2d(1, 4, 3, padding=1), norm, nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 3)]
    return FunctionalNetwork(nn.Sequential(*body), (1, 6, 6), dtype=torch.float64)


@pytest.fixture
def network():
    return _network(nn.GroupNorm(2, 4))


@pytest.fixture
def batch_norm_network():
    return _network(nn.BatchNorm2d(4))


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(7)
    images = torch.randn(10, 1, 6, 6, generator=generator, dtype=torch.float64)
    return TrainData(images, torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 0]))


class Recorder(TrainData):
    """Remembers which samples every batch took."""

    def __post_init__(self):
        object.__setattr__(self, "batches", [])

    def take(self, index):
        self.batches.append(index.tolist())
        return super().take(index)


@pytest.fixture
def recorder(data):
    return lambda: Recorder(data.images, data.labels)


class Shift(Augmentation):
    """Adds each row's random number to an image, and remembers what it was asked for."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def draw(self, rows, generator, *, one_op=False):
        self.asked.append((rows, one_op))
        return Draw(torch.zeros(rows, dtype=torch.int64), torch.rand(rows, 1, generator=generator))

    def apply(self, images, draw):
        return images + draw.u.to(images.dtype)[:, :, None, None]


@pytest.fixture
def shift():
    return Shift()


@pytest.fixture
def assert_same():
    """Bit for bit when ``tolerance`` is 0."""

    def check(left, right, tolerance=0.0):
        assert left.keys() == right.keys()
        for name in left:
            torch.testing.assert_close(left[name], right[name], rtol=tolerance, atol=tolerance)

    return check


@pytest.fixture
def differ():
    return lambda left, right: any(not torch.equal(left[name], right[name]) for name in left)
