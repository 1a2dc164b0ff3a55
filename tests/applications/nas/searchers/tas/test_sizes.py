"""Distributions over sizes, against every chain of a small space."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from limbeck.data import DataSpec
from limbeck.plugins import registry
from limbeck_applications.nas.searchers.tas.sizes import Grid, Likeliest, expected_flops, mode

SPEC = DataSpec("digits", (1, 8, 8), 3, ("0", "1", "2"), (0.5,), (0.5,), mirror=False)


def grid_of(spec=SPEC, **options):
    space = registry().create(
        "nas_spaces", {"name": "chains", "widths": [2, 3, 5], "stages": 2, "layers": 2, **options}
    )
    return space, Grid.of(space, spec)


def every(space):
    return [[[width for width, _ in layers] for layers in space.stages(each.genome)] for each in space.all()]


def logits(grid, seed=0, spread=1.0):
    chance = torch.Generator().manual_seed(seed)
    rows = ((grid.stages * grid.layers, len(grid.widths)), (grid.stages, grid.layers))
    return [torch.randn(*each, generator=chance, dtype=torch.float64) * spread for each in rows]


def log_chance(grid, logs, stages):
    """The logarithm of a chain's probability, the likeliest widths in the layers that it does not have."""
    widths, depths, found = *logs, 0.0
    for stage, layers in enumerate(stages):
        found += float(depths[stage, len(layers) - 1])
        for layer in range(grid.layers):
            row = widths[stage * grid.layers + layer]
            found += float(row[grid.widths.index(layers[layer])] if layer < len(layers) else row.max())
    return found


@pytest.mark.parametrize("options", [{}, {"norms": ["none"]}, {"kernels": [5, 3]}, {"stages": 3}, {"layers": 3}])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 12)])
def test_flops_are_those_that_are_counted(options, shape):
    spec = DataSpec("images", shape, 3, ("0", "1", "2"), (0.5,) * shape[0], (0.5,) * shape[0], mirror=False)
    space, grid = grid_of(spec, **options)
    for seed in range(3):
        chance = torch.Generator().manual_seed(seed)
        stages = [[width for width, _ in each] for each in space.stages(space.sample(chance).genome)]
        architecture = grid.architecture(space, stages)
        assert grid.flops(stages) == space.cost(architecture, spec).flops
        assert space.values(architecture.genome)["norm"] == space.options.norms[0]


def test_expected_flops_are_the_mean_over_all_chains():
    space, grid = grid_of(norms=["batch"])
    widths, depths = (torch.softmax(each, 1) for each in logits(grid))
    mean = 0.0
    for stages in every(space):
        chance = 1.0
        for stage, layers in enumerate(stages):
            chance *= float(depths[stage, len(layers) - 1])
            for layer, width in enumerate(layers):
                chance *= float(widths[stage * grid.layers + layer, grid.widths.index(width)])
        mean += chance * grid.flops(stages)
    assert float(expected_flops(grid, widths, depths)) == pytest.approx(mean, rel=1e-12)


def test_certain_sizes_cost_what_they_cost():
    _, grid = grid_of()
    widths, depths = (torch.softmax(each * 1e6, 1) for each in logits(grid, 3))
    assert float(expected_flops(grid, widths, depths)) == grid.flops(mode(grid, widths, depths))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.2, 0.3, 0.6, 1.0])
def test_the_likeliest_within_a_cost_is_that_of_all_chains(seed, share):
    space, grid = grid_of(norms=["batch"])
    logs = [torch.log_softmax(each, 1) for each in logits(grid, seed)]
    most = grid.flops(grid.uniform(5, 2))
    low, high = 0.95 * share * most, 1.05 * share * most
    allowed = [each for each in every(space) if low <= grid.flops(each) <= high]
    found = Likeliest(grid, *logs, low, high).within
    assert allowed and found is not None and low <= grid.flops(found) <= high
    best = max(log_chance(grid, logs, each) for each in allowed)
    assert log_chance(grid, logs, found) == pytest.approx(best, abs=1e-12)


def test_the_likeliest_of_any_cost_is_the_mode():
    space, grid = grid_of(norms=["batch"])
    logs = [torch.log_softmax(each, 1) for each in logits(grid, 7)]
    found = Likeliest(grid, *logs, 0, grid.flops(grid.uniform(5, 2)))
    assert found.within == found.mode == max(every(space), key=lambda each: log_chance(grid, logs, each))


def test_what_no_chain_costs_has_a_nearest():
    space, grid = grid_of(norms=["batch"])
    costs = sorted({grid.flops(each) for each in every(space)})
    gap, low = max((right - left, left) for left, right in itertools.pairwise(costs))
    found = Likeliest(grid, *logits(grid), low + 0.6 * gap, low + 0.7 * gap)
    assert found.within is None
    assert found.nearest == low + gap
    assert Likeliest(grid, *logits(grid), 1.0, 2.0).nearest == costs[0]


def test_ties_and_long_chains_take_no_longer():
    _, grid = grid_of(stages=3, layers=12, widths=[4, 8])
    flat = [torch.full_like(each, -math.log(2)) for each in logits(grid)]
    most = grid.flops(grid.uniform(8, 12))
    found = Likeliest(grid, *flat, 0.45 * most, 0.55 * most)
    assert len(found.ends) < 2000
    assert 0.45 * most <= grid.flops(found.within) <= 0.55 * most
