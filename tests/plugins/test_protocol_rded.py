"""RDED's protocol and method, counted as their public code counts."""

import math

import pytest
import torch

from limbeck.configure import configure
from limbeck.data import DataSet, DataSpec, RealData
from limbeck.distillation.result import recipe_of
from limbeck.evaluation import Recipe, evaluate_set
from limbeck.plugins import registry
from limbeck.preflight import check_names
from limbeck.synthetic import SyntheticSet

NETWORK = "convnet-d3-w128-bn"
STORED = Recipe(
    network="convnet-d1",
    epochs=3,
    augmentation={"name": "dsa"},
    labels={"name": "teacher", "epochs": 7},
    made_with="convnet-d2",
)
CUTMIX = {"name": "cutmix", "before": {"name": "resized_crop", "scale": [1.0, 1.0], "shuffle": 1}}


def recipe(stored=STORED, **options):
    return registry().create("protocols", {"name": "rded", **options}).recipe(NETWORK, stored)


def test_its_numbers_are_the_published_ones_and_what_belongs_to_the_set_stays():
    made, plain = recipe(), Recipe(network=NETWORK, epochs=0).to_dict()
    assert {key: value for key, value in made.to_dict().items() if value != plain.get(key)} == {
        "optimiser": "adamw",
        "lr": 0.001,
        "weight_decay": 0.01,
        "loss": "kl",
        "temperature": 20.0,
        "epochs": 300,
        "schedule": "cosine",
        "cosine_share": 0.5,
        "batch_size": 100,
        "evaluate_every": 10,
        "selection": "best",
        "best_of": 0.2,
        "augmentation": CUTMIX,
        "labels": {"name": "teacher", "epochs": 7, "temperature": 20.0},
        "made_with": "convnet-d2",
        "protocol": "rded",
    }


def test_its_rates_are_those_of_a_cosine_of_twice_the_length():
    made = recipe()
    for done in (0, 1, 150, 299):
        assert made.course.scale(done, 300) == pytest.approx(0.5 * (1 + math.cos(math.pi * done / 300 / 2)))


def test_a_factor_decides_what_is_cropped_and_shuffled():
    assert recipe(factor=2).augmentation["before"] == {"name": "resized_crop", "scale": [0.5, 1.0], "shuffle": 2}
    assert recipe(augmentation="dsa").augmentation == {"name": "dsa"}
    assert recipe(augmentation="none").augmentation is None


def test_soft_kd_is_what_it_was():
    made = registry().create("protocols", "soft-kd").recipe(NETWORK, STORED)
    assert (made.cosine_share, made.best_of, made.augmentation) == (1.0, 1.0, {"name": "dsa"})
    assert {"cosine_share", "best_of"}.isdisjoint(made.to_dict())


@pytest.mark.parametrize(
    ("data", "ipc", "batch_size", "lr", "accuracy"),
    [
        ("cifar10", 1, 10, 0.001, 23.5),
        ("cifar10", 10, 50, 0.001, 50.2),
        ("cifar10", 50, 100, 0.001, 68.4),
        ("cifar100", 1, 25, 0.002, 19.6),
        ("cifar100", 10, 25, 0.002, 48.1),
        ("cifar100", 50, 25, 0.002, 57.0),
        ("svhn", 50, 100, 0.001, None),
    ],
)
def test_the_published_settings_depend_on_data_and_ipc(data, ipc, batch_size, lr, accuracy):
    config = configure(method="rded", settings={"data": data, "ipc": ipc})
    made = recipe_of(config)
    check_names(config, made)
    assert (made.batch_size, made.lr, made.labels["name"], made.protocol) == (batch_size, lr, "teacher", "rded")
    assert (config.reference or {"accuracy": None})["accuracy"] == accuracy
    assert (config.selector.name, config.storage, config.deviations) == ("patches", "uint8", ())


def test_the_small_settings_are_measured_as_other_methods_are():
    ours, herding = (recipe_of(configure(method=name, settings={"profile": "small"})) for name in ("rded", "herding"))
    assert ours == herding


def test_a_set_can_be_measured_by_it():
    spec = DataSpec("noise", (1, 8, 8), 2, ("a", "b"), (0.5,), (0.3,), True)
    images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    real = RealData(images, torch.arange(20) % 2, spec)
    labels = real.labels[:6]
    synthetic = SyntheticSet(real.take(torch.arange(6)), labels, labels, spec)
    made = registry().create(
        "protocols",
        {"name": "rded", "factor": 2, "epochs": 5, "evaluate_every": 1, "labels": {"name": "teacher", "epochs": 1}},
    )
    row = evaluate_set(synthetic, DataSet(spec, real, real), made.recipe("convnet-d1-w4-bn", None), networks=1)
    assert (row.protocol, row.labels, row.augmentation) == ("rded", "teacher", "cutmix")
    assert row.best == [row.curves[0][-1]]  # a fifth of five passes is the last
