"""The shipped method files: every combination resolves, and published settings are the published ones."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from limbeck.configure import configure
from limbeck.distillation.result import recipe_of
from limbeck.distillation.run import total_steps
from limbeck.matching import SourceContext
from limbeck.methods import Figure, When, read_method
from limbeck.networks import build_network
from limbeck.plugins import registry
from limbeck.preflight import check_names

METHODS = (
    *("dc", "dsa", "dm", "dcc", "dsac", "datadam", "fyi_dc", "fyi_dsa", "fyi_dm", "idc", "ncfm"),
    *("mtt", "tesla", "fyi_mtt", "datm"),
    *("random", "herding", "k_center", "k_means", "forgetting", "rded"),
)
DATA = ("digits", "mnist", "fashion_mnist", "cifar10", "cifar100")
IPC = (1, 3, 10, 40, 50, 100)
LOOPS = {1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15), 50: (50, 10)}
"""Steps a network and epochs between two of them, as published with arXiv:2006.05929."""
LOOPS_CONTRASTIVE = {**LOOPS, 1: (10, 5)}
"""The same, as published with arXiv:2202.02916."""

FIGURES = {
    "dc": {
        "mnist": (91.7, 97.4, 98.8),
        "fashion_mnist": (70.5, 82.3, 83.6),
        "cifar10": (28.3, 44.9, 53.9),
    },
    "dsa": {
        "mnist": (88.7, 97.8, 99.2),
        "fashion_mnist": (70.6, 84.6, 88.7),
        "cifar10": (28.8, 52.1, 60.6),
    },
    "idc": {
        "mnist": (94.2, 98.4, 99.1),
        "fashion_mnist": (81.0, 86.0, 86.2),
        "cifar10": (50.6, 67.5, 74.5),
        "cifar100": (None, 45.1),
    },
    "dm": {"cifar10": (26.0, 48.9, 63.0)},
    "dcc": {"cifar10": (32.9, 49.4, 61.6), "cifar100": (13.3, 30.6, 40.0)},
    "dsac": {"cifar10": (34.0, 54.5, 64.2), "cifar100": (14.6, 33.5, 39.3)},
    "ncfm": {"cifar10": (49.5, 71.8, 77.4), "cifar100": (34.4, 48.7, 54.7)},
    "rded": {"cifar10": (23.5, 50.2, 68.4), "cifar100": (19.6, 48.1, 57.0)},
    "mtt": {"cifar10": (46.3, 65.3, 71.6), "cifar100": (24.3, 40.1, 47.7)},
    "tesla": {"cifar10": (48.5, 66.4, 72.6), "cifar100": (24.8, 41.7, 47.9)},
    "datm": {"cifar10": (46.9, 66.8, 76.1), "cifar100": (27.9, 47.2, 55.0, 57.5)},
}
"""Published accuracies at ipc 1, 10, 50 and 100."""


def method_file(name):
    return read_method(registry().resource("methods", name), name)


def resolved(method, profile="published", data="cifar10", ipc=10):
    return configure(method, profile=profile, settings={"data": data, "ipc": ipc})


def test_these_are_the_methods_that_ship():
    shipped = [name for name, entry in registry().entries("methods").items() if entry.is_shipped]
    assert sorted(shipped) == sorted(METHODS)


@pytest.mark.parametrize("profile", ["published", "small"])
@pytest.mark.parametrize("method", METHODS)
def test_every_file_resolves_for_all_data_and_sizes(method, profile):
    for data in DATA:
        for ipc in IPC:
            config = resolved(method, profile, data, ipc)
            assert (config.method, config.profile, config.data.name, config.ipc) == (method, profile, data, ipc)
            check_names(config, recipe_of(config))
            assert profile == "small" or config.deviations == ()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("data, shape", [("digits", (1, 8, 8)), ("mnist", (1, 28, 28)), ("cifar10", (3, 32, 32))])
def test_networks_fit_the_images(method, data, shape):
    spec = SimpleNamespace(shape=shape, num_classes=10)
    for profile in ("published", "small"):
        name = resolved(method, profile, data).network
        assert build_network(name, spec).shape == shape


@pytest.mark.parametrize("method", ["dc", "dsa", "dcc", "dsac"])
@pytest.mark.parametrize("ipc", LOOPS)
def test_published_loops(method, ipc):
    loops = (LOOPS_CONTRASTIVE if method in ("dcc", "dsac") else LOOPS)[ipc]
    config = resolved(method, ipc=ipc)
    source = registry().create("network_sources", config.source.model_dump())
    source.prepare(SourceContext(None, ipc, None, None, None, None, None))
    assert (source.num_outer, source._epochs) == loops
    assert total_steps(config.budget, source.num_outer) == 1000 * loops[0]


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("ipc", IPC)
def test_published_numbers_of_gradient_matching(data, ipc):
    plain = {"name": "gradient", "distance": "ours"}
    joint = {"name": "contrastive", "distance": "ours", "outer_warmup": 250, "inner_warmup": 10}
    published = (("dc", "noise", plain), ("dsa", "real", plain), ("dcc", "real", joint), ("dsac", "real", joint))
    for method, start, matcher in published:
        config = resolved(method, data=data, ipc=ipc)
        section = config.optimiser
        assert (section.name, section.lr_img, section.momentum) == ("sgd", 0.1, 0.5)
        assert (config.data.batch_real, config.budget.iterations, config.network) == (256, 1000, "convnet-d3-w128-in")
        assert (config.init.origin, config.storage, config.formation.name) == (start, "float32", "identity")
        assert config.matcher.model_dump() == matcher
        source = registry().create("network_sources", config.source.model_dump()).options
        assert (source.lr_net, source.batch_train, source.momentum, source.weight_decay) == (0.01, 256, 0, 0)
        assert (config.augmentation is not None) == (method in ("dsa", "dsac"))
        assert config.evaluation.networks == 20


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("ipc", IPC)
def test_published_numbers_of_distribution_matching(data, ipc):
    config = resolved("dm", data=data, ipc=ipc)
    expected = 10.0 if (data, ipc) == ("cifar10", 100) else 1.0
    assert (config.optimiser.name, config.optimiser.lr_img, config.optimiser.momentum) == ("sgd", expected, 0.5)
    assert (config.data.batch_real, config.budget.iterations, config.source.name) == (256, 20000, "fresh")
    assert (config.init.origin, config.network) == ("real", "convnet-d3-w128-in")
    assert (config.matcher.name, config.augmentation.name) == ("distribution", "dsa")


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("ipc", IPC)
def test_published_numbers_of_attention_matching(data, ipc):
    config = resolved("datadam", data=data, ipc=ipc)
    section = config.optimiser
    assert (section.name, section.lr_img, section.momentum) == ("sgd", 1000.0 if ipc > 50 else 100.0, 0.5)
    assert (config.data.batch_real, config.budget.iterations, config.source.name) == (64, 8000, "fresh")
    assert (config.init.origin, config.network, config.augmentation.name) == ("real", "convnet-d3-w128-bn", "dsa")
    assert config.matcher.model_dump() == {"name": "attention", "exponent": 4, "weight": 0.01}
    recipe = recipe_of(config)
    assert (recipe.epochs, recipe.batch_size, config.evaluation.networks) == (1801, 64, 10)


@pytest.mark.parametrize("method", ["dcc", "dsac"])
@pytest.mark.parametrize("ipc", IPC)
def test_small_runs_of_contrastive_matching_reach_both_phases(method, ipc):
    for data in DATA:
        small, wide = (resolved(method, profile, data, ipc) for profile in ("small", "published"))
        assert 0 < small.matcher.options()["outer_warmup"] < small.budget.iterations / 2
        assert small.data.source() == wide.data.source()
        assert wide.data.options() == ({"statistics": "cifar10"} if data == "cifar100" else {})


@pytest.mark.parametrize(
    "method, data, passes, augmentation",
    [
        ("dc", "cifar10", 301, None),
        ("dc", "fashion_mnist", 301, None),
        ("dc", "mnist", 1001, "dc"),
        ("dsa", "cifar10", 1001, "dsa"),
        ("dm", "mnist", 1001, "dsa"),
        ("random", "cifar10", 1001, "dsa"),
        ("dcc", "cifar10", 301, None),
        ("dcc", "mnist", 1001, "dc"),
        ("dsac", "cifar10", 1001, "dsa"),
    ],
)
def test_published_evaluation(method, data, passes, augmentation):
    recipe = recipe_of(resolved(method, data=data))
    assert (recipe.epochs, (recipe.augmentation or {}).get("name")) == (passes, augmentation)
    assert (recipe.lr, recipe.momentum, recipe.weight_decay, recipe.batch_size) == (0.01, 0.9, 5e-4, 256)


@pytest.mark.parametrize("method", METHODS)
def test_published_figures(method):
    for data in DATA:
        for ipc in IPC:
            expected = dict(zip((1, 10, 50, 100), FIGURES.get(method, {}).get(data, ()), strict=False)).get(ipc)
            reference = resolved(method, data=data, ipc=ipc).reference
            assert (reference and reference["accuracy"]) == expected
            assert reference is None or reference["source"]


@pytest.mark.parametrize("method", METHODS)
def test_small_settings_carry_no_figure_and_state_how_they_differ(method):
    for data in DATA:
        for ipc in IPC:
            small = resolved(method, "small", data, ipc)
            assert small.reference is None
            assert small.deviations
            wide = resolved(method, "published", data, ipc)
            assert small.network != wide.network
            assert small.data.batch_real == wide.data.batch_real or any("real batch" in d for d in small.deviations)
            assert small.budget == wide.budget or any("iterations" in d for d in small.deviations)
            epochs = [recipe_of(config).epochs for config in (small, wide)]
            assert epochs[0] == epochs[1] or any("epochs" in d for d in small.deviations)


@pytest.mark.parametrize("method", METHODS)
def test_files_have_what_listings_show(method):
    found, entry = method_file(method), registry().entry("methods", method)
    assert found.title and found.summary
    assert found.paper == entry.paper


@pytest.mark.parametrize(
    "when, fitting, others",
    [
        ({}, [("a", 1), ("b", 99)], []),
        ({"data": "a"}, [("a", 1)], [("b", 1)]),
        ({"data": ["a", "b_c"]}, [("a", 1), ("b-c", 1)], [("c", 1)]),
        ({"ipc": 10}, [("a", 10)], [("a", 1)]),
        ({"ipc": [1, 10]}, [("a", 1), ("a", 10)], [("a", 5)]),
        ({"ipc": "2..10"}, [("a", 2), ("a", 10)], [("a", 1), ("a", 11)]),
        ({"ipc": "2.."}, [("a", 2), ("a", 10**6)], [("a", 1)]),
        ({"ipc": "..2"}, [("a", 1), ("a", 2)], [("a", 3)]),
        ({"data": "a", "ipc": 1}, [("a", 1)], [("a", 2), ("b", 1)]),
    ],
)
def test_when_a_rule_holds(when, fitting, others):
    rule = When(**when)
    assert all(rule.fits(*run) for run in fitting)
    assert not any(rule.fits(*run) for run in others)


@pytest.mark.parametrize("ipc", ["two", "1-5", "1..x"])
def test_a_range_that_is_none_is_refused(ipc):
    with pytest.raises(ValueError, match="ipc"):
        When(ipc=ipc)


def test_a_figure_is_a_percentage():
    with pytest.raises(ValueError, match="accuracy"):
        Figure(accuracy=101, source="nowhere")
