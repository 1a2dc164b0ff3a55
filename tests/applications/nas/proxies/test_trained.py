"""Proxies that train: one call of the trainer, the candidate's seed, given weights."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st
from torch import nn

from limbeck.errors import UsageError
from limbeck.evaluation.recipe import Recipe
from limbeck.seeding import derive_seed
from limbeck.training import Cosine, Epochs, accuracy, fit
from limbeck_applications.nas.proxies.trained import kept, without_single
from limbeck_applications.nas.proxy import Material

NAME = "d1-w16-batch-relu-avg"
FEW = {"ipc": 2, "epochs": 4, "augmentation": None, "batch_size": 4, "lr": 0.05}


@pytest.fixture(scope="module")
def material(given, proxy, tmp_path_factory):
    """Six real images to train on, and those kept aside."""
    return given(proxy("random", **FEW), tmp_path_factory.mktemp("random"))


def test_a_score_is_the_accuracy_that_the_trainer_comes_to(candidate, proxy, material, problem):
    one = candidate(NAME, seed=3)
    score = proxy("random", **FEW).score([one], material)[0]
    result = fit(
        one.network,
        start=[3],
        data=proxy("random", **FEW).lesson(material.prepared, material.device).data,
        lr=0.05,
        momentum=0.9,
        weight_decay=5e-4,
        batch_size=4,
        schedule=Cosine(),
        budget=Epochs(4),
    )
    found = accuracy(one.network, result.states[0], problem.validation)
    assert score.value == found.overall and score.figures == {"loss": pytest.approx(found.loss, rel=1e-5)}
    assert all(torch.allclose(score.state[name], value, atol=1e-6) for name, value in result.states[0].items())


def test_candidates_and_seeds_do_not_know_of_each_other(candidate, proxy, material):
    several = proxy("random", **FEW, networks=2)
    both = several.score([candidate(NAME, seed=0), candidate(NAME, seed=5)], material)
    for seed, score in zip((0, 5), both, strict=True):
        own = [
            proxy("random", **FEW).score([candidate(NAME, seed=each)], material)[0]
            for each in (seed, derive_seed(seed, "network", 1))
        ]
        values = [each.value for each in own]
        assert score.value == pytest.approx(sum(values) / 2)
        assert score.figures["std"] == pytest.approx(abs(values[0] - values[1]) / 2)
        assert all(torch.allclose(score.state[name], value, atol=1e-6) for name, value in own[0].state.items())


def test_given_weights_take_the_place_of_fresh_ones(candidate, proxy, material):
    trained = proxy("random", **FEW).score([candidate(NAME)], material)[0]
    still = proxy("random", **{**FEW, "lr": 1e-12, "epochs": 1})
    on = still.score([candidate(NAME, start=trained.state), candidate(NAME)], material)
    weights = [name for name in trained.state if name.endswith("weight")]
    assert all(torch.allclose(on[0].state[name], trained.state[name], atol=1e-7) for name in weights)
    assert not all(torch.allclose(on[1].state[name], trained.state[name], atol=1e-3) for name in weights)


def test_weights_given_are_not_changed(candidate, proxy, material):
    start = proxy("random", **FEW).score([candidate(NAME)], material)[0].state
    before = {name: value.clone() for name, value in start.items()}
    proxy("random", **FEW).score([candidate(NAME, start=start)], material)
    assert all(torch.equal(value, start[name]) for name, value in before.items())


def test_what_is_prepared_travels_as_json(candidate, proxy, material):
    written = json.loads(json.dumps(material.prepared.values))
    travelled = replace(material, prepared=replace(material.prepared, values=written))
    values = [proxy("random", **FEW).score([candidate(NAME)], each)[0].value for each in (material, travelled)]
    assert values[0] == values[1]


def test_it_learns(candidate, proxy, given, tmp_path):
    long = proxy("random", ipc=10, epochs=20, augmentation=None, lr=0.05, batch_size=10)
    assert long.score([candidate(NAME)], given(long, tmp_path))[0].value > 0.8


@drawn(st.integers(2, 300), st.integers(1, 80))
def test_no_batch_holds_a_single_image(images, asked):
    size = without_single(images, asked)
    assert size >= asked
    if asked > 1:
        assert images % size != 1 or images == 1
        assert all(images % smaller == 1 for smaller in range(asked, size))


def test_batch_norm_of_a_single_pixel_trains_on_any_number_of_images(own, proxy, problem, candidate):
    net = own(nn.Conv2d(1, 4, 8), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4, 3))
    real = problem.train
    recipe = Recipe.from_dict({"network": "convnet", "epochs": 0})
    prepared = kept(real.images[:9], real.labels[:9], real.labels[:9], real.spec, recipe)
    score = proxy("random", **FEW).score([net], Material(problem.spec, prepared, problem.validation, problem.device))
    assert 0 <= score[0].value <= 1


def test_logits_are_learned_from_as_their_probabilities(candidate, proxy, problem):
    images, chance = problem.train.take(torch.arange(9)), torch.Generator().manual_seed(0)
    logits = torch.randn(9, 3, generator=chance)
    recipe, group = Recipe.from_dict({"network": "convnet", "epochs": 0}), torch.arange(9) % 3
    values = []
    for labels, kind in ((logits, "logits"), (torch.softmax(logits, 1), "probabilities")):
        prepared = kept(images, labels, group, problem.spec, recipe, label_kind=kind)
        material = Material(problem.spec, prepared, problem.validation, problem.device)
        values.append(proxy("random", **FEW).score([candidate(NAME)], material)[0])
    assert all(torch.allclose(values[0].state[name], value, atol=1e-6) for name, value in values[1].state.items())


def test_nothing_to_rank_on_is_one_line(candidate, proxy, material):
    with pytest.raises(UsageError, match="ranks on images kept aside"):
        proxy("random", **FEW).score([candidate(NAME)], replace(material, validation=None))
