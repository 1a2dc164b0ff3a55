"""Proxies on a few images: made by any method, kept in a folder, trained on as they were meant."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch

import limbeck.continued
from limbeck.distillation.run import Interrupted
from limbeck.errors import UsageError
from limbeck.runs import Listener
from limbeck.synthetic import SyntheticSet
from limbeck_applications.nas.proxies.distilled import SPENT

CPU = torch.device("cpu")
DM = {"method": "dm", "ipc": 2, "steps": 3}
NAME = "d1-w16-instance-relu-avg"


@pytest.fixture
def lesson(proxy, problem, tmp_path):
    def make(name="random", **options):
        made = proxy(name, **options)
        return made.lesson(made.prepare(problem, tmp_path), CPU)

    return make


def test_a_distilled_set_is_the_methods_own(proxy, problem, tmp_path):
    made = proxy("distilled", **DM).prepare(problem, tmp_path)
    stored = SyntheticSet.load(made.folder)
    assert stored.provenance["method"] == "dm" and stored.provenance["steps"] == 3
    assert stored.provenance["settings"]["network"] == problem.network
    assert torch.equal(made.tensors["images"], stored.normalised())
    assert torch.equal(made.tensors["labels"], torch.arange(3).repeat_interleave(2))
    assert made.images == 6 and made.bytes == stored.bytes == 6 * (64 * 4 + 1)
    assert made.seconds >= stored.provenance["seconds"] > 0


@pytest.mark.parametrize("name", ["distilled", "random"])
def test_setting_up_counts(proxy, problem, tmp_path, monkeypatch, name):
    ordinary = limbeck.continued.run

    def slow(*args, **how):
        time.sleep(0.7)
        return ordinary(*args, **how)

    monkeypatch.setattr(limbeck.continued, "run", slow)
    options = DM if name == "distilled" else {"ipc": 1}
    assert proxy(name, **options).prepare(problem, tmp_path).seconds >= 0.7
    assert proxy(name, **options).prepare(problem, tmp_path).seconds >= 0.7


def test_it_is_made_once(proxy, problem, tmp_path, monkeypatch):
    first = proxy("distilled", **DM).prepare(problem, tmp_path)
    monkeypatch.setattr(limbeck.continued, "run", lambda *args, **how: pytest.fail("made again"))
    again = proxy("distilled", **DM, epochs=7, lr=0.1, networks=2).prepare(problem, tmp_path)
    assert torch.equal(first.tensors["images"], again.tensors["images"])
    assert again.seconds == pytest.approx(first.seconds, abs=0.5)


def test_another_seed_network_or_set_of_images_is_made_anew(proxy, problem, tmp_path):
    asked = [(problem, {}), (problem.with_seed(1), {}), (problem, {"network": "convnet-d1-w8-in"})]
    made = [proxy("distilled", **DM, **options).prepare(each, tmp_path) for each, options in asked]
    assert len({each.folder for each in made}) == 3
    assert not torch.equal(made[0].tensors["images"], made[1].tensors["images"])


def test_options_of_training_do_not_change_where_it_is_kept(proxy):
    same = [proxy("distilled", **DM, **each).prepared_by() for each in ({}, {"epochs": 3}, {"augmentation": "dsa"})]
    assert same[0] == same[1] == same[2] != proxy("distilled", **{**DM, "steps": 4}).prepared_by()


def test_a_killed_distillation_goes_on(proxy, problem, tmp_path, monkeypatch):
    options = {**DM, "steps": 6, "settings": {"execution": {"flush_every": 1, "checkpoint_seconds": 0}}}
    whole = proxy("distilled", **options).prepare(problem, tmp_path / "whole")
    steps, ordinary = [], limbeck.continued.run

    def stop(news):
        if news.step == 3 and "killed" not in steps:
            steps.append("killed")
            raise KeyboardInterrupt
        steps.append(news.step)

    def watched(*args, listener, **how):
        return ordinary(*args, listener=Listener(warned=lambda text: None, progress=stop), **how)

    monkeypatch.setattr(limbeck.continued, "run", watched)
    with pytest.raises(Interrupted):
        proxy("distilled", **options).prepare(problem, tmp_path / "cut")
    cut = proxy("distilled", **options).prepare(problem, tmp_path / "cut")
    assert steps == [1, 2, "killed", 3, 4, 5, 6]
    assert torch.equal(whole.tensors["images"], cut.tensors["images"])


def test_a_damaged_note_or_set_is_made_good(proxy, problem, tmp_path):
    first = proxy("distilled", **DM).prepare(problem, tmp_path)
    for name in (SPENT, "synthetic.safetensors"):
        (first.folder / name).write_bytes(b"{")
        again = proxy("distilled", **DM).prepare(problem, tmp_path)
        assert torch.equal(first.tensors["images"], again.tensors["images"])


def test_random_and_herding_pick_real_training_images(proxy, problem, tmp_path):
    known = {bytes(image.numpy()) for image in problem.train.images}
    for name in ("random", "herding"):
        made = proxy(name, ipc=3).prepare(problem, tmp_path / name)
        pixels = (problem.spec.denormalise(made.tensors["images"]) * 255).round().to(torch.uint8)
        assert {bytes(image.numpy()) for image in pixels} <= known
        assert made.tensors["labels"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_the_network_that_herding_trains_counts_also_where_it_was_found(proxy, problem, tmp_path):
    cached = replace(problem, cache=tmp_path / "cache")
    first = proxy("herding", ipc=1).prepare(cached, tmp_path / "first")
    second = proxy("herding", ipc=2).prepare(cached, tmp_path / "second")
    trained = SyntheticSet.load(second.folder).provenance["features_seconds"]
    assert 0 < trained <= second.seconds and trained <= first.seconds


def test_herding_compares_by_the_network_asked_for(proxy, problem, tmp_path):
    for options, network in (({}, problem.network), ({"network": "convnet-d1-w8-in"}, "convnet-d1-w8-in")):
        config = proxy("herding", **options).config(problem)
        assert config.selector.options()["network"] == config.network == network


def test_the_sets_augmentation_another_or_none(lesson):
    assert lesson(ipc=1).training.augmentation.name == "dsa"
    assert lesson(ipc=1, augmentation="dc").training.augmentation.name == "dc"
    assert lesson(ipc=1, augmentation=None).training.augmentation is None


def test_images_are_formed_as_the_set_says(lesson):
    tiles = lesson(ipc=2, settings={"formation": {"name": "tiles"}})
    assert len(tiles.data) == 3 * 2 * 4
    assert tiles.data.labels.tolist() == [k for k in range(3) for _ in range(8)]


def test_labels_of_a_teacher_are_asked_for_and_their_making_counts(lesson, proxy, problem, candidate, given, tmp_path):
    teacher = {"name": "teacher", "epochs": 1, "network": "convnet-d1-w4-in"}
    options = {"ipc": 1, "epochs": 2, "settings": {"labels": teacher}}
    found = lesson(**options)
    index = torch.arange(3)
    soft = found.labels.labels(found.data.take(index), index, 0, None)
    assert soft.shape == (3, 3) and torch.allclose(soft.sum(1), torch.ones(3))
    taught = proxy("random", **options)
    material = given(taught, tmp_path)
    assert any(name.startswith("projector.") for name in material.prepared.tensors)
    assert material.prepared.bytes > 3 * 65
    assert material.prepared.seconds > SyntheticSet.load(material.prepared.folder).provenance["seconds"]
    assert 0 <= taught.score([candidate(NAME)], material)[0].value <= 1


def test_whitened_images_are_ranked_on_whitened_ones(proxy, given, candidate, tmp_path):
    white = proxy("random", ipc=4, epochs=10, augmentation=None, settings={"data": {"preprocessing": "zca"}})
    material = given(white, tmp_path)
    assert white.lesson(material.prepared, CPU).spec.preprocessing == "zca"
    assert material.validation.spec.preprocessing == "standard"
    assert white.score([candidate(NAME)], material)[0].value > 0.4


def test_steps_for_a_method_that_picks_are_one_line(proxy, problem, tmp_path):
    with pytest.raises(UsageError, match="'random' picks real images in one go: leave steps out"):
        proxy("distilled", method="random", steps=5).prepare(problem, tmp_path)


def test_more_images_than_a_class_has_are_refused(proxy, problem, tmp_path):
    with pytest.raises(UsageError, match="16 training images, but ipc is 17"):
        proxy("random", ipc=17).prepare(problem, tmp_path)


def test_an_unknown_method_is_named(proxy, problem, tmp_path):
    with pytest.raises(UsageError, match="unknown method 'dmm'"):
        proxy("distilled", method="dmm").prepare(problem, tmp_path)
