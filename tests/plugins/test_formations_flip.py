"""Mirror images beside the stored ones: where they are seen, where they are not, and which data refuses them."""

from __future__ import annotations

import pytest
import torch

import limbeck
from limbeck.configure import configure
from limbeck.data import DataSpec, load_dataset
from limbeck.distillation.setup import set_up
from limbeck.errors import UsageError
from limbeck.plugins import registry
from limbeck.synthetic import SyntheticSet

FORCED = {"formation": {"name": "flip", "force": True}}
TINY = {
    "network": "convnet-d1-w4",
    "data": {"name": "digits", "max_per_class": 20, "batch_real": 4},
    "execution": {"device": "cpu"},
    "evaluation": {"networks": 0, "baselines": False},
}


def flip(**options):
    return registry().create("formations", {"name": "flip", **options})


def stored(per_class=2, classes=3):
    group = torch.arange(classes).repeat_interleave(per_class)
    return torch.randn(len(group), 2, 4, 5, generator=torch.Generator().manual_seed(0)), group


@pytest.mark.parametrize("phase", ["match", "inner"])
def test_every_image_is_followed_by_its_mirror_image(phase):
    images, group = stored()
    found, labels, groups = flip().expand(images, group * 10, group, phase)
    assert torch.equal(found[0::2], images)
    assert torch.equal(found[1::2, :, :, 0], images[..., -1]) and torch.equal(found[1::2].flip(3), images)
    assert labels.tolist() == [0] * 4 + [10] * 4 + [20] * 4 and groups.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert flip().formed(images, group, phase)[1].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_evaluation_sees_the_stored_images_alone():
    images, group = stored()
    found, index = flip().formed(images, group, "evaluate")
    assert found is images and index.tolist() == list(range(6))


def test_the_gradient_comes_from_both_orientations():
    images, group = stored()
    leaf = images.double().requires_grad_()
    weights = torch.randn(12, 2, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (flip().expand(leaf, group, group, "match")[0] * weights).sum().backward()
    assert torch.equal(leaf.grad, weights[0::2] + weights[1::2].flip(3))


@pytest.mark.parametrize("data", ["digits", "other"])
def test_signs_are_refused_with_the_reason_unless_forced(data):
    spec = DataSpec(data, (1, 8, 8), 1, ("a",), (0.5,), (0.5,), mirror=False)
    with pytest.raises(UsageError, match=rf"'flip'.*'{data}' that is mirrored is another sign.*formation\.force=true"):
        flip().for_data(spec)
    forced = flip(force=True)
    assert forced.for_data(spec) is forced


def test_data_that_may_be_mirrored_is_not_refused():
    formation = flip()
    assert formation.for_data(DataSpec("x", (1, 8, 8), 1, ("a",), (0.5,), (0.5,), mirror=True)) is formation


def test_a_run_on_digits_is_refused_before_anything_is_written(tmp_path):
    for method in ("fyi-dm", "random"):
        settings = {**TINY, "formation": "flip"}
        with pytest.raises(UsageError, match="'flip' adds mirror images"):
            limbeck.distill(settings.pop("data")["name"], run_dir=tmp_path / "run", method=method, **settings)
        assert not (tmp_path / "run").exists()


def test_matching_and_inner_training_see_mirror_images_and_the_set_has_none():
    config = configure("dm", profile="small", settings={**TINY, **FORCED, "ipc": 2})
    parts = set_up(config, load_dataset("digits", max_per_class=20))
    images, labels = parts.batches().synthetic(3)
    assert len(images) == 4 and labels.tolist() == [3] * 4
    inner = parts.training_set()
    assert len(inner) == 40 and len(parts.parameters.images) == 20


def test_networks_are_evaluated_on_the_stored_images(monkeypatch):
    from limbeck.evaluation import Recipe, evaluate_set, job

    data = load_dataset("digits", max_per_class=20)
    index = torch.cat([data.train.members(group)[:2] for group in range(10)])
    labels = data.train.labels[index]
    recipe = Recipe(network="convnet-d1-w4", epochs=1, formation=FORCED["formation"])
    chosen = SyntheticSet(images=data.train.take(index), labels=labels, group=labels, spec=data.train.spec)
    seen, fit = [], job.fit
    monkeypatch.setattr(job, "fit", lambda *args, **kept: (seen.append(len(kept["data"])), fit(*args, **kept))[1])
    evaluate_set(chosen, data, recipe, networks=1)
    assert seen == [20]
    evaluate_set(chosen, data, recipe.with_(formation={"name": "tiles", "factor": 2}), networks=1)
    assert seen == [20, 80]
    with pytest.raises(UsageError, match="another sign"):
        evaluate_set(chosen, data, recipe.with_(formation={"name": "flip"}), networks=1)
