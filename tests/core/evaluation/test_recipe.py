"""A recipe survives JSON and refuses what it does not know."""

import json

import pytest

from limbeck.errors import UsageError
from limbeck.evaluation import Recipe
from limbeck.training import Cosine, StepSchedule


def test_a_recipe_survives_json():
    recipe = Recipe(
        network="convnet-d2-w32-in",
        epochs=7,
        milestones=(3, 5),
        augmentation={"name": "dsa", "strategy": "crop_flip"},
        labels={"name": "teacher", "epochs": 3},
        protocol="mine",
        loss="kl",
        temperature=4.0,
        schedule="cosine",
        cosine_share=0.5,
        best_of=0.2,
        clip=1.5,
        evaluate_every=2,
        selection="best",
        lr_search=(0.1, 0.01),
        learned_lr=0.03,
    )
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_the_schedule_is_the_trainers(recipe):
    changed = recipe.with_(milestones=(3, 5), factor=0.2, reset_momentum=False)
    assert changed.course == StepSchedule((3, 5), 0.2, False)


def test_a_cosine_has_no_milestones(recipe):
    assert recipe.with_(schedule="cosine", milestones=(3,)).course == Cosine()


def test_a_recipe_of_the_first_format_means_what_it_did():
    """What version 1 wrote has none of the later keys."""
    written = {
        "network": "convnet-d3-w128-in",
        "optimiser": "sgd",
        "lr": 0.01,
        "momentum": 0.9,
        "weight_decay": 0.0005,
        "epochs": 301,
        "milestones": [152],
        "factor": 0.1,
        "reset_momentum": True,
        "batch_size": 256,
        "augmentation": {"name": "dsa"},
        "labels": {"name": "hard"},
        "formation": {"name": "identity"},
        "made_with": "convnet-d3-w128-in",
        "protocol": "dc",
    }
    recipe = Recipe.from_dict(written)
    assert {key: value for key, value in recipe.to_dict().items() if key in written} == written
    assert (recipe.loss, recipe.temperature, recipe.clip, recipe.learned_lr) == ("ce", 1.0, None, None)
    assert (recipe.evaluate_every, recipe.selection, recipe.lr_search) == (0, "last", ())
    assert recipe.course == StepSchedule((152,), 0.1, True)
    assert (recipe.cosine_share, recipe.best_of) == (1.0, 1.0)


def test_what_is_as_it_was_before_is_not_written(recipe):
    """So that networks which were trained by such a recipe are found again."""
    assert {"cosine_share", "best_of"}.isdisjoint(recipe.to_dict())
    changed = recipe.with_(cosine_share=0.5, best_of=0.2).to_dict()
    assert (changed["cosine_share"], changed["best_of"]) == (0.5, 0.2)


def test_a_share_of_a_cosine_ends_before_zero(recipe):
    course = recipe.with_(schedule="cosine", cosine_share=0.5).course
    assert course == Cosine(0.5)
    assert [round(course.scale(done, 300), 4) for done in (0, 150, 300)] == [1.0, 0.8536, 0.5]


def test_the_best_is_chosen_from_the_last_passes_alone(recipe):
    late = recipe.with_(epochs=300, best_of=0.2)
    assert [done for done in range(10, 301, 10) if late.counts(done)] == [250, 260, 270, 280, 290, 300]
    assert all(recipe.with_(epochs=300).counts(done) for done in range(1, 301))
    assert recipe.with_(epochs=3, best_of=0.01).counts(3)


@pytest.mark.parametrize("change", [{"cosine_share": 0}, {"cosine_share": 1.5}, {"best_of": 0}, {"best_of": 2}])
def test_shares_are_shares(recipe, change):
    with pytest.raises(UsageError, match=next(iter(change))):
        Recipe.from_dict({**recipe.to_dict(), **change})


def test_classes_are_learned_by_cross_entropy_at_temperature_one(recipe):
    taught = recipe.with_(labels={"name": "teacher"}, loss="kl", temperature=20.0, formation={"name": "tiles"})
    assert taught.for_classes() == recipe.with_(formation={"name": "tiles"})
    assert recipe.with_(loss="mse").for_classes().loss == "mse"


def test_what_belongs_to_the_set_is_handed_on():
    stored = Recipe(
        network="a", epochs=1, labels={"name": "teacher"}, formation={"name": "tiles"}, made_with="b", learned_lr=0.02
    )
    assert Recipe(network="c", epochs=5, **stored.belongings()) == stored.with_(network="c", epochs=5)


@pytest.mark.parametrize("loss", ["kl", "soft_ce"])
def test_a_loss_for_soft_labels_needs_them(recipe, loss):
    soft = recipe.with_(loss=loss)
    with pytest.raises(UsageError, match=f"loss '{loss}' compares with soft labels, but this set's labels are classes"):
        soft.check_labels("hard")
    soft.check_labels("probabilities")
    soft.check_labels("logits")
    soft.with_(labels={"name": "teacher"}).check_labels("hard")
    for fits_all in ("ce", "mse"):
        recipe.with_(loss=fits_all).check_labels("hard")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, "unknown option 'recipe.epoch'. Did you mean 'epochs'?"),
        ({"lr": 0}, "option 'recipe.lr' is 0"),
        ({"optimiser": "lion"}, "option 'recipe.optimiser' is 'lion'"),
        ({"loss": "hinge"}, "option 'recipe.loss' is 'hinge': must be 'ce', 'soft_ce', 'kl' or 'mse'"),
        ({"lr_search": [0.1, -1]}, "option 'recipe.lr_search.1' is -1: must be above 0"),
        ({"loss": "mse", "temperature": 2}, "loss mse compares logits and has no temperature"),
        ({"selection": "best"}, "selection best needs tests to choose from: give evaluate_every"),
    ],
)
def test_what_cannot_be_is_one_line(values, message):
    with pytest.raises(UsageError) as caught:
        Recipe.from_dict({"network": "convnet", "epochs": 1, **values})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
