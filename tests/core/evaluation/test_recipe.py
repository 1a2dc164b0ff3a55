"""A recipe survives JSON and refuses what it does not know."""

import json

import pytest

from limbeck.errors import UsageError
from limbeck.evaluation import Recipe
from limbeck.training import StepSchedule


def test_a_recipe_survives_json():
    recipe = Recipe(
        network="convnet-d2-w32-in",
        epochs=7,
        milestones=(3, 5),
        augmentation={"name": "dsa", "strategy": "crop_flip"},
        labels={"name": "teacher", "epochs": 3},
        protocol="mine",
    )
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_the_schedule_is_the_trainers(recipe):
    changed = recipe.with_(milestones=(3, 5), factor=0.2, reset_momentum=False)
    assert changed.course == StepSchedule((3, 5), 0.2, False)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, "unknown option 'recipe.epoch'. Did you mean 'epochs'?"),
        ({"lr": 0}, "option 'recipe.lr' is 0"),
        ({"optimiser": "lion"}, "option 'recipe.optimiser' is 'lion'"),
    ],
)
def test_what_cannot_be_is_one_line(values, message):
    with pytest.raises(UsageError) as caught:
        Recipe.from_dict({"network": "convnet", "epochs": 1, **values})
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
