"""Structures are told apart by what their modules compute, and by nothing else."""

import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from limbeck.networks import FunctionalNetwork
from limbeck.networks.signature import signature
from limbeck.plugins import registry


def convnet(**options):
    made = {"name": "convnet", "depth": 2, "width": 4, "norm": "none"} | options
    return registry().create("networks", made).build((1, 8, 8), 3)


def body(*layers):
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), *layers, nn.Flatten(), nn.Linear(64, 3))


class Wired(nn.Module):
    """Whatever is given as attributes steers it."""

    def __init__(self, **attributes):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        for name, value in attributes.items():
            setattr(self, name, value)

    def act(self, values):
        return values


def scaled(factor):
    return lambda values: values * factor


def made(kind):
    class Act(nn.Module):
        def forward(self, values):
            return getattr(torch, kind)(values)

    return Act()


def typed(number):
    return type("Typed", (nn.Identity,), {"number": number})()


def hooked(hook):
    module = nn.Linear(2, 2)
    module.register_forward_hook(hook)
    return module


DIFFERENT = {
    "activation": (lambda: convnet(activation="relu"), lambda: convnet(activation="sigmoid")),
    "slope": (lambda: body(nn.LeakyReLU(0.1)), lambda: body(nn.LeakyReLU(0.2))),
    "pooling": (lambda: convnet(pooling="avg"), lambda: convnet(pooling="max")),
    "groups": (lambda: convnet(norm="group"), lambda: convnet(norm="batch")),
    "instance": (lambda: body(nn.GroupNorm(4, 4)), lambda: body(nn.GroupNorm(2, 4))),
    "padding": (lambda: nn.Conv2d(1, 1, 3, padding=1), lambda: nn.Conv2d(1, 1, 3, padding=0)),
    "padding mode": (
        lambda: nn.Conv2d(1, 1, 3, padding=1),
        lambda: nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"),
    ),
    "dilation": (lambda: nn.Conv2d(1, 1, 3, dilation=2), lambda: nn.Conv2d(1, 1, 3, dilation=1)),
    "momentum": (lambda: nn.BatchNorm2d(2), lambda: nn.BatchNorm2d(2, momentum=0.2)),
    "bias": (lambda: nn.Linear(2, 2), lambda: nn.Linear(2, 2, bias=False)),
    "shape": (lambda: nn.Linear(2, 2), lambda: nn.Linear(2, 3)),
    "type": (lambda: nn.Linear(2, 2), lambda: nn.Linear(2, 2).double()),
    "names": (lambda: nn.ModuleDict({"a": nn.Linear(2, 2)}), lambda: nn.ModuleDict({"b": nn.Linear(2, 2)})),
    "wiring": (lambda: Wired(edges=((0, 1), (1, 2))), lambda: Wired(edges=((0, 1), (0, 2)))),
    "private": (lambda: Wired(_skips=True), lambda: Wired(_skips=False)),
    "mapping": (lambda: Wired(ops={"a": 1}), lambda: Wired(ops={"a": 2})),
    "set": (lambda: Wired(ops={"a", "b"}), lambda: Wired(ops={"a", "c"})),
    "dtype": (lambda: Wired(kind=torch.float32), lambda: Wired(kind=torch.float64)),
    "size": (lambda: Wired(size=torch.Size([1, 2])), lambda: Wired(size=torch.Size([2, 1]))),
    "function": (lambda: Wired(act=F.relu), lambda: Wired(act=F.leaky_relu)),
    "builtin": (lambda: Wired(act=torch.relu), lambda: Wired(act=torch.tanh)),
    "partial": (
        lambda: Wired(act=functools.partial(F.leaky_relu, negative_slope=0.1)),
        lambda: Wired(act=functools.partial(F.leaky_relu, negative_slope=0.2)),
    ),
    "closure": (lambda: Wired(act=scaled(2)), lambda: Wired(act=scaled(3))),
    "lambda": (lambda: Wired(act=lambda v: v + 1), lambda: Wired(act=lambda v: v + 2)),
    "unregistered": (lambda: Wired(layers=[nn.ReLU()]), lambda: Wired(layers=[nn.Sigmoid()])),
    "class": (lambda: made("relu"), lambda: made("tanh")),
    "class attribute": (lambda: typed(1), lambda: typed(2)),
    "hook": (lambda: hooked(lambda *given: given[-1] * 2), lambda: hooked(lambda *given: given[-1] * 3)),
    "no hook": (lambda: hooked(lambda *given: given[-1] * 2), lambda: nn.Linear(2, 2)),
    "constant": (lambda: Wired(table=(torch.zeros(2),)), lambda: Wired(table=(torch.zeros(3),))),
    "numbers": (lambda: Wired(gate=torch.zeros(2)), lambda: Wired(gate=torch.ones(2))),
    "brain floats": (lambda: Wired(gate=torch.zeros(()).bfloat16()), lambda: Wired(gate=torch.ones(()).bfloat16())),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_computes_something_else_has_another_signature(name):
    one, other = DIFFERENT[name]
    assert signature(one()) != signature(other())


@pytest.mark.parametrize("name", DIFFERENT)
def test_two_builds_of_the_same_have_one_signature(name):
    for build in DIFFERENT[name]:
        assert signature(build()) == signature(build())


def test_no_number_device_mode_or_need_of_gradients_matters():
    module = convnet(norm="batch")
    found = signature(module)
    with torch.device("meta"):
        assert signature(convnet(norm="batch")) == found
    with torch.no_grad():
        for value in (*module.parameters(), *module.buffers()):
            value.add_(1)
    assert signature(module.eval()) == found
    assert signature(FunctionalNetwork(module, (1, 8, 8)).module) == found


def test_numbers_that_the_meta_device_does_not_have_are_taken_for_equal_to_none():
    with torch.device("meta"):
        gated = [Wired(gate=torch.tensor([float(number)])) for number in range(2)]
    assert signature(gated[0]) != signature(gated[1])


def test_a_call_changes_nothing():
    network = FunctionalNetwork(convnet(norm="batch"), (1, 8, 8))
    before = signature(network.module)
    network(network.initial(torch.Generator().manual_seed(0)), torch.zeros(2, 1, 8, 8))
    assert signature(network.module) == before


def test_weights_that_two_layers_share_are_seen():
    apart, tied = (nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)) for _ in range(2))
    tied[1].weight = tied[0].weight
    assert signature(apart) != signature(tied)


def test_references_that_go_round_end():
    module = Wired()
    module.__dict__["parent"] = [module]
    assert signature(module) == signature(module)
    assert signature(module) != signature(Wired())


def test_bound_methods_are_described_without_addresses():
    modules = [Wired() for _ in range(2)]
    for module in modules:
        module.__dict__["chosen"] = module.act
    assert signature(modules[0]) == signature(modules[1])
