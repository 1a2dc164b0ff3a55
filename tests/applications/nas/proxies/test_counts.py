"""Parameters and FLOPs."""

from __future__ import annotations

import pytest
from torch import nn

NAMES = ["d1-w16-nonorm-relu-avg", "d2-w32-batch-sigmoid-max", "d3-w16-instance-relu-avg"]


@pytest.mark.parametrize("name", NAMES)
def test_they_are_what_the_space_counts(name, space, candidate, proxy, given, problem, tmp_path):
    cost = space.cost(space.find(name), problem.spec)
    for which, number in (("parameters", cost.parameters), ("flops", cost.flops)):
        counting = proxy(which)
        assert counting.score([candidate(name)], given(counting, tmp_path))[0].value == number


def test_a_hand_count(own, proxy, given, tmp_path):
    counted = own(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
    parameters, flops = proxy("parameters"), proxy("flops")
    assert parameters.score([counted], given(parameters, tmp_path))[0].value == 2 * 9 + 2 + 4 + 72 * 3 + 3
    assert flops.score([counted], given(flops, tmp_path))[0].value == 2 * (36 * 2 * 9) + 2 * (72 * 3)


def test_they_know_nothing_of_the_seed(candidate, proxy, given, tmp_path):
    for which in ("parameters", "flops"):
        counting = proxy(which)
        values = {
            counting.score([candidate(NAMES[0], seed=seed)], given(counting, tmp_path))[0].value for seed in (0, 1)
        }
        assert len(values) == 1
