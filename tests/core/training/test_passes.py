"""A batch cut into passes gives the gradient of the whole one, and takes the memory of a pass."""

from __future__ import annotations

import pytest
import torch

from limbeck.errors import UsageError
from limbeck.training import Epochs, Sharpness, fit

SOFT = torch.randn(10, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64).softmax(1)
WEIGHTS = torch.tensor([0.0, 2.0, 1.0, 0.5, 0.0, -1.0, 3.0, 1.0, 0.25, 0.0], dtype=torch.float64)
CASES = {
    "classes": {},
    "soft": {"loss": "soft_ce", "labels": SOFT},
    "distilled": {"loss": "kl", "labels": SOFT, "temperature": 2.0},
    "squares": {"loss": "mse", "labels": SOFT},
    "weights": {"sample_weights": WEIGHTS},
    "weights over their sum": {"sample_weights": WEIGHTS, "mask_norm": "sum"},
    "weights without a sum": {"sample_weights": torch.zeros(10), "mask_norm": "sum"},
    "some classes": {"class_mask": torch.tensor([True, True, False]), "labels": torch.arange(10) % 2},
    "sharpness": {"sharpness": 0.05},
    "flat": {"sharpness": Sharpness(0.05, gap=0.3, adaptive=True)},
    "clipped": {"clip": 0.1},
    "adam": {"optimiser": "adam"},
}


def trained(network, data, **settings):
    result = fit(network, start=[0], data=data, lr=0.1, budget=Epochs(2), **{"batch_size": 7, **settings})
    return {**result.states[0], "losses": result.losses[0]}


@pytest.mark.parametrize("chunk", [1, 3, 6])
@pytest.mark.parametrize("case", CASES)
def test_passes_add_up_to_the_batch(case, chunk, network, data, assert_same):
    whole = trained(network, data, **CASES[case])
    assert_same(trained(network, data, chunk=chunk, **CASES[case]), whole, 1e-10)


@pytest.mark.parametrize("chunk", [7, 100])
def test_batch_that_fits_a_pass_is_not_cut(chunk, network, data, assert_same):
    assert_same(trained(network, data, chunk=chunk), trained(network, data))


def test_batch_norm_sees_its_batch_whole(batch_norm_network, data, assert_same):
    assert_same(trained(batch_norm_network, data, chunk=2), trained(batch_norm_network, data))


def test_no_more_than_a_chunk_goes_through_the_network_at_once(network, data):
    sizes = []
    handle = network.module.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    trained(network, data, chunk=3)
    handle.remove()
    assert sizes == 2 * [3, 3, 1, 3]


def test_augmentation_does_not_depend_on_the_passes(network, data, shift, assert_same):
    settings = {"augmentation": shift}
    assert_same(trained(network, data, chunk=2, **settings), trained(network, data, **settings), 1e-10)


def test_pass_of_no_samples_is_refused(network, data):
    with pytest.raises(UsageError, match="chunk is 0"):
        trained(network, data, chunk=0)
