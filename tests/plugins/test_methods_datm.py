"""DATM: the released settings, and runs that start where its experts are right."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

import limbeck
from limbeck.configure import configure
from limbeck.data import load_dataset
from limbeck.distillation.result import recipe_of
from limbeck.distillation.setup import prepare_labels, set_up
from limbeck.errors import UsageError
from limbeck.plugins import registry
from limbeck.runs import run
from limbeck.synthetic import SyntheticSet

pytestmark = pytest.mark.usefixtures("one_thread", "no_report")

ALWAYS = {"sharpness": 0.01, "sharpness_gap": 0.3, "sharpness_adaptive": True, "epochs": 100, "experts": 100}
# Images of an update (None: all of them), updates, epochs to the aim, first and last bounds of the start and steps
# between them, rates of images, labels and the students' rate, threshold, decay of the average, start of the images.
RELEASED = {
    ("cifar10", 1): (None, 80, 2, 0, None, 4, None, 100, 5, 1e-7, 1.1, 0.995, "classified"),
    ("cifar10", 10): (None, 80, 2, 0, 10, 20, 1000, 100, 2, 1e-5, 1.0, 0.9995, "classified"),
    ("cifar10", 50): (None, 80, 2, 0, 20, 40, 2000, 1000, 2, 1e-5, 1.0, 0.995, "classified"),
    ("cifar10", 500): (1000, 40, 2, 40, None, 60, None, 50, 10, 1e-5, 1.0, 0.995, "classified"),
    ("cifar10", 1000): (1000, 100, 2, 40, None, 60, None, 50, 10, 1e-5, 1.0, 0.995, "classified"),
    ("cifar100", 1): (None, 40, 3, 0, 10, 20, 1000, 1000, 10, 1e-5, 1.0, 0.9995, "classified"),
    ("cifar100", 10): (None, 80, 2, 0, 30, 50, 2000, 1000, 10, 1e-5, 1.0, 0.9995, "classified"),
    ("cifar100", 50): (1000, 80, 2, 20, None, 70, None, 1000, 10, 1e-5, 1.0, 0.9995, "real"),
    ("cifar100", 100): (1000, 80, 2, 30, None, 70, None, 50, 10, 1e-5, 1.0, 0.9995, "classified"),
    ("tiny_imagenet", 1): (None, 40, 2, 0, 15, 20, 2000, 1e4, 10, 1e-4, 1.0, 0.9995, "classified"),
    ("tiny_imagenet", 10): (500, 40, 2, 10, None, 50, None, 100, 10, 1e-4, 1.0, 0.9995, "classified"),
    ("tiny_imagenet", 50): (1000, 20, 2, 40, None, 70, None, 100, 10, 1e-4, 1.0, 0.995, "classified"),
}


def resolved(data, ipc, profile="published"):
    return configure("datm", profile=profile, settings={"data": data, "ipc": ipc})


@pytest.mark.parametrize("place", RELEASED)
def test_settings_are_those_of_the_released_configurations(place):
    config = resolved(*place)
    follows, moved = registry().create("matchers", config.matcher.model_dump()).options, config.optimiser
    expansion = follows.expansion_steps if follows.first_max_start else None
    found = (
        *(follows.batch_syn, follows.steps, follows.expert_epochs, follows.min_start, follows.first_max_start),
        *(follows.max_start, expansion, moved.lr_img, moved.lr_label, moved.lr_lr),
        *(follows.threshold, moved.ema, config.init.origin),
    )
    assert found == RELEASED[place]
    assert (follows.gradient, moved.momentum, moved.momentum_label, moved.syn_lr) == ("exact", 0.5, 0.9, 0.01)
    assert (config.data.preprocessing, config.budget.iterations) == ("zca", 10_000)
    assert config.labels.model_dump() == {"name": "learned", "start": "teachers"}
    assert {name: config.source.options()[name] for name in ALWAYS} == ALWAYS
    assert config.network == ("convnet-d4-w128-in" if place[0] == "tiny_imagenet" else "convnet-d3-w128-in")
    assert recipe_of(config).batch_size == 128
    assert config.reference is not None and not config.deviations


@pytest.mark.parametrize("data", ["digits", "fashion_mnist", "cifar10", "cifar100", "tiny_imagenet"])
@pytest.mark.parametrize("profile", ["published", "small"])
def test_students_can_look_as_far_as_they_are_sent_everywhere(data, profile):
    classes = {"cifar100": 100, "tiny_imagenet": 200}.get(data, 10)
    for ipc in (1, 2, 3, 10, 11, 50, 100, 500):
        config = resolved(data, ipc, profile)
        follows = registry().create("matchers", config.matcher.model_dump()).options
        assert follows.max_start - 1 + follows.expert_epochs <= config.source.options()["epochs"]
        assert follows.batch_syn is None or follows.batch_syn <= classes * ipc


def settings(**changes):
    return {
        "network": "convnet-d1-w4-in",
        "ipc": 2,
        "data": {"name": "digits", "max_per_class": 20},
        "source": {"experts": 2, "epochs": 4, "batch_size": 16, "lr": 0.1, "train": True},
        "matcher": {"steps": 2, "max_start": 3, "first_max_start": 1, "expansion_steps": 2, "threshold": None},
        "budget": {"iterations": None, "steps": 4},
        "execution": {"device": "cpu"},
        "evaluation": {"networks": 1, "baselines": False, "protocol": {"epochs": 2}},
        **changes,
    }


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Where experts are kept, so that they are trained once for this file."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def distilled(cache):
    def distil(folder, **changes):
        run(configure("datm", profile="small", settings=settings(**changes)), folder=folder, cache=cache)
        return SyntheticSet.load(folder), load_file(folder / "initial.safetensors")["images"]

    return distil


def test_a_set_has_learned_labels_its_students_rate_and_its_average(distilled, tmp_path):
    made, start = distilled(tmp_path)
    assert made.label_kind == "probabilities" and made.recipe["labels"] == {"name": "hard"}
    assert made.recipe["learned_lr"] == made.recipe["lr"] != 0.02
    bare, _ = distilled(tmp_path / "bare", optimiser={"ema": None}, evaluation={"networks": 0})
    assert 0 < (made.images - start).abs().amax() < 0.5 * (bare.images - start).abs().amax()
    torch.testing.assert_close(bare.labels, made.labels)


def test_images_and_labels_start_from_what_the_experts_get_right(cache):
    config = configure("datm", profile="small", settings=settings())
    data = load_dataset("digits", max_per_class=20)
    parts = set_up(config, data, cache=cache)
    prepare_labels(parts)
    images, group = parts.parameters.images.detach(), parts.parameters.group
    logits = torch.stack([parts.network(state, images, train=False) for state in parts.source.teachers()])
    right = (logits.argmax(2) == group)[:, :, None]
    assert len(logits) == 2 and right.any(0).all() and not right.all()
    labels = parts.projector.parameters()["logits"].detach()
    torch.testing.assert_close(labels, (logits * right).sum(0) / right.sum(0), rtol=1e-5, atol=1e-5)
    seen = data.train.take(torch.arange(len(data.train)))
    for image, label in zip(images, group, strict=True):
        assert (seen[data.train.labels == label] == image).flatten(1).all(1).any()


def test_a_loss_above_the_threshold_moves_nothing(distilled, tmp_path):
    matcher = {**settings()["matcher"], "threshold": 1e-6}
    made, start = distilled(tmp_path, matcher=matcher, evaluation={"networks": 0})
    torch.testing.assert_close(made.images, start, rtol=0, atol=0)
    assert made.recipe["learned_lr"] == pytest.approx(0.01, rel=1e-6)


def test_another_source_is_refused_in_a_line(tmp_path):
    with pytest.raises(UsageError, match="follows experts, and source 'fresh' has none") as error:
        limbeck.distill(method="datm", profile="small", data="digits", source="fresh", run_dir=tmp_path / "run")
    assert "\n" not in str(error.value)
