"""Dropout with an owner: masks come from the generator that is lent, and from nowhere else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.errors import UsageError
from limbeck.networks import Dropout, FunctionalNetwork
from limbeck.training import Epochs, Steps, TrainData, fit

SHAPE = (2, 4, 4)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n=6):
    return torch.randn(n, *SHAPE, generator=rng(9))


def network(*dropout, p=0.5):
    """A small network with dropout of PyTorch's before its classifier."""
    layers = [nn.Conv2d(2, 6, 3), nn.ReLU(), *(dropout or [nn.Dropout(p)]), nn.Flatten(), nn.Linear(24, 3)]
    return FunctionalNetwork(nn.Sequential(*layers), SHAPE, name="small")


def lent(module, seed=0):
    module.owner = rng(seed)
    return module


def test_values_are_dropped_with_probability_p_and_the_rest_scaled_up():
    dropped = lent(Dropout(0.3))(torch.ones(100, 100))
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert lent(Dropout(0.3, scale=False))(torch.ones(100)).unique().tolist() == [0, 1]
    assert not lent(Dropout(1.0))(torch.ones(9)).any()


@pytest.mark.parametrize(("axes", "equal"), [(1, (1, 2, 3)), (2, (2, 3)), (3, (3,))])
def test_axes_say_what_is_dropped_together(axes, equal):
    dropped = lent(Dropout(0.5, axes))(torch.ones(8, 8, 3, 3))
    assert torch.equal(dropped.amax(equal), dropped.amin(equal))
    assert dropped.flatten(axes - 1).var(axes - 1).max() > 0


def test_masks_depend_on_the_generator_alone():
    net = network()
    state = net.initial(rng())
    before = torch.get_rng_state()
    first, again, other = (net(state, images(), dropout=rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    generator = rng(1)
    assert not torch.equal(net(state, images(), dropout=generator), net(state, images(), dropout=generator))
    assert torch.equal(before, torch.get_rng_state())


def test_nothing_is_dropped_in_eval_mode_or_when_switched_off():
    net, plain = network(), network(nn.Identity())
    state = net.initial(rng())
    expected = plain(state, images())
    assert torch.equal(net(state, images(), train=False), expected)
    assert torch.equal(net(state, images(), train=False, dropout=rng()), expected)
    assert torch.equal(net(state, images(), dropout="off"), expected)
    assert torch.equal(network(p=0.0)(state, images()), expected)


def test_masks_without_an_owner_are_one_clear_error():
    net = network()
    state = net.initial(rng())
    net(state, images(), dropout=rng())
    with pytest.raises(UsageError, match=r"given no generator.*dropout=generator.*dropout='off'.*train=False"):
        net(state, images())


def test_features_are_dropped_too():
    net = network()
    state = net.initial(rng())
    assert (net.features(state, images(), ["embedding"], dropout=rng())["embedding"] == 0).float().mean() > 0.5
    with pytest.raises(UsageError, match="given no generator"):
        net.features(state, images(), ["embedding"])


@pytest.mark.parametrize(("theirs", "axes"), [(nn.Dropout(0.3), None), (nn.Dropout2d(0.3), 2)])
def test_pytorchs_modules_are_replaced_wherever_they_are(theirs, axes):
    module = nn.Sequential(nn.Sequential(nn.Identity(), theirs), nn.Flatten(), nn.Linear(32, 3))
    net = FunctionalNetwork(module, SHAPE)
    [(name, ours)] = [(name, child) for name, child in module.named_modules() if isinstance(child, Dropout)]
    assert (name, ours.p, ours.axes) == ("0.1", 0.3, axes)
    assert net.drops and not network(p=0.0).drops


def test_gradients_of_any_order_pass_through_one_mask():
    module, values = Dropout(0.4), images(2).double().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: lent(module, 3)(x.tanh()), values)


class Foreign(nn.Module):
    """Drops by a function, which no replacement of modules finds."""

    def forward(self, values):
        return nn.functional.dropout(values, 0.5, self.training)


@pytest.mark.parametrize("module", [Foreign(), nn.RReLU(), nn.AlphaDropout(0.5)], ids=lambda m: type(m).__name__)
def test_a_network_that_draws_by_itself_is_refused_and_the_generator_put_back(module):
    net = network(module)
    net.module[0].bias.fill_(9)  # values that are all positive do not hide a module that draws for negative ones
    before = torch.get_rng_state()
    with pytest.raises(UsageError, match=rf"'small' draws from PyTorch's global generator.*{type(module).__name__}"):
        net.fitting()
    assert torch.equal(before, torch.get_rng_state())
    network().fitting()


NET = network()


def train(budget, seed=1, **settings):
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    settings = {"start": [seed], "lr": 0.1, "batch_size": 4, **settings}
    return fit(NET, data=TrainData(images(), labels), budget=budget, **settings)


def same(first, second):
    return all(torch.equal(value, second.states[0][key]) for key, value in first.states[0].items())


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_training_that_is_continued_ends_with_the_bits_of_one_that_was_not(steps):
    whole = train(Steps(5))
    part = train(Steps(steps))
    assert same(train(Steps(5), resume_from=part.checkpoint), whole)
    assert not same(part, whole)


def test_a_training_depends_on_its_seed_alone():
    before = torch.get_rng_state()
    result = train(Epochs(2))
    assert torch.equal(before, torch.get_rng_state())
    assert same(train(Epochs(2)), result)
    assert not same(train(Epochs(2), seed=2), result)
    both = train(Epochs(2), start=[2, 1])
    assert all(torch.equal(value, both.states[1][key]) for key, value in result.states[0].items())


def test_masks_act_in_training_and_follow_the_cut_of_a_batch():
    """Halves of a batch draw other masks than the whole; each way can be repeated."""
    whole, cut = train(Steps(3)), train(Steps(3), chunk=2)
    assert not same(whole, cut)
    assert same(cut, train(Steps(3), chunk=2))
    without = fit(
        network(nn.Identity()), start=[1], data=TrainData(images(), torch.tensor([0, 1, 2, 0, 1, 2])), lr=0.1,
        budget=Steps(3), batch_size=4,
    )  # fmt: skip
    assert not same(whole, without)
