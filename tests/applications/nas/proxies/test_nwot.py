"""NASWOT."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from limbeck.errors import UsageError
from limbeck_applications.nas.proxies.untrained import batch_of, fresh


def test_the_determinant_by_hand(own, proxy, given, tmp_path):
    nwot = proxy("nwot", images=6)
    net = own(nn.Flatten(), nn.Linear(64, 9), nn.ReLU(), nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 3))
    material, state = given(nwot, tmp_path), fresh(net)
    first = batch_of(material)[0].flatten(1) @ state["1.weight"].T + state["1.bias"]
    second = first.relu() @ state["3.weight"].T + state["3.bias"]
    codes = (torch.cat([first, second], 1) > 0).numpy()
    kernel = np.array([[16 - (one != other).sum() for other in codes] for one in codes], dtype=float)
    sign, logarithm = np.linalg.slogdet(kernel)
    assert sign != 0
    assert nwot.score([net], material)[0].value == pytest.approx(logarithm, rel=1e-10)


def test_leaky_relu_switches_like_relu(own, proxy, given, tmp_path):
    nwot = proxy("nwot", images=8)
    material = given(nwot, tmp_path)
    values = [
        nwot.score([own(nn.Flatten(), nn.Linear(64, 30), activation, nn.Linear(30, 3))], material)[0].value
        for activation in (nn.ReLU(), nn.ReLU(inplace=True), nn.LeakyReLU(0.01))
    ]
    assert values[0] == values[1] == values[2] > 0


def test_images_that_switch_alike_are_the_worst(own, proxy, given, tmp_path):
    nwot = proxy("nwot")
    found = nwot.score([own(nn.Flatten(), nn.Linear(64, 1), nn.ReLU(), nn.Linear(1, 3))], given(nwot, tmp_path))
    assert found[0].value == -math.inf


def test_a_relu_that_is_called_is_said_not_to_be_seen(own, proxy, given, tmp_path):
    class Called(nn.Module):
        def forward(self, values):
            return values.relu()

    with pytest.raises(UsageError, match=r"has no ReLU module.* or is called as a function, which is not seen"):
        net = own(nn.Flatten(), nn.Linear(64, 9), Called(), nn.Linear(9, 3))
        proxy("nwot").score([net], given(proxy("nwot"), tmp_path))


def test_a_network_without_relu_is_refused_with_the_reason(candidate, proxy, given, tmp_path):
    nwot = proxy("nwot")
    with pytest.raises(UsageError, match=r"'d1-w16-nonorm-sigmoid-avg' has no ReLU module.*sigmoid.*another proxy"):
        nwot.score([candidate("d1-w16-nonorm-sigmoid-avg")], given(nwot, tmp_path))
