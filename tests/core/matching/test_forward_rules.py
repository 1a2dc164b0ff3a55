"""Forward mode by rules for layers: the same numbers as double backward, or a plain refusal."""

import pytest
import torch
from torch import nn

from limbeck.matching.forward_rules import NoRuleError, stacked_logits
from limbeck.matching.weight_gradients import WeightGradients, leaf_inputs
from limbeck.networks import FunctionalNetwork
from limbeck.plugins import registry
from limbeck.seeding import generator

SHAPES = {
    "convnet-d2-w4-in": (3, 8, 8),
    "convnet-d3-w4-in": (1, 28, 28),
    "convnet-d2-w4-nonorm": (3, 8, 8),
    "mlp": (1, 4, 4),
}


class Residual(nn.Module):
    """Two ways that meet again, strides, groups, and means over what is left."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=2, bias=False)
        self.norm = nn.GroupNorm(4, 4)
        self.second = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.head = nn.Linear(4, 5, bias=False)

    def forward(self, images):
        """Return logits."""
        first = torch.relu(self.norm(self.first(images)))
        both = first + self.second(first)
        return self.head(nn.functional.adaptive_avg_pool2d(both, 1).flatten(1))


def networks():
    for name, shape in SHAPES.items():
        module = registry().create("networks", name).build(shape, 5)
        yield pytest.param(FunctionalNetwork(module, shape, dtype=torch.float64, name=name), id=name)
    yield pytest.param(FunctionalNetwork(Residual(), (3, 9, 9), dtype=torch.float64, name="residual"), id="residual")


def problem(network):
    draw = generator(0, "rules")
    state = network.initial(draw)
    normal = lambda shape: torch.randn(shape, generator=draw, dtype=torch.float64)  # noqa: E731
    state = {name: value + 0.1 * normal(value.shape) for name, value in state.items()}
    return state, normal((4, *network.shape)), {name: normal(value.shape) for name, value in state.items()}


def flat(slope):
    labels = [] if slope.labels is None else [slope.labels]
    return torch.cat([part.reshape(-1) for part in (slope.value, slope.images, *labels, *slope.weights.values())])


@pytest.mark.parametrize("labels", ["hard", "soft"])
@pytest.mark.parametrize("network", list(networks()))
def test_rules_give_what_double_backward_gives(network, labels):
    state, images, along = problem(network)
    gradients = WeightGradients(network, network.parameter_names)
    given = torch.tensor([0, 4, 2, 2])
    if labels == "soft":
        given = torch.rand(4, 5, generator=generator(1, "labels"), dtype=torch.float64)
    assert gradients.has_rules()
    found = gradients.forward_mode(state, leaf_inputs(images, given), 7, along, weights=True)
    expected = gradients.double_backward(state, leaf_inputs(images, given), 7, along, weights=True)
    torch.testing.assert_close(flat(found), flat(expected), rtol=1e-9, atol=1e-12)


def test_weights_that_do_not_move_have_no_direction():
    network = next(networks()).values[0]
    state, images, along = problem(network)
    gradients = WeightGradients(network, [name for name in network.parameter_names if name.endswith("weight")])
    given = torch.tensor([0, 4, 2, 2])
    found = gradients.forward_mode(state, leaf_inputs(images, given), 4, along, weights=True)
    expected = gradients.double_backward(state, leaf_inputs(images, given), 4, along, weights=True)
    torch.testing.assert_close(flat(found), flat(expected), rtol=1e-9, atol=1e-12)


class Scaled(nn.Module):
    """A layer that does what no rule covers."""

    def __init__(self, how):
        super().__init__()
        self.how, self.scale, self.head = how, nn.Parameter(torch.ones(3, 4, 4)), nn.Linear(48, 5)

    def draw(self, generator):
        """Return the scale of a fresh network."""
        return {"scale": torch.rand(3, 4, 4, generator=generator, dtype=self.scale.dtype)}

    def forward(self, images):
        """Return logits."""
        return self.head(self.how(images, self.scale).flatten(1))


NOT_COVERED = {
    "product": lambda images, scale: images * scale,
    "sum": lambda images, scale: images + scale,
    "matrix of weights": lambda images, scale: images @ scale,
    "nonlinear": lambda images, scale: torch.sigmoid(images) + 0 * scale.sum(),
}


@pytest.mark.parametrize("how", NOT_COVERED)
def test_a_layer_without_a_rule_is_left_to_other_ways(how):
    network = FunctionalNetwork(Scaled(NOT_COVERED[how]), (3, 4, 4), dtype=torch.float64, name=how)
    state = {name: value.clone() for name, value in network.module.named_parameters()}
    images, along = torch.ones(2, 3, 4, 4, dtype=torch.float64), {n: torch.ones_like(v) for n, v in state.items()}
    with pytest.raises(NoRuleError):
        stacked_logits(lambda batch: network(state, batch, dropout="off"), images, state, along)
    assert not WeightGradients(network, network.parameter_names).has_rules()
