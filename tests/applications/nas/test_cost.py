"""Parameters and FLOPs by hand, and what does not fit."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from limbeck.errors import UsageError
from limbeck.testing.randomness import moved_generators
from limbeck_applications.nas.cost import measured


def conv():
    """A convolution of 5 filters, batch norm, and a linear layer of 3 outputs."""
    return nn.Sequential(nn.Conv2d(2, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(240, 3))


def test_costs_by_hand():
    cost = measured(conv, (2, 6, 8), "own")
    assert cost.parameters == (2 * 5 * 9 + 5) + 2 * 5 + (240 * 3 + 3)
    assert cost.flops == 2 * (2 * 5 * 9 * 48) + 2 * 240 * 3


def test_structures_have_signatures():
    one, same, other = (measured(build, (2, 6, 8), "own") for build in (conv, conv, lambda: conv().append(nn.ReLU())))
    assert one == same and one.signature != other.signature
    assert (one.parameters, one.flops) == (other.parameters, other.flops)


def test_nothing_is_computed():
    began = time.process_time()
    cost = measured(lambda: nn.Sequential(nn.Flatten(), nn.Linear(2**20, 2**20)), (1, 1024, 1024), "large")
    assert cost.flops == 2**41 and time.process_time() - began < 5  # four terabytes of weights


def test_global_generators_stay_as_they_were():
    with moved_generators() as moved:
        measured(conv, (2, 6, 8), "own")
    assert moved == [] and torch.empty(1).device.type == "cpu"


def refusing():
    raise UsageError("pooling leaves nothing.")


@pytest.mark.parametrize("build", [lambda: nn.Sequential(nn.Flatten(), nn.Linear(7, 3)), refusing])
def test_what_does_not_fit_is_one_line(build):
    with pytest.raises(UsageError, match=r"^architecture 'own' does not fit images of 2x6x8 \(channels x") as refused:
        measured(build, (2, 6, 8), "own")
    assert "\n" not in str(refused.value) and str(refused.value).count("..") == 0
