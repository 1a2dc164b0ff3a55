"""Jacobian covariance."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from limbeck_applications.nas.proxies.jacov import spread
from limbeck_applications.nas.proxies.untrained import batch_of, fresh

K = 1e-5


def term(eigenvalue):
    """What one eigenvalue takes off."""
    return math.log(eigenvalue + K) + 1 / (eigenvalue + K)


def test_rows_that_are_multiples_of_each_other_have_one_eigenvalue():
    row = torch.tensor([1.0, 2.0, -4.0, 0.5], dtype=torch.float64)
    rows = torch.stack([row, 3 * row + 1, 0.5 * row])
    assert spread(rows) == pytest.approx(-(term(3) + 2 * term(0)), rel=1e-9)


def test_uncorrelated_rows_have_eigenvalues_of_one_and_nothing_is_better():
    rows = torch.tensor([[1, -1, 0, 0], [0, 0, 2, -2], [3, 3, -3, -3]], dtype=torch.float64)
    assert spread(rows) == pytest.approx(-3 * term(1), rel=1e-12)
    drawn = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert spread(drawn) < spread(rows)


def test_it_is_what_numpy_makes_of_the_correlation_matrix():
    rows = torch.randn(6, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(rows.numpy()))
    assert spread(rows) == pytest.approx(-sum(term(each) for each in eigenvalues), rel=1e-10)


@pytest.mark.parametrize("flat", [[0.0] * 4, [2.0] * 4])
def test_a_row_without_correlation_is_the_worst(flat):
    rows = torch.tensor([[1.0, 2.0, 3.0, 5.0], flat], dtype=torch.float64)
    assert spread(rows) == -math.inf


def test_a_linear_network_pulls_all_images_alike(own, proxy, given, tmp_path):
    jacov = proxy("jacov", images=5)
    found = jacov.score([own(nn.Flatten(), nn.Linear(64, 3))], given(jacov, tmp_path))[0].value
    assert found == pytest.approx(-(term(5) + 4 * term(0)), rel=1e-6)


def test_it_looks_at_the_sum_of_logits(own, proxy, given, tmp_path):
    jacov, net = proxy("jacov", images=6), own(nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 3))
    material = given(jacov, tmp_path)
    state, images = fresh(net), batch_of(material)[0].flatten(1)
    on = (images @ state["1.weight"].T + state["1.bias"] > 0).double()
    rows = (on * state["3.weight"].sum(0)) @ state["1.weight"]
    assert jacov.score([net], material)[0].value == pytest.approx(spread(rows), rel=1e-6)
