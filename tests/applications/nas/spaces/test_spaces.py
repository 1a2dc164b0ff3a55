"""All spaces: names, genomes and networks are one to one, and costs are those of the networks that are built."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.data import DataSpec
from limbeck.errors import UsageError
from limbeck.networks import FunctionalNetwork
from limbeck.networks.signature import signature
from limbeck.plugins import registry

SPACES = {
    "convnet720": {},
    "convnet72": {},
    "chains": {},
    "cells": {"channels": 2},
    "cells, all nodes": {"channels": 2, "nodes": 2, "cells": 5, "output": "all"},
    "nb201": {"channels": 2},
    "nb201, isomorphic": {"channels": 2, "isomorphic": True},
}
SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 9, 11)]


def space_of(title):
    return registry().create("nas_spaces", {"name": title.partition(",")[0], **SPACES[title]})


def spec_of(shape, classes=4):
    names = tuple(map(str, range(classes)))
    return DataSpec("some", shape, classes, names, (0.5,) * shape[0], (0.5,) * shape[0], False)


@pytest.fixture(params=SPACES)
def space(request):
    return space_of(request.param)


GENOMES = st.lists(st.integers(0, 10**6), min_size=64, max_size=64)


def genome_of(space, numbers):
    return [number % len(gene.values) for gene, number in zip(space.genes(), numbers, strict=False)]


@pytest.mark.parametrize("title", SPACES)
@settings(max_examples=25, deadline=None)
@given(numbers=GENOMES, other=GENOMES)
def test_names_and_genomes_are_one_to_one(title, numbers, other):
    space = space_of(title)
    one, two = (space.decode(genome_of(space, each)) for each in (numbers, other))
    assert space.decode(space.encode(one)) == one
    assert (one.name == two.name) == (one.genome == two.genome)
    if len(space.genes()) > 5:  # spaces of ConvNets go through all that they have
        assert space.find(one.name) == one


@pytest.mark.parametrize("title", SPACES)
@settings(max_examples=4, deadline=None)
@given(numbers=GENOMES, which=st.integers(0, 10**6))
def test_neighbours_are_mutual(title, numbers, which):
    space = space_of(title)
    one = space.decode(genome_of(space, numbers))
    near = space.neighbours(one)
    assert near and one not in near and len({each.name for each in near}) == len(near)
    assert one in space.neighbours(near[which % len(near)])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_costs_are_those_of_the_network_that_is_built(space, shape):
    chance, spec = torch.Generator().manual_seed(3), spec_of(shape)
    for _ in range(2):
        one = space.sample(chance, spec)
        cost, module = space.cost(one, spec), space.build(one, shape, spec.num_classes)
        assert cost.parameters == sum(each.numel() for each in module.parameters())
        assert cost.signature == signature(module) and cost.flops > 0
        network = FunctionalNetwork(module, shape, name=one.name).fitting()
        logits = network(network.initial(chance), torch.randn(3, *shape, generator=chance))
        assert logits.shape == (3, 4) and logits.isfinite().all()


@pytest.mark.parametrize("title", ["cells", "nb201"])
def test_stacked_networks_compute_what_each_computes(title):
    space, chance = space_of(title), torch.Generator().manual_seed(5)
    one = space.sample(chance)
    network = FunctionalNetwork(space.build(one, (1, 8, 8), 3), (1, 8, 8), dtype=torch.float64)
    states = [network.initial(chance) for _ in range(3)]
    images = torch.randn(3, 5, 1, 8, 8, generator=chance, dtype=torch.float64)
    stacked = {name: torch.stack([state[name] for state in states]) for name in states[0]}
    network.module.train()
    found = torch.func.vmap(lambda state, part: torch.func.functional_call(network.module, state, (part,)))(
        stacked, images
    )
    for state, part, own in zip(states, images, found, strict=True):
        assert torch.allclose(network(state, part), own, rtol=0, atol=1e-10)
    for name in network.buffer_names:
        moved = torch.stack([state[name] for state in states])
        assert torch.allclose(moved.double(), stacked[name].double(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("title", ["cells", "cells, all nodes", "nb201"])
def test_every_weight_is_on_a_way_to_the_logits(title):
    space, chance = space_of(title), torch.Generator().manual_seed(7)
    for _ in range(6):
        network = FunctionalNetwork(space.build(space.sample(chance), (1, 8, 8), 3), (1, 8, 8))
        state = network.initial(chance)
        leaves = [state[name].requires_grad_() for name in network.parameter_names]
        logits = network(state, torch.randn(4, 1, 8, 8, generator=chance))
        gradients = torch.autograd.grad(logits.square().sum(), leaves, allow_unused=True)
        lacking = [name for name, each in zip(network.parameter_names, gradients, strict=True) if each is None]
        assert lacking == []


@pytest.mark.parametrize("title", ["cells", "nb201"])
def test_images_too_small_are_refused_at_sampling(title):
    space, spec = space_of(title), spec_of((1, 3, 8))
    with pytest.raises(UsageError, match=r"none of \d+ .* fits; the last one: .*1x3x8.*at least 4x4"):
        space.sample(torch.Generator().manual_seed(0), spec)


@pytest.mark.parametrize("name", ["no such name", "", "m0", "s0k1-m1d2", "|none~0|"])
@pytest.mark.parametrize("title", ["cells", "nb201"])
def test_a_name_that_is_none_is_refused_with_one_that_is(title, name):
    space = space_of(title)
    with pytest.raises(UsageError, match="is no architecture of") as caught:
        space.find(name)
    assert "\n" not in str(caught.value)
