"""Flat networks: the public code's weights to the last digits, and what the formulas promise."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from limbeck import seeding
from limbeck.errors import UsageError
from limbeck.networks.functional import FunctionalNetwork
from limbeck.training import Epochs, Sharpness, Steps, TrainData, fit

GOLDEN = load_file(Path(__file__).parents[2] / "data" / "golden" / "sharpness.safetensors")
KINDS = {
    "sam": Sharpness(0.3),
    "asam": Sharpness(0.3, adaptive=True),
    "gsam": Sharpness(0.3, gap=0.4),
    "flat": Sharpness(0.3, gap=0.3, adaptive=True),
}


def part(name):
    return {key.removeprefix(f"{name}."): value for key, value in GOLDEN.items() if key.startswith(f"{name}.")}


def normal(*shape, owner="normal"):
    return torch.randn(shape, generator=seeding.generator(0, owner), dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_updates_equal_those_of_the_published_code(kind, assert_same):
    body = [
        nn.Conv2d(1, 3, 3, padding=1),
        nn.GroupNorm(3, 3),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(27, 3),
    ]
    network = FunctionalNetwork(nn.Sequential(*body), (1, 6, 6), dtype=torch.float64)
    images, labels = GOLDEN["images"].flatten(0, 1), GOLDEN["labels"].flatten()
    place = torch.randperm(len(images), generator=seeding.generator(0, "train")).argsort()
    result = fit(
        network,
        start=[part("start")],
        seeds=[0],
        data=TrainData(images[place], labels[place]),
        lr=0.1,
        momentum=0.5,
        batch_size=GOLDEN["labels"].shape[1],
        budget=Epochs(1),
        sharpness=KINDS[kind],
    )
    assert_same(result.states[0], part(kind), 1e-12)


def test_a_number_is_the_plain_kind(network, data, assert_same):
    how = {"start": [0], "data": data, "lr": 0.1, "budget": Steps(3), "batch_size": 4}
    assert_same(fit(network, sharpness=0.05, **how).states[0], fit(network, sharpness=Sharpness(0.05), **how).states[0])


def test_every_setting_changes_what_is_learned(network, data, differ):
    how = {"start": [0], "data": data, "lr": 0.1, "budget": Steps(2)}
    plain = fit(network, sharpness=0.1, **how).states[0]
    for other in (Sharpness(0.2), Sharpness(0.1, gap=0.5), Sharpness(0.1, adaptive=True)):
        assert differ(plain, fit(network, sharpness=other, **how).states[0])


def test_the_adaptive_way_uphill_does_not_depend_on_the_scale_of_layers():
    images, first, second = normal(6, 4), normal(4, 5, owner="first"), normal(5, 3, owner="second")

    def outputs_uphill(factor, adaptive):
        weights = [(factor * first).requires_grad_(), (second / factor).requires_grad_()]
        gradients = torch.autograd.grad(((images @ weights[0]).relu() @ weights[1]).square().sum(), weights)
        Sharpness(0.2, adaptive=adaptive).climb(weights, gradients)
        return ((images @ weights[0]).relu() @ weights[1]).detach()

    torch.testing.assert_close(outputs_uphill(10.0, True), outputs_uphill(1.0, True), rtol=1e-9, atol=1e-12)
    assert not torch.allclose(outputs_uphill(10.0, False), outputs_uphill(1.0, False), rtol=1e-2)


def test_uphill_is_as_far_as_asked():
    weights, gradients = [normal(3, 4), normal(5)], [normal(3, 4, owner="g"), normal(5, owner="h")]
    for adaptive in (False, True):
        moved = [weight.clone() for weight in weights]
        Sharpness(0.7, adaptive=adaptive).climb(moved, gradients)
        steps = [(new - old) / (old.abs() if adaptive else 1) for new, old in zip(moved, weights, strict=True)]
        assert float(torch.cat([step.flatten() for step in steps]).norm()) == pytest.approx(0.7, rel=1e-12)


def test_the_gap_takes_off_what_lies_across_the_gradient_uphill():
    above, below = [normal(3, 4), normal(5)], [normal(3, 4, owner="g"), normal(5, owner="h")]
    turned = [tensor.clone() for tensor in above]
    Sharpness(0.1, gap=0.3).turn(turned, below)
    flat = [torch.cat([tensor.flatten() for tensor in tensors]) for tensors in (above, below, turned)]
    unit = flat[0] / flat[0].norm()
    torch.testing.assert_close(flat[2], flat[0] - 0.3 * (flat[1] - (flat[1] @ unit) * unit), rtol=1e-12, atol=1e-12)
    assert float((flat[2] - flat[0]) @ unit) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_no_gradient_moves_nothing(kind):
    weights, nothing = [normal(3)], [torch.zeros(3, dtype=torch.float64)]
    KINDS[kind].climb(weights, nothing)
    assert torch.equal(weights[0], normal(3))
    turned = [torch.zeros(3, dtype=torch.float64)]
    KINDS[kind].turn(turned, nothing)
    assert torch.equal(turned[0], nothing[0])


@pytest.mark.parametrize("adaptive", [False, True])
def test_statistics_belong_to_the_weights_that_are_kept(batch_norm_network, data, assert_same, adaptive):
    run = {"start": [0], "data": data, "lr": 0.0, "budget": Steps(3)}
    plain = fit(batch_norm_network, **run).states[0]
    assert_same(plain, fit(batch_norm_network, sharpness=Sharpness(0.5, 0.3, adaptive), **run).states[0])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rho": 0.0}, "sharpness is 0.0: give a number above 0"),
        ({"rho": float("nan")}, "sharpness is nan: give a number above 0"),
        ({"rho": 0.1, "gap": -0.5}, "gap of sharpness is -0.5: give 0 or more"),
    ],
)
def test_settings_without_a_meaning_are_refused(given, said):
    with pytest.raises(UsageError, match=said):
        Sharpness(**given)
