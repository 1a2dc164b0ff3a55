"""SNIP and gradient norm, and the batch they look at."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from limbeck_applications.nas.proxies.untrained import batch_of, fresh


@pytest.fixture
def value(proxy, given, tmp_path):
    def find(name, candidate, **options):
        scoring = proxy(name, **options)
        return scoring.score([candidate], given(scoring, tmp_path))[0].value

    return find


def test_both_on_a_linear_classifier_by_hand(own, value, proxy, given, tmp_path):
    net = own(nn.Flatten(), nn.Linear(64, 3))
    images, labels = batch_of(given(proxy("snip"), tmp_path))
    weight, bias = (fresh(net)[f"1.{name}"] for name in ("weight", "bias"))
    wrong = torch.softmax(images.flatten(1) @ weight.T + bias, 1) - F.one_hot(labels, 3)
    gradient = wrong.T @ images.flatten(1) / len(images)
    assert value("snip", net) == pytest.approx(float((weight * gradient).abs().sum()), rel=1e-12)
    assert value("grad_norm", net) == pytest.approx(float(gradient.norm()), rel=1e-12)


def test_snip_is_how_the_loss_moves_with_a_factor_on_a_weight(own, value, proxy, given, tmp_path):
    net = own(nn.Flatten(), nn.Linear(64, 2), nn.Tanh(), nn.Linear(2, 3))
    images, labels = batch_of(given(proxy("snip"), tmp_path))
    state, total = fresh(net), 0.0

    def loss(name, place, factor):
        moved = {key: tensor.clone() for key, tensor in state.items()}
        moved[name].view(-1)[place] *= factor
        return float(F.cross_entropy(net.network(moved, images), labels))

    for name in ("1.weight", "3.weight"):
        for place in range(state[name].numel()):
            total += abs(loss(name, place, 1 + 1e-5) - loss(name, place, 1 - 1e-5)) / 2e-5
    assert value("snip", net) == pytest.approx(total, rel=1e-6)


def test_batch_norm_uses_the_batch_and_lengths_are_added_layer_by_layer(own, value, proxy, given, tmp_path):
    layers = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
    net = own(*layers)
    images, labels = batch_of(given(proxy("grad_norm"), tmp_path))
    plain = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).double()
    plain.load_state_dict(fresh(net))
    F.cross_entropy(plain.train()(images), labels).backward()
    weights = plain[0].weight, plain[4].weight
    assert value("grad_norm", net) == pytest.approx(sum(float(each.grad.norm()) for each in weights), rel=1e-12)
    assert value("snip", net) == pytest.approx(
        sum(float((w.detach() * w.grad).abs().sum()) for w in weights), rel=1e-12
    )


def test_a_layer_that_is_not_used_adds_nothing(own, value):
    class Apart(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Linear(64, 3), nn.Linear(64, 3)

        def forward(self, images):
            return self.used(images.flatten(1))

    assert value("grad_norm", own(Apart())) > 0


@pytest.mark.parametrize("name", ["snip", "grad_norm", "jacov", "nwot"])
def test_the_same_seed_gives_the_same_number_and_another_does_not(name, candidate, value):
    architecture = "d2-w16-batch-relu-avg"
    first, again, other = (value(name, candidate(architecture, seed=seed)) for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("name", ["snip", "grad_norm", "jacov", "nwot"])
def test_scoring_leaves_structure_and_images_as_they_were(name, candidate, proxy, given, tmp_path):
    scoring, one = proxy(name), candidate("d2-w16-batch-relu-avg")
    material = given(scoring, tmp_path)
    before = {key: tensor.clone() for key, tensor in material.prepared.tensors.items()}
    first, second = (scoring.score([one], material)[0].value for _ in range(2))
    assert first == second
    assert all(torch.equal(tensor, before[key]) for key, tensor in material.prepared.tensors.items())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in one.network.module.modules())


def test_the_batch_is_of_training_images_drawn_by_the_problems_seed(proxy, problem, tmp_path):
    snip = proxy("snip", images=8)
    first, again, other = (snip.prepare(each, tmp_path).tensors for each in (problem, problem, problem.with_seed(1)))
    assert torch.equal(first["images"], again["images"]) and not torch.equal(first["images"], other["images"])
    known = {
        bytes(image.numpy()): int(label)
        for image, label in zip(problem.train.images, problem.train.labels, strict=True)
    }
    drawn = [bytes(image.numpy()) for image in first["images"]]
    assert [known[each] for each in drawn] == first["labels"].tolist() and len(drawn) == 8


def test_a_smaller_training_set_is_taken_whole(proxy, problem, tmp_path):
    made = proxy("nwot").prepare(replace(problem, train=problem.validation), tmp_path)
    assert made.images == len(made.tensors["images"]) == 30
    assert made.bytes == 30 * 64 + 30
