"""The protocols of trajectory matching, DC-BENCH and soft labels, counted as their authors' code counts."""

import pytest
import torch

from limbeck.configure import configure
from limbeck.data import DataSet, DataSpec, RealData
from limbeck.distillation.result import recipe_of
from limbeck.errors import UsageError
from limbeck.evaluation import Recipe, evaluate_set
from limbeck.plugins import registry
from limbeck.preflight import check_names
from limbeck.synthetic import SyntheticSet

NETWORK = "convnet-d3-w128-in"
STORED = Recipe(
    network="convnet-d1",
    optimiser="adam",
    lr=3.0,
    epochs=3,
    batch_size=9,
    labels={"name": "hard"},
    formation={"name": "tiles", "factor": 2},
    made_with="convnet-d2",
    learned_lr=0.028,
    protocol="other",
)


def recipe(name, stored=None, **options):
    return registry().create("protocols", {"name": name, **options}).recipe(NETWORK, stored)


def rates(made):
    """The learning rate of each pass."""
    return [made.lr * made.course.scale(done, made.epochs) for done in range(made.epochs)]


def changed(made):
    """What a recipe says other than the defaults, network and protocol aside."""
    plain = Recipe(network=NETWORK, epochs=0).to_dict()
    return {key: value for key, value in made.to_dict().items() if value != plain[key] and key != "protocol"}


@pytest.mark.parametrize("name", ["dc", "mtt", "dcbench", "soft-kd"])
def test_its_numbers_win_and_what_belongs_to_the_set_stays(name):
    made = recipe(name, STORED)
    assert made.belongings() == STORED.belongings()
    assert (made.network, made.protocol) == (NETWORK, name)
    assert made.lr != 3.0 and made.batch_size != 9 and made.epochs > 200


@pytest.mark.parametrize("name", ["dc", "mtt", "dcbench", "soft-kd"])
def test_a_search_of_rates_is_declared(name):
    assert recipe(name, lr_search=[0.1, 0.01]).lr_search == (0.1, 0.01)
    with pytest.raises(UsageError, match="lr_search"):
        recipe(name, lr_search="fast")


# Trajectory matching


def test_mtt_trains_as_dc_does_with_dsa_and_tests_on_the_way():
    assert changed(recipe("mtt")) == {
        "epochs": 1001,
        "milestones": [502],
        "evaluate_every": 100,
        "augmentation": {"name": "dsa", "align_corners": True},
    }
    assert rates(recipe("mtt")) == [0.01] * 502 + [pytest.approx(0.001)] * 499
    assert recipe("mtt").reset_momentum and recipe("mtt").selection == "last"


def test_mtt_takes_the_rate_learned_with_the_set_unless_another_is_asked_for():
    assert recipe("mtt", STORED).lr == 0.028
    assert recipe("mtt", STORED.with_(learned_lr=None)).lr == 0.01
    assert recipe("mtt", STORED, lr=0.5).lr == 0.5
    assert recipe("mtt", recipe("dc", STORED)).lr == 0.028  # another protocol in between does not lose it
    assert recipe("dc", STORED).lr == 0.01


def test_mtt_keeps_the_sets_augmentation_or_takes_another_or_none():
    own = STORED.with_(augmentation={"name": "dsa", "scale": 1.1})
    assert recipe("mtt", own).augmentation == {"name": "dsa", "scale": 1.1}
    assert recipe("mtt", own, augmentation="dc").augmentation == {"name": "dc"}
    assert recipe("mtt", own, augmentation="none").augmentation is None


# DC-BENCH


@pytest.mark.parametrize(
    ("policy", "passes", "fast"), [("none", 301, 152), ("dsa", 1001, 502), ("randaugment", 1001, 502)]
)
def test_dcbench_trains_longer_with_augmentation(policy, passes, fast):
    made = recipe("dcbench", augmentation=policy)
    assert rates(made) == [0.01] * fast + [pytest.approx(0.001)] * (passes - fast)
    assert (made.momentum, made.weight_decay, made.batch_size, made.reset_momentum) == (0.9, 5e-4, 256, True)
    assert (made.evaluate_every, made.selection) == (0, "last")


def test_adam_of_dcbench_keeps_its_rate_and_has_no_weight_decay():
    made = recipe("dcbench", optimiser="adam")
    assert rates(made) == [0.003] * 301
    assert (made.optimiser, made.weight_decay) == ("adam", 0.0)
    assert recipe("dcbench", optimiser="adam", lr=0.1).lr == 0.1


def test_dcbench_knows_its_policies_and_names_them_otherwise():
    for policy in ("dsa", "autoaugment", "randaugment", "imagenet_aug", "cifar_aug"):
        made = recipe("dcbench", augmentation=policy)
        assert made.augmentation == {"name": policy}
        registry().create("augmentations", made.augmentation)
    assert recipe("dcbench", augmentation="imagenet-aug").augmentation == {"name": "imagenet_aug"}
    spec = {"name": "randaugment", "num_ops": 2}
    assert recipe("dcbench", augmentation=spec).augmentation == spec
    known = "none, dsa, autoaugment, randaugment, imagenet_aug, cifar_aug"
    for unknown in ("trivialaugment", {"name": "trivialaugment"}, "dc"):
        with pytest.raises(UsageError, match=f"the policies of DC-BENCH are {known}") as caught:
            recipe("dcbench", augmentation=unknown)
        assert "\n" not in str(caught.value)
    with pytest.raises(
        UsageError, match=f"the set's augmentation 'dc' is no policy of protocol 'dcbench': it knows {known}"
    ):
        recipe("dcbench", STORED.with_(augmentation={"name": "dc"}))
    assert recipe("dcbench", STORED.with_(augmentation={"name": "dc"}), augmentation="dsa").epochs == 1001
    assert recipe("dcbench", STORED.with_(augmentation={"name": "dsa", "scale": 1.1})).augmentation["scale"] == 1.1


def test_a_run_with_an_unknown_policy_ends_before_it_begins():
    settings = {"data": "digits", "evaluation": {"protocol": {"name": "dc", "augmentation": "randaugmant"}}}
    config = configure(method="dm", settings=settings)
    with pytest.raises(UsageError, match=r"unknown augmentation 'randaugmant'\. Did you mean 'randaugment'"):
        check_names(config, recipe_of(config))


# Soft labels


def test_soft_labels_are_imitated_at_the_temperature_of_their_teacher():
    taught = recipe("soft-kd", STORED, labels="teacher")
    own = ("formation", "made_with", "learned_lr")
    assert {key: value for key, value in changed(taught).items() if key not in own} == {
        "optimiser": "adamw",
        "lr": 0.001,
        "weight_decay": 0.01,
        "loss": "kl",
        "temperature": 20.0,
        "epochs": 300,
        "schedule": "cosine",
        "batch_size": 100,
        "evaluate_every": 10,
        "selection": "best",
        "labels": {"name": "teacher", "temperature": 20.0},
    }
    assert recipe("soft-kd", STORED, labels="teacher", temperature=4).labels["temperature"] == 4
    assert rates(taught)[0] == 0.001 and 0 < rates(taught)[-1] < 1e-7


def test_stored_soft_labels_are_compared_as_they_are():
    assert recipe("soft-kd", STORED).labels == STORED.labels
    assert recipe("soft-kd", STORED).temperature == 1.0
    assert recipe("soft-kd", STORED, temperature=3).temperature == 3
    taught = STORED.with_(labels={"name": "teacher", "epochs": 7, "temperature": 2.0})
    assert recipe("soft-kd", taught).labels == {"name": "teacher", "epochs": 7, "temperature": 20.0}
    squared = recipe("soft-kd", taught, loss="mse")
    assert (squared.temperature, squared.labels) == (1.0, taught.labels)


def test_a_run_whose_labels_are_classes_is_told_before_it_begins():
    settings = {"data": "digits", "evaluation": {"protocol": "soft-kd"}}
    config = configure(method="dm", settings=settings)
    with pytest.raises(UsageError, match="loss 'kl' compares with soft labels, but this set's labels are classes"):
        check_names(config, recipe_of(config))
    settings["evaluation"]["protocol"] = {"name": "soft-kd", "labels": {"name": "teacher", "epochs": 2}}
    config = configure(method="dm", settings=settings)
    check_names(config, recipe_of(config))
    assert recipe_of(config).labels == {"name": "teacher", "epochs": 2, "temperature": 20.0}
    assert config.labels.name == "hard"  # matching goes on with classes


# All of them train


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mtt", {"epochs": 3, "evaluate_every": 2}),
        ("dcbench", {"epochs": 3, "augmentation": "randaugment"}),
        ("dcbench", {"epochs": 3, "augmentation": "cifar_aug", "optimiser": "adam"}),
        ("soft-kd", {"epochs": 3, "evaluate_every": 2, "labels": {"name": "teacher", "epochs": 1}}),
    ],
)
def test_a_set_can_be_measured_by_it(name, options):
    spec = DataSpec("noise", (1, 8, 8), 2, ("a", "b"), (0.5,), (0.3,), True)
    images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    real = RealData(images, torch.arange(20) % 2, spec)
    labels = real.labels[:4]
    synthetic = SyntheticSet(real.take(torch.arange(4)), labels, labels, spec)
    made = registry().create("protocols", {"name": name, **options}).recipe("convnet-d1-w4-in", None)
    row = evaluate_set(synthetic, DataSet(spec, real, real), made, networks=1)
    assert row.protocol == name and 0 <= row.mean <= 1
    assert (row.best is None) == (name == "dcbench")
