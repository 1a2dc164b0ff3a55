"""Each update against PyTorch's own optimisers, run by hand on the whole set."""

import pytest
import torch
import torch.nn.functional as F

from limbeck import seeding
from limbeck.networks.functional import FunctionalNetwork
from limbeck.training import Cosine, Epochs, Steps, StepSchedule, fit

SETTINGS = {
    "sgd": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-3}),
    "adam": (torch.optim.Adam, {"lr": 0.01, "weight_decay": 5e-3}),
    "adamw": (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 5e-3}),
}


def initial(network, seed=0):
    return network.initial(seeding.generator(seed, "init"))


def by_hand(network, data, make, steps, loss=F.cross_entropy):
    """Train on the whole set at every step with an unfused optimiser."""
    state = {name: value.clone() for name, value in initial(network).items()}
    leaves = [state[name].requires_grad_() for name in network.parameter_names]
    optimiser = make(leaves)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(network(state, data.images), data.labels).backward()
        optimiser.step()
    return {name: value.detach() for name, value in state.items()}


@pytest.mark.parametrize("name", SETTINGS)
def test_optimiser_equals_pytorchs(network, data, assert_same, name):
    optimiser, settings = SETTINGS[name]
    expected = by_hand(network, data, lambda leaves: optimiser(leaves, foreach=False, **settings), 5)
    result = fit(network, start=[0], data=data, budget=Steps(5), optimiser=name, **settings)
    assert_same(result.states[0], expected, 1e-12)


def test_start_state_and_its_seed_are_the_same_start(network, data, assert_same):
    seeded = fit(network, start=[3], data=data, lr=0.1, budget=Epochs(2), batch_size=4)
    state = initial(network, 3)
    kept = {name: value.clone() for name, value in state.items()}
    given = fit(network, start=[state], seeds=[3], data=data, lr=0.1, budget=Epochs(2), batch_size=4)
    assert_same(seeded.states[0], given.states[0])
    assert_same(state, kept)


def test_no_budget_returns_the_start(network, data, assert_same):
    assert_same(fit(network, start=[0], data=data, lr=0.1, budget=Epochs(0)).states[0], initial(network))


def test_clip_bounds_the_whole_gradient(network, data):
    result = fit(network, start=[0], data=data, lr=1.0, budget=Steps(1), clip=1e-3)
    moved = [(result.states[0][name] - value).flatten() for name, value in initial(network).items()]
    assert torch.cat(moved).norm() == pytest.approx(1e-3, rel=1e-2)


def test_sharpness_takes_the_gradient_uphill(network, data, assert_same):
    state = initial(network)

    def gradient(at):
        leaves = {name: value.clone().requires_grad_() for name, value in at.items()}
        loss = F.cross_entropy(network(leaves, data.images), data.labels)
        return dict(zip(at, torch.autograd.grad(loss, list(leaves.values())), strict=True))

    ascent = gradient(state)
    norm = torch.cat([value.flatten() for value in ascent.values()]).norm()
    uphill = gradient({name: value + 0.05 * ascent[name] / norm for name, value in state.items()})
    expected = {name: value - 0.1 * uphill[name] for name, value in state.items()}
    result = fit(network, start=[0], data=data, lr=0.1, budget=Steps(1), sharpness=0.05)
    assert_same(result.states[0], expected, 1e-12)


def test_sharpness_moves_batch_statistics_once_a_step(batch_norm_network, data, assert_same):
    run = {"start": [0], "data": data, "lr": 0.0, "budget": Steps(3)}
    plain = fit(batch_norm_network, **run)
    sharp = fit(batch_norm_network, **run, sharpness=0.5)
    assert int(plain.states[0]["1.num_batches_tracked"]) == 3
    assert_same(plain.states[0], sharp.states[0])


def test_milestone_with_reset_equals_two_trainings(network, data, assert_same):
    how = {"data": data, "momentum": 0.9, "batch_size": 4}
    schedule = StepSchedule((2,), 0.1, reset_momentum=True)
    whole = fit(network, start=[0], lr=0.1, budget=Epochs(3), schedule=schedule, **how)
    streams = [seeding.Generators(0)]
    first = fit(network, start=[initial(network)], generators=streams, lr=0.1, budget=Epochs(2), **how)
    second = fit(network, start=first.states, generators=streams, lr=0.1 * 0.1, budget=Epochs(1), **how)
    assert_same(whole.states[0], second.states[0])


def test_momentum_survives_a_milestone_unless_it_is_reset(network, data, differ):
    how = {"start": [0], "data": data, "lr": 0.1, "momentum": 0.9, "budget": Epochs(3)}
    kept = fit(network, schedule=StepSchedule((2,), 0.1), **how)
    reset = fit(network, schedule=StepSchedule((2,), 0.1, reset_momentum=True), **how)
    assert differ(kept.states[0], reset.states[0])


def test_milestones_count_in_the_budgets_unit(network, data, assert_same):
    how = {"start": [0], "data": data, "lr": 0.1, "batch_size": 4}
    epochs = fit(network, budget=Epochs(3), schedule=StepSchedule((2,), 0.1), **how)
    steps = fit(network, budget=Steps(9), schedule=StepSchedule((6,), 0.1), **how)
    assert_same(epochs.states[0], steps.states[0])


def test_condensation_protocol_has_502_epochs_before_the_milestone():
    schedule = StepSchedule((1000 // 2 + 2,), 0.1, reset_momentum=True)
    scales = [schedule.scale(done, 1001) for done in range(1001)]
    assert scales.count(1.0) == 502
    assert scales.count(0.1) == 499
    assert [done for done in range(1001) if schedule.restarts(done)] == [502]


def test_cosine_falls_from_the_full_rate_to_none(network, data, differ, assert_same):
    scales = [Cosine().scale(done, 10) for done in range(11)]
    assert scales[0] == 1
    assert scales[5] == pytest.approx(0.5)
    assert scales[10] == pytest.approx(0)
    assert scales == sorted(scales, reverse=True)
    one = fit(network, start=[0], data=data, lr=0.1, budget=Steps(1), schedule=Cosine())
    assert_same(one.states[0], fit(network, start=[0], data=data, lr=0.1, budget=Steps(1)).states[0])
    two = fit(network, start=[0], data=data, lr=0.1, budget=Steps(2), schedule=Cosine())
    assert differ(two.states[0], fit(network, start=[0], data=data, lr=0.1, budget=Steps(2)).states[0])


def test_mixed_precision_keeps_the_weights_type(network, data):
    single = FunctionalNetwork(network.module, network.shape, dtype=torch.float32)
    how = {"start": [0], "data": data, "lr": 0.1, "budget": Steps(3), "eval_sets": {"it": data}}
    mixed, exact = fit(single, dtype=torch.bfloat16, **how), fit(single, **how)
    for name, value in mixed.states[0].items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, exact.states[0][name], rtol=0, atol=0.02)
    assert not torch.equal(mixed.states[0]["0.weight"], exact.states[0]["0.weight"])
    assert mixed.metrics[0]["it"].loss != exact.metrics[0]["it"].loss
    assert mixed.metrics[0]["it"].loss == pytest.approx(exact.metrics[0]["it"].loss, abs=0.02)


def test_dtype_is_that_of_weights_and_images(network, data):
    result = fit(network, start=[0], data=data, lr=0.1, budget=Steps(1), dtype=torch.float32, device="cpu")
    assert {value.dtype for value in result.states[0].values()} == {torch.float32}
    assert result.losses[0].dtype == torch.float32
