"""Networks that advance together are what they are one after another, to rounding."""

import sys

import pytest
import torch
from torch import nn

from limbeck import seeding
from limbeck.errors import UsageError
from limbeck.networks import Dropout
from limbeck.networks.functional import FunctionalNetwork
from limbeck.synthetic import LabelProjector
from limbeck.training import Cosine, Epochs, Steps, StepSchedule, TrainData, accuracy, fit, stackable
from limbeck.training.stackable import is_worth_trying
from limbeck.training.stacked import Stack

HOW = {"start": [0, 1, 2], "lr": 0.05, "budget": Epochs(4), "batch_size": 4, "momentum": 0.9}
TIGHT = 1e-10
FIT = sys.modules["limbeck.training.fit"]


def together(network, data, assert_same, tolerance=TIGHT, **how):
    """Return what stacking gives, once it is sure that one after another gives the same."""
    alone, found = (fit(network, data=data, **HOW | how, stacked=stacked) for stacked in (False, True))
    for position in range(len(alone.states)):
        assert_same(found.states[position], alone.states[position], tolerance)
        torch.testing.assert_close(found.losses[position], alone.losses[position], rtol=0, atol=tolerance)
    assert_same(found.checkpoint, alone.checkpoint, tolerance)
    return alone, found


def soft(data, scale=1.0):
    draw = torch.Generator().manual_seed(3)
    return torch.softmax(torch.randn(len(data), 3, generator=draw, dtype=torch.float64) * scale, 1)


def weights(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


VARIED = {
    "plain": lambda data: {"momentum": 0.0},
    "weight decay and cosine": lambda data: {"weight_decay": 5e-3, "schedule": Cosine()},
    "milestone that drops the momentum": lambda data: {"schedule": StepSchedule((2,), 0.1, reset_momentum=True)},
    "steps": lambda data: {"budget": Steps(5), "schedule": Cosine()},
    "adam": lambda data: {"optimiser": "adam", "momentum": 0.0, "weight_decay": 5e-3},
    "adamw": lambda data: {"optimiser": "adamw", "momentum": 0.0, "weight_decay": 5e-3},
    "clip": lambda data: {"clip": 0.3},
    "shared order": lambda data: {"order": "shared", "order_seed": 5},
    "labels of each network": lambda data: {"labels": torch.stack([data.labels, 2 - data.labels, data.labels % 2])},
    "soft labels": lambda data: {"labels": soft(data), "loss": "kl", "temperature": 2.0},
    "logits": lambda data: {"labels": soft(data, 3.0), "loss": "mse"},
    "sample weights": lambda data: {"sample_weights": weights(3, len(data))},
    "sum of weights": lambda data: {"sample_weights": weights(len(data)).round(), "mask_norm": "sum"},
    "class mask": lambda data: {
        "labels": data.labels % 2,
        "class_mask": torch.tensor([[True, True, False], [True, True, True], [True, True, False]]),
    },
}


@pytest.mark.parametrize("name", VARIED)
def test_stacked_equals_one_after_another(network, data, assert_same, differ, name):
    _, found = together(network, data, assert_same, **VARIED[name](data))
    assert differ(found.states[0], found.states[1])


def test_batch_norm_keeps_each_networks_statistics(batch_norm_network, data, assert_same, differ):
    _, found = together(batch_norm_network, data, assert_same)
    assert int(found.states[2]["1.num_batches_tracked"]) == 12
    assert differ(*({"mean": found.states[place]["1.running_mean"]} for place in (0, 1)))


def test_augmentation_is_drawn_by_each_network(network, data, shift, assert_same):
    together(network, data, assert_same, augmentation=shift)
    assert set(shift.asked) == {(4, True), (2, True)}


class Coupled(TrainData):
    """Not the object that the others learn from."""


def test_data_of_each_network(network, data, shift, assert_same):
    sets = [data, Coupled(data.images * 2, data.labels), Coupled(-data.images, 2 - data.labels)]
    together(network, sets, assert_same, augmentation=shift)


def test_an_augmentation_that_blends_a_batch_sees_no_other_networks(network, data, assert_same, monkeypatch, shift):
    monkeypatch.setattr(type(shift), "independent", False)
    monkeypatch.setattr(type(shift), "apply", lambda self, images, draw: images + images.mean(0, keepdim=True))
    together(network, data, assert_same, augmentation=shift)


class Epochal(LabelProjector):
    """Labels that change from pass to pass and follow the images."""

    def labels(self, images, index, epoch, draw):
        return torch.softmax(images.flatten(1)[:, :3] * (epoch + 1) + index[:, None], 1)


def test_labels_that_a_projector_gives(network, data, shift, assert_same):
    together(network, data, assert_same, labels=Epochal(), augmentation=shift)


class Gate(nn.Module):
    """A layer whose gradient comes transposed."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(36, 36))

    def draw(self, generator):
        return {"weight": torch.empty_like(self.weight).normal_(std=0.1, generator=generator)}

    def forward(self, values):
        return torch.einsum("nd,cd->nc", values, self.weight)


def gated():
    body = [nn.Conv2d(1, 4, 3, padding=1), nn.AvgPool2d(2), nn.Flatten(), Gate(), nn.Linear(36, 3)]
    return FunctionalNetwork(nn.Sequential(*body), (1, 6, 6), dtype=torch.float64)


def test_gradients_of_another_layout_reach_their_weights(data, assert_same):
    network = gated()
    _, found = together(network, data, assert_same, budget=Steps(1), batch_size=10, lr=1.0)
    state = network.initial(seeding.generator(0, "init"))
    leaf = state["3.weight"].clone().requires_grad_()
    loss = nn.functional.cross_entropy(network({**state, "3.weight": leaf}, data.images), data.labels)
    expected = state["3.weight"] - torch.autograd.grad(loss, leaf)[0]
    torch.testing.assert_close(found.states[0]["3.weight"], expected, rtol=0, atol=1e-12)


def test_float32_logits_agree_after_a_short_training(batch_norm_network, data, assert_same):
    network = FunctionalNetwork(batch_norm_network.module, (1, 6, 6), dtype=torch.float32)
    data = TrainData(data.images.float(), data.labels)
    found = [fit(network, data=data, **HOW, stacked=stacked).states for stacked in (False, True)]
    for pair in zip(*found, strict=True):
        alone, stacked = (network(state, data.images, train=False) for state in pair)
        torch.testing.assert_close(stacked, alone, rtol=0, atol=1e-4)


def test_snapshots_metrics_and_progress_are_the_same(batch_norm_network, data, assert_same):
    seen = {}

    def watch(stacked):
        return lambda now: seen.setdefault(stacked, {}).__setitem__(
            (now.network, now.epoch), (now.step, now.loss.clone(), now.state["5.weight"].clone())
        )

    how = HOW | {"data": data, "snapshots": [0, 2, 3], "eval_sets": {"it": data}, "eval_snapshots": True}
    alone, found = (
        fit(batch_norm_network, **how, stacked=stacked, on_epoch=watch(stacked)) for stacked in (False, True)
    )
    for own, other in zip(alone.snapshots, found.snapshots, strict=True):
        assert [each.step for each in other] == [0, 2, 3]
        for one, same in zip(own, other, strict=True):
            assert_same(same.state, one.state, TIGHT)
            assert same.metrics["it"].loss == pytest.approx(one.metrics["it"].loss)
    assert found.metrics[1]["it"].overall == alone.metrics[1]["it"].overall
    assert accuracy(batch_norm_network, found.states[1], data) == found.metrics[1]["it"]
    assert seen[True].keys() == seen[False].keys()
    for key, told in seen[True].items():
        for value, expected in zip(told, seen[False][key], strict=True):
            torch.testing.assert_close(value, expected, rtol=0, atol=TIGHT)


@pytest.mark.parametrize("options", [{}, {"optimiser": "adam", "momentum": 0.0}, {"budget": Steps(10)}])
@pytest.mark.parametrize("first", [True, False])
def test_each_way_goes_on_from_the_others_checkpoint(network, data, shift, assert_same, first, options):
    how = HOW | {"data": data, "augmentation": shift} | options
    taken = []
    whole = fit(network, **how, stacked=first, on_epoch=lambda now: taken.append(now.checkpoint()))
    for checkpoint in taken[::3]:
        again = fit(network, **how, stacked=not first, resume_from=checkpoint)
        for position in range(3):
            assert_same(again.states[position], whole.states[position], TIGHT)
            torch.testing.assert_close(again.losses[position], whole.losses[position], rtol=0, atol=TIGHT)


def test_a_finished_stack_goes_on_inside_an_epoch(network, data, assert_same):
    how = HOW | {"data": data}
    short = fit(network, **how | {"budget": Steps(5)}, stacked=True)
    longer = fit(network, **how | {"budget": Steps(11)}, stacked=True, resume_from=short)
    assert_same(longer.checkpoint, fit(network, **how | {"budget": Steps(11)}).checkpoint, TIGHT)


def test_results_share_no_memory(network, data):
    found = fit(network, data=data, **HOW, stacked=True)
    tensors = [value for state in found.states for value in state.values()]
    assert len({value.untyped_storage().data_ptr() for value in tensors}) == len(tensors)


def test_what_memory_has_no_room_for_goes_in_several_passes(network, data, assert_same, monkeypatch):
    sizes = []
    monkeypatch.setattr(stackable, "BLOCK", 1)
    monkeypatch.setattr(FIT, "Stack", lambda members: sizes.append(len(members)) or Stack(members))
    together(network, data, assert_same, start=[0, 1, 2, 3, 4])
    assert sizes == [2, 2]


class Branching(nn.Module):
    """Asks what its values are."""

    def forward(self, values):
        return values if float(values.detach().sum()) > 0 else -values


class Misbatched(torch.autograd.Function):
    """Right alone, wrong in a stack."""

    @staticmethod
    def forward(values):
        return values.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, gradient):
        return gradient

    @staticmethod
    def vmap(info, dims, values):
        return values * 2, dims[0]


class Wrong(nn.Module):
    def forward(self, values):
        return Misbatched.apply(values)


def with_layer(layer):
    body = [nn.Conv2d(1, 4, 3, padding=1), layer, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 3)]
    return FunctionalNetwork(nn.Sequential(*body), (1, 6, 6), dtype=torch.float64, name="odd")


def one_generator():
    return [seeding.Generators(0)] * 3


REFUSED = {
    "drop values": ({}, lambda: with_layer(Dropout(0.5))),
    "does not go through": ({}, lambda: with_layer(Branching())),
    "changes what network 'odd' computes": ({}, lambda: with_layer(Wrong())),
    "sharpness": ({"sharpness": 0.05}, None),
    "chunk cuts": ({"chunk": 2}, None),
    "learning rates or weight decays differ": ({"lr": [0.1, 0.1, 0.2]}, None),
    "share a generator": ({"generators": one_generator}, None),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_stacked_is_said_in_a_line_or_left_alone(network, data, assert_same, monkeypatch, reason):
    how, make = REFUSED[reason]
    how = (
        HOW
        | {"data": data, "budget": Steps(2)}
        | {key: value() if callable(value) else value for key, value in how.items()}
    )
    network = network if make is None else make()
    with pytest.raises(UsageError, match=reason) as error:
        fit(network, **how, stacked=True)
    assert "\n" not in str(error.value)
    monkeypatch.setattr(FIT, "is_worth_trying", lambda *_: True)
    how |= {"generators": one_generator()} if "generators" in how else {}
    left = fit(network, **how, stacked=None)
    how |= {"generators": one_generator()} if "generators" in how else {}
    assert_same(left.checkpoint, fit(network, **how).checkpoint)


def test_sets_of_unequal_length_are_refused(network, data):
    sets = [data, TrainData(data.images[:8], data.labels[:8]), data]
    with pytest.raises(UsageError, match="differ in length"):
        fit(network, data=sets, **HOW, stacked=True)


def test_nobody_stacks_on_a_cpu_without_being_asked(network, data, assert_same):
    assert not is_worth_trying(None, torch.device("cpu"))
    assert is_worth_trying(None, torch.device("cuda"))
    default, left = fit(network, data=data, **HOW), fit(network, data=data, **HOW, stacked=None)
    assert_same(left.checkpoint, default.checkpoint)


def test_one_network_needs_no_stack(network, data, assert_same):
    how = HOW | {"start": [1], "data": data}
    assert_same(fit(network, **how, stacked=True).checkpoint, fit(network, **how).checkpoint)
