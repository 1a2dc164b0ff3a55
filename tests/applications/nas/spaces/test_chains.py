"""Chains: names, stages and genomes say the same, and what is built is what they say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.errors import UsageError
from limbeck.plugins import registry


def chains(**options):
    return registry().create("nas_spaces", {"name": "chains", **options})


@pytest.fixture(params=[{}, {"kernels": [1, 3, 5], "norms": ["none", "batch"], "layers": 2}], ids=["plain", "wide"])
def space(request):
    return chains(**request.param)


def drawn(space, number=20):
    chance = torch.Generator().manual_seed(1)
    return [space.sample(chance) for _ in range(number)]


def test_name_stages_and_genome_say_the_same(space):
    for one in drawn(space):
        assert space.find(one.name) == one
        assert space.from_stages(space.stages(one.genome), space.norm(one.genome)) == one


def test_genes_of_layers_that_are_not_there_do_not_count():
    space = chains()
    other = [0, *[0, 0, 0, 5, 0, 5, 0] * 3]
    assert space.decode(other) == space.first()
    assert space.stages(space.first().genome) == [[(8, 3)]] * 3


def test_neighbours_are_near_distinct_and_mutual(space):
    for one in drawn(space, 6):
        near = space.neighbours(one)
        assert len({other.genome for other in near}) == len(near) and one not in near
        assert all(one in space.neighbours(other) for other in near)
        for other in near:
            grown = sum(map(len, space.stages(other.genome))) - sum(map(len, space.stages(one.genome)))
            assert abs(grown) <= 1


def test_a_layer_has_a_neighbour_for_each_other_width():
    space = chains(widths=[2, 4, 6], layers=1, stages=1)
    assert [other.name for other in space.neighbours(space.find("4_batch"))] == ["2_batch", "6_batch"]


def test_what_is_built_has_these_widths_kernels_and_norms():
    space = chains(widths=[2, 4, 6], kernels=[3, 5], norms=["none", "batch"])
    stages = [[(4, 3), (2, 5)], [(6, 5)], [(2, 3)]]
    module = space.build(space.from_stages(stages, "batch"), (3, 32, 32), 10)
    kinds = [type(layer).__name__ for layer in module.features]
    block = ["Conv2d", "BatchNorm2d", "ReLU"]
    assert kinds == [*block, *block, "AvgPool2d", *block, "AvgPool2d", *block, "AvgPool2d"]
    convs = [layer for layer in module.features if isinstance(layer, nn.Conv2d)]
    assert [(conv.out_channels, *conv.kernel_size) for conv in convs] == [(4, 3, 3), (2, 5, 5), (6, 5, 5), (2, 3, 3)]
    assert module.classifier.in_features == 2 * 4 * 4
    plain = space.build(space.from_stages(stages, "none"), (3, 32, 32), 10)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in plain.modules())


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 17, 9)])
def test_images_of_any_size_go_through(shape):
    space = chains(kernels=[1, 3, 5])
    for one in drawn(space, 3):
        module = space.build(one, shape, 7).eval()
        with torch.no_grad():
            assert module(torch.zeros(2, *shape)).shape == (2, 7)


def test_networks_go_through_vmap():
    """Candidates of one structure are trained in one call."""
    space = chains(norms=["none"])
    module = space.build(space.first(), (1, 8, 8), 3)
    weights = {name: torch.stack([value, 2 * value]) for name, value in module.named_parameters()}
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    both = torch.func.vmap(lambda state: torch.func.functional_call(module, state, (images,)))(weights)
    assert torch.allclose(both[0], module(images), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"widths": [4, 2]}, "small to large"),
        ({"widths": [0, 2]}, "from 1 on"),
        ({"kernels": [2]}, "1, 3, 5 or 7"),
        ({"kernels": [3, 3]}, "once"),
        ({"norms": ["instance"]}, "'none' or 'batch'"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, says):
    with pytest.raises(UsageError, match=says):
        chains(**options)


@pytest.mark.parametrize(
    "name", ["", "8_8_8", "8_8_batch", "8_8_9_batch", "8_8_8-8-8-8_batch", "8k3_8k3_8k3_batch", "8_8_8_group"]
)
def test_names_of_nothing_are_refused_with_one_that_is(name):
    with pytest.raises(UsageError, match="one is named like '8_8_8_batch'"):
        chains().find(name)


def test_stages_that_the_space_does_not_have_are_refused():
    space = chains()
    with pytest.raises(UsageError, match="width 9 is not in chains; it has 8, 12"):
        space.from_stages([[(8, 3)], [(9, 3)], [(8, 3)]], "batch")
    with pytest.raises(UsageError, match="3 stages, but 1"):
        space.from_stages([[(8, 3)]], "batch")


def test_images_too_small_for_the_poolings_are_refused():
    with pytest.raises(UsageError, match="at least 8x8; give fewer with the option 'stages'"):
        chains().build(chains().first(), (1, 7, 9), 10)
