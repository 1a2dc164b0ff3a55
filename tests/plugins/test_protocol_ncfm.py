"""NCFM's evaluation, counted as its authors' code counts."""

import pytest
import torch

from limbeck.augment import Augmentation
from limbeck.errors import UsageError
from limbeck.evaluation import Recipe
from limbeck.plugins import registry
from limbeck.seeding import generator

STORED = Recipe(
    network="convnet-d1",
    epochs=3,
    lr=3.0,
    augmentation={"name": "dsa"},
    formation={"name": "tiles", "factor": 2},
    made_with="convnet-d2",
)


def recipe(stored=STORED, **options):
    return registry().create("protocols", {"name": "ncfm", **options}).recipe("convnet-d3-w128-in", stored)


def test_it_is_what_the_public_code_runs():
    """AdamW with PyTorch's weight decay, MultiStepLR(gamma=.5) at fifths, a test every 100 passes, the best told."""
    made = recipe()
    weight = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.AdamW([weight], lr=0.001)
    course = torch.optim.lr_scheduler.MultiStepLR(optimiser, milestones=[400, 800, 1200, 1600], gamma=0.5)
    rates = []
    for _ in range(2000):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        course.step()
    assert [made.lr * made.course.scale(done, made.epochs) for done in range(made.epochs)] == pytest.approx(rates)
    assert not any(made.course.restarts(done) for done in range(made.epochs))
    assert (made.optimiser, made.weight_decay, made.batch_size) == ("adamw", optimiser.defaults["weight_decay"], 128)
    assert (made.evaluate_every, made.selection, made.loss) == (100, "best", "ce")
    assert made.belongings() == STORED.belongings()


def test_images_are_mixed_after_dsa_without_cutout():
    spec = recipe().augmentation
    made = registry().create("augmentations", spec)
    assert isinstance(made, Augmentation) and made.mixes_labels
    assert (spec["name"], spec["probability"], spec["beta"]) == ("cutmix", 0.5, 1.0)
    before = registry().create("augmentations", spec["before"])
    assert before.always == ["flip", "color"] and before.operations == ["crop", "scale", "rotate"]
    images = torch.randn(6, 3, 8, 8, generator=generator(0, "images"))
    assert made.apply(images, made.draw(6, generator(0, "draw"), one_op=True)).shape == images.shape


@pytest.mark.parametrize(
    ("asked", "found"), [(None, "cutmix"), ("none", None), ({"name": "dsa", "strategy": "crop"}, "dsa")], ids=str
)
def test_another_augmentation_can_be_asked_for(asked, found):
    made = recipe(augmentation=asked) if asked else recipe()
    assert (made.augmentation or {"name": None})["name"] == found


def test_shorter_trainings_keep_their_fifths_and_tests_need_a_distance():
    assert recipe(epochs=300).milestones == (60, 120, 180, 240)
    with pytest.raises(UsageError, match="evaluate_every"):
        recipe(evaluate_every=0)
