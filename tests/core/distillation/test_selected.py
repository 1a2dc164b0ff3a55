"""Runs that select, or start from a selection: what they keep, where, and who is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from limbeck.configure import configure
from limbeck.data import load_dataset
from limbeck.runs import Listener, run

DATA = {"name": "digits", "max_per_class": 20, "batch_real": 4}
NETWORK = "convnet-d1-w4-in"
LOOK = {"network": NETWORK, "epochs": 2}


def selecting(method, **settings):
    fixed = {"network": NETWORK, "data": DATA, "ipc": 2, "execution": {"device": "cpu"}}
    return configure(method, None, "small", {**fixed, **settings})


@pytest.fixture
def told():
    return []


@pytest.fixture
def listener(told):
    return Listener(learning=lambda *news: told.append(news))


@pytest.mark.parametrize("method", ["herding", "k_center", "k_means", "forgetting"])
def test_a_selected_set_says_what_its_features_come_from(method, listener, told):
    chosen = run(selecting(method, selector=LOOK), listener=listener).synthetic
    assert chosen.provenance["features"] == f"{NETWORK}, 2 epochs"
    assert told == [(1, 2), (2, 2)]
    real = load_dataset("digits", max_per_class=20).train
    pool = real.take(torch.arange(len(real)))
    assert all((pool == image).flatten(1).all(1).any() for image in chosen.images)


def test_random_images_were_compared_by_nothing(listener, told):
    assert run(selecting("random"), listener=listener).synthetic.provenance["features"] == ""
    assert told == []


def test_the_cache_of_a_run_is_its_selectors(tmp_path, listener, told):
    first = run(selecting("herding", selector=LOOK), cache=tmp_path).synthetic
    again = run(selecting("herding", selector=LOOK), cache=tmp_path, listener=listener).synthetic
    assert told == []
    assert again.images.equal(first.images)
    assert len(list((tmp_path / "features").iterdir())) == 1


def test_training_found_in_the_cache_counts_in_the_seconds(tmp_path, monkeypatch):
    from limbeck import features

    real_read = features._read
    made = run(selecting("herding", selector=LOOK), cache=tmp_path).synthetic.provenance
    assert 0 < made["features_seconds"] <= made["seconds"]

    def slow(*arguments):
        found = real_read(*arguments)
        return replace(found, seconds=1000.0) if found else None

    monkeypatch.setattr(features, "_read", slow)
    found = run(selecting("herding", selector=LOOK), cache=tmp_path).synthetic
    assert found.provenance["features_seconds"] == 1000
    assert 1000 < found.provenance["seconds"] < 1100


def test_a_run_that_starts_from_a_selection_uses_the_same_cache(tmp_path, listener, told):
    chosen = run(selecting("herding", selector=LOOK), cache=tmp_path).synthetic
    init = {"from": "selector", "selector": {"name": "herding", **LOOK}}
    budget = {"iterations": None, "steps": 1}
    started = configure(
        "dm",
        None,
        "small",
        {
            **{"network": NETWORK, "data": DATA, "ipc": 2, "execution": {"device": "cpu"}},
            **{"init": init, "budget": budget, "optimiser": {"lr_img": 1e-12}},
        },
    )
    distilled = run(started, cache=tmp_path, listener=listener).synthetic
    assert told == []
    torch.testing.assert_close(distilled.images, chosen.images)


def test_a_selected_set_carries_its_teacher():
    labels = {"name": "teacher", "network": NETWORK, "epochs": 1}
    chosen = run(selecting("random", labels=labels)).synthetic
    weights = chosen.component_state["label_projectors.teacher.classifier.weight"]
    assert weights.shape[0] == 10
    plain = run(selecting("random")).synthetic
    assert plain.component_state == {}
    assert chosen.bytes > plain.bytes
