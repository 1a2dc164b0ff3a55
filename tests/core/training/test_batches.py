"""Which samples a step sees, in which order, under which augmentation; and who owns the random numbers."""

from itertools import chain

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from limbeck.errors import UsageError
from limbeck.training import Epochs, Steps, TrainData, fit


def test_an_epoch_is_a_fresh_permutation_with_its_partial_batch(network, recorder):
    data = recorder()
    fit(network, start=[0], data=data, lr=0.1, budget=Epochs(2), batch_size=4)
    assert [len(batch) for batch in data.batches] == [4, 4, 2, 4, 4, 2]
    first, second = [list(chain(*data.batches[part])) for part in (slice(3), slice(3, 6))]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_a_budget_of_steps_may_end_inside_an_epoch(network, recorder):
    data = recorder()
    result = fit(network, start=[0], data=data, lr=0.1, budget=Steps(4), batch_size=4)
    assert [len(batch) for batch in data.batches] == [4, 4, 2, 4]
    assert len(result.losses[0]) == 1


def test_loss_is_the_mean_over_the_pass(network, data):
    result = fit(network, start=[0], data=data, lr=0.0, budget=Epochs(1), batch_size=4)
    start = fit(network, start=[0], data=data, lr=0.0, budget=Epochs(0)).states[0]
    expected = torch.nn.functional.cross_entropy(network(start, data.images), data.labels)
    torch.testing.assert_close(result.losses[0], expected[None])


@pytest.mark.parametrize("order", ["independent", "shared"])
def test_networks_together_equal_one_by_one(network, data, shift, assert_same, differ, order):
    how = {"data": data, "lr": 0.1, "momentum": 0.9, "budget": Epochs(3), "batch_size": 4, "order": order}
    together = fit(network, start=[5, 6, 7], augmentation=shift, **how)
    for position, seed in enumerate([5, 6, 7]):
        alone = fit(network, start=[seed], augmentation=shift, **how)
        assert_same(together.states[position], alone.states[0])
        assert torch.equal(together.losses[position], alone.losses[0])
    assert differ(together.states[0], together.states[1])


@pytest.mark.parametrize(("order", "same"), [("shared", True), ("independent", False)])
def test_order_is_shared_or_each_networks_own(network, recorder, order, same):
    sets = [recorder(), recorder()]
    fit(network, start=[0, 1], data=sets, lr=0.1, budget=Epochs(2), batch_size=3, order=order)
    assert (sets[0].batches == sets[1].batches) == same


def test_order_seed_names_the_shared_order(network, recorder):
    orders = []
    for seed in (0, 0, 1):
        data = recorder()
        fit(network, start=[0], data=data, lr=0.1, budget=Epochs(1), order="shared", order_seed=seed)
        orders.append(data.batches)
    assert orders[0] == orders[1] != orders[2]


def test_seeds_own_order_and_augmentation_apart_from_the_start(network, data, shift, assert_same, differ):
    how = {"data": data, "lr": 0.1, "budget": Epochs(2), "batch_size": 4, "augmentation": shift}
    plain = fit(network, start=[0], **how)
    assert_same(plain.states[0], fit(network, start=[0], seeds=[0], **how).states[0])
    assert differ(plain.states[0], fit(network, start=[0], seeds=[1], **how).states[0])


def test_each_network_may_have_its_own_data(network, data, assert_same):
    half = TrainData(data.images[:5], data.labels[:5])
    how = {"lr": 0.1, "budget": Epochs(2), "batch_size": 4}
    both = fit(network, start=[0, 1], data=[data, half], **how)
    assert_same(both.states[0], fit(network, start=[0], data=data, **how).states[0])
    assert_same(both.states[1], fit(network, start=[1], data=half, **how).states[0])


def test_shared_order_needs_equal_lengths(network, data):
    half = TrainData(data.images[:5], data.labels[:5])
    with pytest.raises(UsageError, match="equal length"):
        fit(network, start=[0, 1], data=[data, half], lr=0.1, budget=Epochs(1), order="shared")


def test_augmentation_draws_one_operation_a_batch_and_a_row_an_image(network, data, shift, differ):
    how = {"start": [0], "data": data, "lr": 0.1, "budget": Epochs(1), "batch_size": 4}
    augmented = fit(network, augmentation=shift, **how)
    assert shift.asked == [(4, True), (4, True), (2, True)]
    assert differ(augmented.states[0], fit(network, **how).states[0])


def test_the_global_generator_is_left_alone(network, data, shift):
    before = torch.random.get_rng_state()
    how = {"data": data, "lr": 0.1, "budget": Epochs(2), "batch_size": 4, "augmentation": shift}
    fit(network, start=[0, 1], order="shared", eval_sets={"it": data}, **how)
    assert torch.equal(before, torch.random.get_rng_state())


def test_data_that_asks_for_gradients_get_none(network, data):
    images = data.images.clone().requires_grad_()
    result = fit(network, start=[0], data=TrainData(images, data.labels), lr=0.1, budget=Epochs(1))
    assert images.grad is None
    assert not any(value.requires_grad for value in result.states[0].values())


class Scalars(TorchDispatchMode):
    """Counts the numbers that are fetched from the device."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **kwargs or {})


def test_no_step_waits_for_the_device(network, data, shift):
    weights = torch.rand(10, generator=torch.Generator().manual_seed(0))
    how = {
        "sample_weights": weights,
        "mask_norm": "sum",
        "clip": 1.0,
        "sharpness": 0.1,
        "augmentation": shift,
    }
    with Scalars() as scalars:
        fit(network, start=[0], data=data, lr=0.1, momentum=0.9, budget=Steps(6), batch_size=4, **how)
    assert scalars.count == 0
