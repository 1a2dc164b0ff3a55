"""Limbeck in Python: on names, tensors and data sets of one's own, without a trace left behind."""

from __future__ import annotations

import random
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import limbeck
from limbeck.errors import UnknownNameError, UsageError
from limbeck.synthetic import SyntheticSet

TINY = {
    "method": "dm",
    "profile": "small",
    "network": "convnet-d1-w4",
    "device": "cpu",
    "max_per_class": 20,
    "batch_real": 4,
    "budget": {"steps": 2},
    "evaluation": {"networks": 1, "baselines": False, "protocol": {"epochs": 1}},
}


@pytest.fixture(scope="module")
def pair():
    """Images [24, 3, 8, 8] in [0, 1] of three classes that differ in brightness, and their labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(24) % 3
    noise = torch.rand(24, 3, 8, 8, generator=generator)
    return (0.2 * noise + 0.3 * labels[:, None, None, None]).clamp(0, 1), labels


@pytest.fixture(scope="module")
def digits():
    return limbeck.distill("digits", **TINY)


def in_new_process(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# The package


def test_importing_is_cheap_and_attributes_are_lazy():
    code = """
import sys
import limbeck
assert "torch" not in sys.modules and "rich" not in sys.modules
assert limbeck.hookimpl and limbeck.Options and limbeck.__version__
assert "torch" not in sys.modules
assert limbeck.distill.__module__ == limbeck.evaluate.__module__ == "limbeck.api"
assert limbeck.SyntheticSet.__name__ == "SyntheticSet" and callable(limbeck.load_dataset)
assert "torch" in sys.modules
from limbeck import distillation
assert callable(limbeck.distill)
print("fine")
"""
    assert in_new_process(code) == "fine"


def test_what_the_package_offers():
    assert set(limbeck.__all__) <= set(dir(limbeck))
    for name in limbeck.__all__:
        assert getattr(limbeck, name) is not None
    with pytest.raises(AttributeError, match="module 'limbeck' has no attribute 'distil'"):
        limbeck.distil  # noqa: B018


# Distilling


@pytest.mark.parametrize("ipc", [1, 2, 3, 7])
@pytest.mark.parametrize("method", ["dm", "dc", "dsa", "random"])
def test_any_number_of_images_a_class(method, ipc):
    walk = {"source": {"outer": 2, "inner": 1}} if method in ("dc", "dsa") else {}
    found = limbeck.distill("digits", **{**TINY, "method": method, "ipc": ipc, **walk})
    assert found.images.shape == (10 * ipc, 1, 8, 8)
    assert torch.isfinite(found.images).all()
    assert found.counts == [ipc] * 10
    assert torch.equal(found.labels, torch.arange(10).repeat_interleave(ipc))
    assert torch.equal(found.labels, found.group)


def test_distilling_moves_the_images(digits):
    longer = limbeck.distill("digits", **{**TINY, "budget": {"steps": 3}})
    start = limbeck.distill("digits", **{**TINY, "optimiser": {"lr_img": 1e-12}})
    assert not torch.equal(digits.images, longer.images)
    assert (digits.images - start.images).abs().max() > 1e-3


@pytest.mark.parametrize("form", ["pair", "dataset", "parts", "arrays", "DataSet"])
def test_images_of_ones_own_in_any_form_give_the_same(form, pair):
    images, labels = ((pair[0] * 255).round() / 255, pair[1])
    known = limbeck.load_dataset((images, labels), seed=3)
    train, test = ((part.images.float() / 255, part.labels) for part in (known.train, known.test))
    data = {
        "pair": (images, labels),
        "dataset": TensorDataset(images, labels),
        "parts": (train, test),
        "arrays": (images.numpy(), labels.numpy()),
        "DataSet": known,
    }[form]
    found = limbeck.distill(data, **{**TINY, "seed": 3})
    expected = limbeck.distill((images, labels), **{**TINY, "seed": 3})
    assert torch.equal(found.images, expected.images)
    assert (found.spec.name, found.spec.shape, found.spec.num_classes) == ("custom", (3, 8, 8), 3)
    assert found.provenance["settings"]["data"]["name"] == "custom"


def test_a_data_set_that_was_loaded_keeps_its_name(digits):
    found = limbeck.distill(limbeck.load_dataset("digits"), **TINY)
    assert found.spec.name == found.provenance["settings"]["data"]["name"] == "digits"
    assert torch.equal(found.images, digits.images)


def test_a_matcher_alone_is_its_method(digits):
    found = limbeck.distill("digits", **{**TINY, "method": None, "matcher": "distribution"})
    assert torch.equal(found.images, digits.images)
    assert found.provenance["method"] == "dm"


def test_the_seed_decides(digits):
    assert torch.equal(limbeck.distill("digits", **TINY).images, digits.images)
    assert not torch.equal(limbeck.distill("digits", **{**TINY, "seed": 1}).images, digits.images)


def test_options_reach_the_configuration():
    options = {"storage": "uint8", "matcher": "gradient", "optimiser": {"momentum": 0.25}, "augmentation": None}
    settings = limbeck.distill("digits", **{**TINY, **options}).provenance["settings"]
    assert (settings["storage"], settings["matcher"]["name"]) == ("uint8", "gradient")
    assert settings["optimiser"]["momentum"] == 0.25
    assert (settings["data"]["max_per_class"], settings["data"]["batch_real"]) == (20, 4)
    assert "augmentation" not in settings


@pytest.mark.parametrize(
    "options, message",
    [
        ({"method": "dmm"}, "Did you mean 'dm'?"),
        ({"data": "digts"}, "Did you mean 'digits'?"),
        ({"network": "convnett"}, "Did you mean 'convnet'?"),
        ({"optimizer": {}}, "unknown option 'optimizer'. Did you mean 'optimiser'?"),
        ({"ipc": 0}, "'ipc' is 0: must be 1 or more"),
        ({"ipc": 21}, "--ipc 21 asks for more images than class 0"),
        ({"seed": -1}, "'seed' is -1"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"profile": "big"}, "no profile 'big'"),
    ],
)
def test_a_wrong_request_is_one_line(options, message):
    with pytest.raises(UsageError) as caught:
        limbeck.distill(**{"data": "digits", **TINY, **options})
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_nothing_to_start_from():
    with pytest.raises(UsageError, match="no method and no matcher: type for example --method dm"):
        limbeck.distill("digits")


# Traces


def global_state():
    return (
        torch.get_rng_state().tolist(),
        repr(np.random.get_state()),  # noqa: NPY002
        random.getstate(),
        list(warnings.filters),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
    )


def test_nothing_is_written_printed_or_changed(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "cache"))
    before = global_state()
    found = limbeck.distill("digits", **TINY)
    limbeck.evaluate(found, networks=1, protocol={"name": "dc", "epochs": 1}, device="cpu")
    assert global_state() == before
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_run_folder_holds_the_set_that_is_returned(tmp_path, digits, no_report):
    found = limbeck.distill("digits", run_dir=tmp_path / "run", **TINY)
    stored = SyntheticSet.load(tmp_path / "run")
    assert torch.equal(found.images, digits.images)
    assert torch.equal(stored.images, digits.images)
    assert stored.recipe == found.recipe == digits.recipe
    assert 0 <= stored.figures["synthetic"]["mean"] <= 1
    with pytest.raises(UsageError, match="already holds a run"):
        limbeck.distill("digits", run_dir=str(tmp_path / "run"), **TINY)


# Evaluating


def test_evaluating_a_set_or_its_folder_gives_the_same(digits, tmp_path):
    quick = {"networks": 2, "protocol": {"name": "dc", "epochs": 1}, "device": "cpu"}
    row = limbeck.evaluate(digits, **quick)
    digits.save(tmp_path / "set")
    assert limbeck.evaluate(tmp_path / "set", **quick).accuracies == row.accuracies
    assert limbeck.evaluate(str(tmp_path / "set"), data="digits", **quick).accuracies == row.accuracies
    assert limbeck.evaluate(digits, seed=1, **quick).accuracies != row.accuracies
    assert (row.networks, row.images, row.recipe["epochs"], row.label) == (2, 10, 2, "synthetic")
    assert all(0 <= accuracy <= 1 for accuracy in row.accuracies)


def test_protocol_and_network_take_the_place_of_the_recipes(digits):
    row = limbeck.evaluate(digits, networks=1, network="convnet-d1-w6", device="cpu")
    assert row.recipe == {**digits.recipe, "network": "convnet-d1-w6"}
    assert row.recipe["epochs"] == 2
    row = limbeck.evaluate(digits, networks=1, protocol={"name": "dc", "epochs": 0, "augmentation": "none"})
    assert (row.recipe["epochs"], row.recipe["augmentation"], row.recipe["network"]) == (1, None, "convnet-d1-w4")


def test_images_of_ones_own_are_needed_again(pair):
    found = limbeck.distill(pair, **TINY)
    with pytest.raises(UsageError, match=r"distilled from images given in Python.*limbeck\.evaluate\(set, data\)"):
        limbeck.evaluate(found, networks=1)
    assert limbeck.evaluate(found, pair, networks=1, device="cpu").networks == 1


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"protocol": "dcc"}, UnknownNameError, "Did you mean 'dc'?"),
        ({"network": "convnett"}, UnknownNameError, "Did you mean 'convnet'?"),
        ({"networks": 0}, UsageError, "0 evaluation networks were asked for"),
        ({"device": "gpu"}, UsageError, "unknown device 'gpu'"),
    ],
)
def test_an_evaluation_that_cannot_be_made(options, error, message, digits):
    with pytest.raises(error) as caught:
        limbeck.evaluate(digits, **options)
    assert message in str(caught.value)


def test_a_set_of_another_shape_is_refused(digits, pair):
    with pytest.raises(UsageError, match="1x8x8 in 10 classes, but 'custom' has 3x8x8 in 3 classes"):
        limbeck.evaluate(digits, pair, networks=1)
