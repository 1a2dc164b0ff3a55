"""The protocol's numbers, counted as its authors' code counts them."""

import pytest

from limbeck.evaluation import Recipe
from limbeck.plugins import registry


def protocol(**options):
    return registry().create("protocols", {"name": "dc", **options})


def rates(recipe):
    """The learning rate of each pass."""
    schedule = recipe.course
    return [recipe.lr * schedule.scale(done, recipe.epochs) for done in range(recipe.epochs)]


@pytest.mark.parametrize(
    ("epochs", "before", "after"),
    [(1000, 502, 499), (300, 152, 149), (5, 4, 2), (1, 2, 0), (0, 1, 0)],
)
def test_epochs_are_one_pass_more_and_the_rate_falls_after_the_half(epochs, before, after):
    found = rates(protocol(epochs=epochs).recipe("convnet", None))
    assert found == [0.01] * before + [pytest.approx(0.001)] * after


def test_the_published_numbers():
    recipe = protocol().recipe("convnet-d3-w128-in", None)
    assert recipe == Recipe(
        network="convnet-d3-w128-in",
        optimiser="sgd",
        lr=0.01,
        momentum=0.9,
        weight_decay=0.0005,
        epochs=301,
        milestones=(152,),
        factor=0.1,
        reset_momentum=True,
        batch_size=256,
        protocol="dc",
    )
    assert (recipe.loss, recipe.temperature, recipe.clip, recipe.schedule) == ("ce", 1.0, None, "step")
    assert (recipe.selection, recipe.evaluate_every, recipe.lr_search) == ("last", 0, ())


def test_augmentation_makes_it_longer_wherever_it_comes_from():
    stored = Recipe(network="convnet", epochs=3, augmentation={"name": "dsa", "scale": 1.1})
    asked = protocol(augmentation={"name": "dc", "strategy": "crop"}).recipe("convnet", stored)
    kept = protocol().recipe("convnet", stored)
    assert (asked.epochs, asked.augmentation) == (1001, {"name": "dc", "strategy": "crop"})
    assert (kept.epochs, kept.augmentation) == (1001, {"name": "dsa", "scale": 1.1})


def test_none_is_no_augmentation():
    stored = Recipe(network="convnet", epochs=3, augmentation={"name": "dsa"})
    recipe = protocol(augmentation={"name": "none"}).recipe("convnet", stored)
    assert (recipe.epochs, recipe.augmentation) == (301, None)


def test_its_numbers_win_and_the_sets_labels_and_formation_stay():
    stored = Recipe(
        network="convnet-d1",
        optimiser="adam",
        lr=3.0,
        epochs=3,
        batch_size=9,
        labels={"name": "teacher", "epochs": 2},
        formation={"name": "tiles", "factor": 2},
        protocol="other",
    )
    recipe = protocol(lr=0.02, batch_size=64).recipe("convnet-d2", stored)
    assert recipe == protocol(lr=0.02, batch_size=64).recipe("convnet-d2", None).with_(
        labels=stored.labels, formation=stored.formation
    )
    assert (recipe.network, recipe.optimiser, recipe.lr, recipe.protocol) == ("convnet-d2", "sgd", 0.02, "dc")
