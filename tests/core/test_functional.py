"""Networks as functions of their weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from limbeck.errors import UnknownNameError, UsageError
from limbeck.networks import FunctionalNetwork

SHAPE = (3, 6, 6)


def small_module(norm=None):
    return nn.Sequential(nn.Conv2d(3, 4, 3), norm or nn.GroupNorm(4, 4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))


def network(norm=None, dtype=torch.float32):
    return FunctionalNetwork(small_module(norm), SHAPE, dtype=dtype, name="small")


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n=4, dtype=torch.float32):
    return torch.randn(n, *SHAPE, generator=rng(9), dtype=dtype)


def test_the_same_generator_gives_the_same_weights_and_another_seed_others():
    net = network()
    first, again, other = net.initial(rng(1)), net.initial(rng(1)), net.initial(rng(2))
    assert list(first) == net.parameter_names
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["0.weight"], other["0.weight"])


def test_weights_start_in_pytorchs_default_range():
    state = FunctionalNetwork(nn.Sequential(nn.Linear(100, 400), nn.Linear(400, 50)), (1, 1, 1)).initial(rng())
    for key, fan_in in (("0.weight", 100), ("0.bias", 100), ("1.weight", 400)):
        bound = 1 / math.sqrt(fan_in)
        assert state[key].abs().max() <= bound
        assert state[key].std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)


def test_norm_layers_start_as_the_identity():
    state = network(nn.BatchNorm2d(4)).initial(rng())
    assert torch.equal(state["1.weight"], torch.ones(4)) and torch.equal(state["1.bias"], torch.zeros(4))
    assert torch.equal(state["1.running_var"], torch.ones(4)) and state["1.num_batches_tracked"] == 0


def test_starting_leaves_the_global_generator_alone():
    net = network()
    before = torch.get_rng_state()
    net.initial(rng())
    assert torch.equal(before, torch.get_rng_state())


def test_a_call_equals_the_module_that_holds_the_weights():
    net, holder = network(), small_module()
    state = net.initial(rng(3))
    holder.load_state_dict(state)
    torch.testing.assert_close(net(state, images()), holder(images()), rtol=0, atol=0)


def test_gradients_reach_weights_and_images():
    net, batch = network(), images().requires_grad_()
    state = {key: value.requires_grad_() for key, value in net.initial(rng()).items()}
    gradients = torch.autograd.grad(net(state, batch).square().sum(), [batch, *state.values()])
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_the_embedding_is_what_the_classifier_sees():
    net = network()
    state = net.initial(rng())
    found = net.features(state, images(), ["embedding", "2"])
    assert torch.equal(found["embedding"], found["2"].flatten(1))
    logits = found["embedding"] @ state["4.weight"].T + state["4.bias"]
    torch.testing.assert_close(logits, net(state, images()))


def test_taps_are_removed_after_use_and_after_an_error():
    net = network()
    state = net.initial(rng())
    net.features(state, images(), ["2"])
    with pytest.raises(UnknownNameError, match="unknown layer '7'"):
        net.features(state, images(), ["2", "7"])
    with pytest.raises(UsageError):
        net.features(state, images()[:, :1], ["2", "embedding"])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.module.modules())


def test_batch_norm_couples_samples_and_moves_its_buffers_in_training_only():
    net = network(nn.BatchNorm2d(4))
    assert net.couples_samples and not network().couples_samples
    state = net.initial(rng())
    net(state, images(), train=False)
    assert torch.equal(state["1.running_mean"], torch.zeros(4))
    net(state, images(), train=True)
    assert not torch.equal(state["1.running_mean"], torch.zeros(4))


def test_images_of_another_kind_are_refused_with_both_sizes():
    net = network()
    with pytest.raises(UsageError, match=r"'small' was built for images of 3x6x6, but these are 1x6x6"):
        net(net.initial(rng()), images()[:, :1])


def test_layers_are_listed_by_class():
    assert network().names_of(nn.ReLU) == ["2"]
    assert network().names_of(nn.Dropout) == []


def test_the_largest_tensor_of_one_image_is_counted_in_bytes():
    assert network().largest_activation() == 4 * 4 * 4 * 4
    assert network(dtype=torch.float64).largest_activation() == 4 * 4 * 4 * 8
    assert not any(module._forward_hooks for module in network().module.modules())


def test_everything_computes_in_the_asked_precision():
    net = network(dtype=torch.float64)
    state = net.initial(rng())
    assert {value.dtype for value in state.values()} == {torch.float64}
    assert net(state, images(dtype=torch.float64)).dtype == torch.float64


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(1))

    def forward(self, values):
        return values * self.factor


class DrawnScale(Scale):
    def draw(self, generator):
        return {"factor": torch.rand(1, generator=generator)}


def test_an_own_layer_needs_a_rule_to_start_from():
    with pytest.raises(UsageError, match=r"no rule to initialise Scale: give it a method draw"):
        FunctionalNetwork(nn.Sequential(Scale(), nn.Linear(2, 2)), (1, 1, 2)).initial(rng())
    state = FunctionalNetwork(nn.Sequential(DrawnScale(), nn.Linear(2, 2)), (1, 1, 2)).initial(rng())
    assert torch.equal(state["0.factor"], torch.rand(1, generator=rng()))


def test_a_module_without_a_classifier_is_refused():
    with pytest.raises(UsageError, match="no linear classifier"):
        FunctionalNetwork(nn.Conv2d(1, 1, 1), (1, 2, 2))


class Gated(nn.Linear):
    """A linear layer behind a gate that nobody draws."""

    def __init__(self, gate):
        super().__init__(4, 2)
        self.register_buffer("gate", torch.full((4,), gate))

    def forward(self, images):
        return super().forward(images.flatten(1) * self.gate)


class Gate(nn.Module):
    """Nothing but a constant."""

    def __init__(self, gate):
        super().__init__()
        self.register_buffer("gate", torch.full((1,), gate), persistent=False)

    def forward(self, images):
        return images * self.gate


@pytest.mark.parametrize("build", [Gated, lambda gate: nn.Sequential(Gate(gate), nn.Flatten(), nn.Linear(4, 2))])
def test_buffers_that_nobody_draws_are_part_of_the_state(build):
    shut, open_ = (FunctionalNetwork(build(gate), (1, 2, 2)) for gate in (0.0, 1.0))
    images = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    states = [network.initial(torch.Generator().manual_seed(0)) for network in (shut, open_)]
    for state in states:  # whichever of two networks of one structure computes
        assert torch.equal(shut(state, images), open_(state, images))
    assert not torch.equal(shut(states[0], images), shut(states[1], images))
