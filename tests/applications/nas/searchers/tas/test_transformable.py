"""One network that holds all chains: each of them is in it, and two are mixed as the definition says."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from limbeck.data import DataSpec
from limbeck.networks import FunctionalNetwork
from limbeck.plugins import registry
from limbeck.seeding import generator
from limbeck_applications.nas.candidates.job import network_of
from limbeck_applications.nas.searchers.tas.sizes import Grid
from limbeck_applications.nas.searchers.tas.transformable import Draw, Transformable, drawn, gumbel, interpolated

SPEC = DataSpec("digits", (1, 8, 8), 3, ("0", "1", "2"), (0.5,), (0.5,), mirror=False)
WIDTHS = [2, 3, 6]


def whole(norm):
    """The space, the grid, the network in float64, weights and images."""
    space = registry().create(
        "nas_spaces", {"name": "chains", "widths": WIDTHS, "stages": 2, "layers": 2, "norms": [norm]}
    )
    grid = Grid.of(space, SPEC)
    network = FunctionalNetwork(Transformable(grid), SPEC.shape, dtype=torch.float64)
    state = network.initial(generator(0, "init"))
    chance = generator(0, "norms")
    for name, value in state.items():
        if name.startswith("norms"):
            state[name] = value + 0.3 * torch.randn(value.shape, generator=chance, dtype=torch.float64)
    images = torch.randn(5, 1, 8, 8, generator=chance, dtype=torch.float64)
    return space, grid, network, state, images


def part(grid, state, stages):
    """The weights of one chain, cut out of those of all."""
    found, at, channels, last = {}, 0, 1, state["classifier.weight"]
    for stage, layers in enumerate(stages):
        for layer, width in enumerate(layers):
            place = stage * grid.layers + layer
            found[f"features.{at}.weight"] = state[f"convs.{place}.weight"][:width, :channels]
            found[f"features.{at}.bias"] = state[f"convs.{place}.bias"][:width]
            at += 1
            if grid.norm == "batch":
                row = WIDTHS.index(width)
                found[f"features.{at}.weight"] = state[f"norms.{place}.weight"][row, :width]
                found[f"features.{at}.bias"] = state[f"norms.{place}.bias"][row, :width]
                found[f"features.{at}.running_mean"] = torch.zeros(width, dtype=torch.float64)
                found[f"features.{at}.running_var"] = torch.ones(width, dtype=torch.float64)
                found[f"features.{at}.num_batches_tracked"] = torch.tensor(0)
                at += 1
            at, channels = at + 1, width
        at += 1
    return {**found, "classifier.weight": last[:, : channels * 4], "classifier.bias": state["classifier.bias"]}


def certain(grid, stages, other=0):
    """Sizes of one chain; the other width drawn of each layer, and other depths, have a share of zero."""
    filled = [[*layers, *[WIDTHS[0]] * (grid.layers - len(layers))] for layers in stages]
    widths = [[WIDTHS.index(width), other] for layers in filled for width in layers]
    depths = torch.tensor([[float(len(layers) == depth + 1) for depth in range(grid.layers)] for layers in stages])
    return Draw(widths, torch.tensor([[1.0, 0.0]] * len(widths)), depths)


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("stages", [[[2], [3]], [[3, 6], [2, 6]], [[3, 3], [6]], [[6, 6], [6, 6]]])
def test_chains_that_do_not_narrow_within_a_stage_are_in_it(norm, stages):
    space, grid, network, state, images = whole(norm)
    chain = network_of(space, grid.architecture(space, stages), SPEC, torch.device("cpu"))
    chain.module.double()
    network.module.sizes = certain(grid, stages)
    expected = chain(part(grid, state, stages), images)
    torch.testing.assert_close(network(state, images), expected, rtol=1e-12, atol=1e-12)


def test_it_is_the_largest_chain_before_anything_is_drawn():
    _, grid, network, state, images = whole("batch")
    untouched = network(state, images)
    network.module.sizes = certain(grid, [[6, 6], [6, 6]])
    torch.testing.assert_close(untouched, network(state, images), rtol=1e-12, atol=1e-12)


def test_two_widths_are_averaged_to_the_greater_and_added_by_their_shares():
    _, grid, network, state, images = whole("none")
    shares = torch.tensor([[0.25, 0.75]] * 4, dtype=torch.float64)
    network.module.sizes = Draw([[1, 2]] * 4, shares, certain(grid, [[6], [6]]).depths)
    module, maps = network.module, images
    for place in (0, 2):
        conv = F.conv2d(
            maps, state[f"convs.{place}.weight"][:, : maps.shape[1]], state[f"convs.{place}.bias"], padding=1
        )
        few = torch.stack([conv[:, 0], conv[:, 0], conv[:, 1], conv[:, 1], conv[:, 2], conv[:, 2]], 1)
        maps = F.avg_pool2d(F.relu(0.25 * few + 0.75 * conv), 2)
    expected = maps.flatten(1) @ state["classifier.weight"].T + state["classifier.bias"]
    torch.testing.assert_close(network(state, images), expected, rtol=1e-12, atol=1e-12)
    assert module.sizes.widths[0] == [1, 2]


def test_depths_are_added_by_their_shares():
    _, grid, network, state, images = whole("none")
    ends, shares = [], torch.tensor([0.3, 0.7], dtype=torch.float64)
    for depth in (1, 2):
        network.module.sizes = certain(grid, [[6, 6], [6] * depth], other=2)
        ends.append(network(state, images))
    mixed = certain(grid, [[6, 6], [6, 6]], other=2)
    depths = torch.stack([mixed.depths[0].double(), shares])
    network.module.sizes = Draw(mixed.widths, mixed.shares, depths)
    expected = 0.3 * ends[0] + 0.7 * ends[1]  # after the last layer of a stage everything is linear
    torch.testing.assert_close(network(state, images), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("given", "wanted"), [(2, 6), (3, 6), (4, 6), (6, 4), (8, 12), (5, 5), (1, 3)])
def test_channels_are_interpolated_as_adaptive_pooling_does(given, wanted):
    maps = torch.randn(3, given, 4, 5, generator=generator(0, "maps"), dtype=torch.float64)
    pooled = F.adaptive_avg_pool1d(maps.permute(0, 2, 3, 1).reshape(-1, 1, given), wanted)
    expected = pooled.reshape(3, 4, 5, wanted).permute(0, 3, 1, 2)
    torch.testing.assert_close(interpolated(maps, wanted), expected, rtol=1e-12, atol=1e-12)


def test_cold_draws_follow_the_distribution():
    logits = torch.tensor([[0.0, 1.0, 2.0]], dtype=torch.float64)
    shares = torch.softmax(gumbel(logits.expand(20_000, 3), 1e-3, generator(0, "noise")), 1)
    found, expected = shares.mean(0), torch.softmax(logits[0], 0)
    assert (found - expected).abs().max() < 4 * 0.5 / 20_000**0.5
    assert (shares.max(1).values > 0.99).double().mean() > 0.99


def test_hot_draws_share_alike():
    logits = torch.tensor([[0.0, 1.0, 2.0]], dtype=torch.float64)
    shares = torch.softmax(gumbel(logits.expand(1000, 3), 1e4, generator(0, "noise")), 1)
    assert (shares - 1 / 3).abs().max() < 0.01


def test_two_different_widths_are_drawn_and_gradients_reach_the_logits():
    widths, depths = (torch.zeros(4, 3, dtype=torch.float64), torch.zeros(2, 2, dtype=torch.float64))
    chance = generator(0, "draws")
    for _ in range(20):
        found = drawn(widths.requires_grad_(), depths.requires_grad_(), 0.1, chance)
        assert all(len(set(pair)) == 2 for pair in found.widths)
        torch.testing.assert_close(found.shares.sum(1), torch.ones(4, dtype=torch.float64))
    gradients = torch.autograd.grad(found.shares[:, 0].sum() + found.depths[:, 0].sum(), [widths, depths])
    assert all((each != 0).any() for each in gradients)


def test_a_space_of_one_width_is_drawn_once():
    found = drawn(torch.zeros(4, 1), torch.zeros(2, 2), 1.0, generator(0, "draws"))
    assert found.widths == [[0]] * 4 and found.shares.tolist() == [[1.0]] * 4
