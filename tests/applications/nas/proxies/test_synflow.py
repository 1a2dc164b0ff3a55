"""Synaptic flow."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from limbeck_applications.nas.proxies.synflow import without_norms
from limbeck_applications.nas.proxies.untrained import fresh


@pytest.fixture
def value(proxy, given, tmp_path):
    synflow = proxy("synflow")
    return lambda candidate: synflow.score([candidate], given(synflow, tmp_path))[0].value


def test_every_layers_sum_is_the_flow_through_the_absolute_weights(own, value):
    chain = own(nn.Flatten(), nn.Linear(64, 5, bias=False), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    state = fresh(chain)
    flow = torch.ones(64, dtype=torch.float64)
    for name in ("1.weight", "3.weight", "5.weight"):
        flow = state[name].abs() @ flow
    assert value(chain) == pytest.approx(3 * float(flow.sum()), rel=1e-12)


def test_convolutions_and_pooling_conserve_it_too(own, value):
    layers = (nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(4, 2, 3), nn.Flatten())
    net = own(*layers, nn.Linear(8, 3))
    state = {name: tensor.abs() for name, tensor in fresh(net).items()}
    through = {name: torch.zeros_like(tensor) if name.endswith("bias") else tensor for name, tensor in state.items()}
    flow = net.network(through, torch.ones(1, 1, 8, 8, dtype=torch.float64), train=False).sum()
    assert value(net) == pytest.approx(3 * float(flow), rel=1e-12)


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.InstanceNorm2d, lambda channels: nn.GroupNorm(2, channels)])
def test_norms_are_passed_over(norm, own, value):
    def net(*between):
        return own(nn.Conv2d(1, 4, 3), *between, nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))

    plain, normed = net(), net(norm(4))
    assert torch.equal(fresh(plain)["0.weight"], fresh(normed)["0.weight"])
    assert torch.equal(fresh(plain)["3.weight"], fresh(normed)["4.weight"])
    assert value(normed) == pytest.approx(value(plain), rel=1e-12)


def test_norms_are_there_again_afterwards(own):
    net = own(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))
    images, state = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double(), fresh(net)
    before = net.network(state, images)
    with without_norms(net.network):
        assert not torch.allclose(before, net.network(state, images))
    assert torch.equal(before, net.network(state, images))


def test_it_looks_at_no_image(candidate, proxy, problem, given, tmp_path):
    synflow, one = proxy("synflow"), candidate("d2-w16-batch-relu-max")
    other = replace(problem, train=problem.validation, seed=3)
    values = [synflow.score([one], given(synflow, tmp_path, each))[0].value for each in (problem, other)]
    assert values[0] == values[1] > 0
    assert synflow.score([candidate("d2-w16-batch-relu-max", seed=1)], given(synflow, tmp_path))[0].value != values[0]


def test_a_deep_network_leaves_single_precision_and_is_still_a_number(own, value):
    deep = own(nn.Flatten(), *(nn.Linear(64, 64) for _ in range(70)), nn.Linear(64, 3))
    found = value(deep)
    assert torch.finfo(torch.float32).max < found < float("inf")


def test_sigmoid_gives_a_number_too(candidate, value):
    assert 0 < value(candidate("d2-w16-nonorm-sigmoid-avg")) < float("inf")
