"""Layers of settings become one configuration, and what the user changed is said in plain words."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limbeck.config import Spec, assignments, build, flatten, merge, read_yaml, yaml_problem
from limbeck.configure import configure
from limbeck.errors import PluginError, UsageError
from limbeck.plugins import registry

MATCHING = {"matcher": {"name": "distribution"}, "source": {"name": "fresh"}}


# Merging


def test_later_layers_win_key_by_key():
    merged = merge({"data": {"name": "a", "batch_real": 1}, "ipc": 1}, {"data": {"batch_real": 2}, "seed": 3})
    assert merged == {"data": {"name": "a", "batch_real": 2}, "ipc": 1, "seed": 3}


def test_merging_leaves_its_layers_alone():
    base, over = {"matcher": {"name": "a", "x": 1}}, {"matcher": {"x": 2}}
    merge(base, over)["matcher"]["x"] = 3
    assert (base, over) == ({"matcher": {"name": "a", "x": 1}}, {"matcher": {"x": 2}})


@pytest.mark.parametrize(
    "over, result",
    [
        ({"name": "b", "y": 2}, {"name": "b", "y": 2}),
        ({"name": "a", "y": 2}, {"name": "a", "x": 1, "y": 2}),
        ({"y": 2}, {"name": "a", "x": 1, "y": 2}),
        ("b", {"name": "b"}),
        ("a", {"name": "a", "x": 1}),
        (None, None),
    ],
)
def test_another_component_starts_afresh(over, result):
    assert merge({"matcher": {"name": "a", "x": 1}}, {"matcher": over}) == {"matcher": result}


def test_options_given_before_the_name_belong_to_it():
    assert merge({"matcher": {"x": 1}}, {"matcher": "b"}) == {"matcher": {"x": 1, "name": "b"}}
    assert merge({"matcher": "b"}, {"matcher": {"x": 1}}) == {"matcher": {"name": "b", "x": 1}}


def test_sections_that_are_no_component_keep_their_keys_under_another_name():
    assert merge({"data": {"name": "a", "batch_real": 2}}, {"data": "b"}) == {"data": {"name": "b", "batch_real": 2}}
    assert merge({"optimiser": {"name": "sgd", "lr_img": 2}}, {"optimiser": "adam"})["optimiser"]["lr_img"] == 2


KEYS = st.sampled_from(["matcher", "data", "x", "name"])
SETTINGS = st.recursive(
    st.sampled_from([1, "a", "b", None]), lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)
LAYERS = st.dictionaries(KEYS, SETTINGS, max_size=3)


@settings(deadline=None, max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(LAYERS, LAYERS)
def test_merging_with_nothing_or_twice_changes_nothing(base, over):
    assert merge(base, {}) == base
    assert merge({}, over) == over
    once = merge(base, over)
    assert merge(once, over) == once


def test_flatten_names_every_leaf():
    assert flatten({"a": {"b": {"c": 1}, "d": None}, "e": [1]}) == {"a.b.c": 1, "a.d": None, "e": [1]}


# Assignments


def test_assignments_are_nested_and_read_as_yaml():
    pairs = ["a.b=1", "a.c=[1, x]", "d=text", "e.f=null", "g=k=v", "h={i: 2}", "h.j=3"]
    assert assignments(pairs) == {
        "a": {"b": 1, "c": [1, "x"]},
        "d": "text",
        "e": {"f": None},
        "g": "k=v",
        "h": {"i": 2, "j": 3},
    }


def test_later_assignments_win():
    assert assignments(["a.b=1", "a.b=2"]) == {"a": {"b": 2}}


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "0.001", "1.0e-3"])
def test_numbers_that_yaml_reads_as_text_are_numbers(text):
    assert build(MATCHING, assignments([f"optimiser.lr_img={text}"])).optimiser.lr_img == 0.001


# Configurations


def test_strings_stand_for_names_of_components():
    names = {
        "matcher": "distribution", "source": "fresh", "augmentation": "dsa", "labels": "hard", "formation": "identity",
        "data": "mnist", "init": {"from": "selector", "selector": "random"},
        "evaluation": {"protocol": "dc"}, "execution": {"executor": "serial"},
    }  # fmt: skip
    config = build(names)
    found = [config.matcher, config.source, config.augmentation, config.labels, config.formation, config.init.selector]
    assert found == [Spec(name=name) for name in ("distribution", "fresh", "dsa", "hard", "identity", "random")]
    names = [config.data.name, config.evaluation.protocol.name, config.execution.executor.name]
    assert names == ["mnist", "dc", "serial"]


def test_a_component_keeps_options_that_only_it_understands():
    spec = build(MATCHING, {"matcher": {"weight": 2}}).matcher
    assert spec.options() == {"weight": 2}
    assert spec.model_dump() == {"name": "distribution", "weight": 2}


def test_a_configuration_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        build(MATCHING).ipc = 2


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ipc": 3, "seed": 9, "network": "convnet-d1-w4", "storage": "uint8"},
        {"augmentation": {"name": "dsa", "strategy": "flip_crop"}, "matcher": {"x": {"y": [1, 2.5, None, "z"]}}},
        {"init": {"from": "file", "path": "somewhere"}, "budget": {"seconds": 1.5, "iterations": None}},
        {"optimiser": {"lr_img": "1e-3", "ema": 0.9}, "execution": {"memory": "2GiB", "chunk": 8}},
        {"reference": {"accuracy": 1.0, "source": "here"}, "deviations": ["a: 1 -> 2"]},
    ],
)
def test_round_trip_through_yaml(settings):
    config = build(MATCHING, settings)
    assert build(yaml.safe_load(config.to_yaml())) == config
    assert build(config.to_dict()) == config


def test_round_trip_keeps_what_was_taken_away_from_a_method():
    config = configure("dm", settings={"augmentation": None, "budget": {"seconds": 5}})
    again = configure(settings=yaml.safe_load(config.to_yaml()))
    assert again == config
    assert again.augmentation is None
    assert again.budget.iterations is None


def test_identity_leaves_out_what_may_change():
    config = build(MATCHING)
    for change in ({"budget": {"steps": 3}}, {"evaluation": {"networks": 1}}, {"execution": {"threads": 1}}):
        other = build(config.to_dict(), change)
        assert other != config
        assert other.identity() == config.identity()
    assert build(MATCHING, {"ipc": 2}).identity() != config.identity()


@pytest.mark.parametrize("value", ["{a: [}", "a: 'b"])
def test_yaml_problems_name_the_place(value, tmp_path):
    (tmp_path / "bad.yaml").write_text(f"ok: 1\n{value}\n")
    with pytest.raises(
        UsageError, match=r"bad.yaml is no valid YAML: .* in line [23], column \d+\. Correct it there\."
    ):
        read_yaml(tmp_path / "bad.yaml")


def test_yaml_problems_without_a_place_are_one_line():
    assert yaml_problem(ValueError("one\n  two")) == "one two"


# From a method to a configuration


METHOD = """
title: Mine
summary: a method of its own
settings:
  network: convnet-d1-w4
  matcher: {name: gradient, distance: cos}
  source: fresh
  augmentation: dsa
  optimiser: {lr_img: 0.5}
  budget: {iterations: 10}
profiles:
  published:
    - {when: {ipc: "2..10"}, set: {data: {batch_real: 7}}}
    - {when: {data: [mnist, fashion_mnist], ipc: [1, 5]}, figure: {accuracy: 50.0, std: 0.5, source: Table 1}}
  small:
    - {set: {budget: {iterations: 2}}, deviations: ["iterations 10 -> 2"]}
    - {when: {data: fashion_mnist}, set: {network: convnet-d2-w4}, deviations: [deeper]}
"""


@pytest.fixture
def mine(monkeypatch):
    """Offer METHOD as the method 'mine'."""
    found = registry()
    monkeypatch.setattr(found, "_offers", {kind: dict(offers) for kind, offers in found._offers.items()})
    entry = found.entry("methods", "dm")
    fields = {**vars(entry), "name": "mine", "target": yaml.safe_load(METHOD)}
    found.add(type(entry)(**{**fields, "distribution": "third-party"}))
    return fields


@pytest.mark.parametrize("ipc, batch", [(1, 256), (2, 7), (3, 7), (10, 7), (11, 256)])
def test_ranges_of_ipc(mine, ipc, batch):
    assert configure("mine", settings={"ipc": ipc}).data.batch_real == batch


@pytest.mark.parametrize(
    "data, ipc, has_figure",
    [
        ("mnist", 1, True),
        ("fashion_mnist", 5, True),
        ("fashion-mnist", 5, True),
        ("mnist", 2, False),
        ("digits", 1, False),
    ],
)
def test_figures_are_carried_where_they_were_published(mine, data, ipc, has_figure):
    reference = configure("mine", settings={"data": data, "ipc": ipc}).reference
    assert reference == ({"accuracy": 50.0, "std": 0.5, "source": "Table 1"} if has_figure else None)


def test_a_profile_adds_its_rules_and_says_so(mine):
    config = configure("mine", profile="small", settings={"data": "fashion_mnist", "ipc": 1})
    assert (config.budget.iterations, config.network) == (2, "convnet-d2-w4")
    assert config.deviations == ("iterations 10 -> 2", "deeper")
    assert config.reference is None


@pytest.mark.parametrize(
    "settings, deviations",
    [
        ({}, []),
        ({"seed": 4, "ipc": 3, "execution": {"threads": 1}, "evaluation": {"baselines": False}}, []),
        ({"optimiser": {"lr_img": 0.5}, "matcher": "gradient"}, []),
        ({"budget": {"steps": 100}}, ["budget.iterations: 10 -> none", "budget.steps: none -> 100"]),
        (
            {"optimiser": {"lr_img": 1, "clamp": True}},
            ["optimiser.lr_img: 0.5 -> 1.0", "optimiser.clamp: false -> true"],
        ),
        ({"matcher": {"distance": "mse"}}, ["matcher.distance: cos -> mse"]),
        ({"matcher": "distribution"}, ["matcher: gradient -> distribution"]),
        ({"matcher": {"name": "other", "x": 1}}, ["matcher: gradient -> other", "matcher.x: none -> 1"]),
        ({"augmentation": None}, ["augmentation: dsa -> none"]),
        ({"selector": "random"}, ["selector: none -> random"]),
        ({"data": {"max_per_class": 9}}, ["data.max_per_class: none -> 9"]),
        ({"evaluation": {"networks": 1}}, ["evaluation.networks: 5 -> 1"]),
        ({"storage": "uint8"}, ["storage: float32 -> uint8"]),
    ],
)
def test_deviations_name_what_differs_and_nothing_else(mine, settings, deviations):
    assert sorted(configure("mine", settings=settings).deviations) == sorted(deviations)


@pytest.mark.parametrize("budget", [{"steps": 100}, {"seconds": 5.0}, {"steps": 100, "seconds": 5.0}])
def test_a_budget_of_the_users_own_takes_the_place_of_the_methods(mine, budget):
    assert configure("mine", settings={"budget": budget}).budget.model_dump(exclude_none=True) == budget


def test_the_method_may_be_named_anywhere(mine):
    assert (
        configure("mine")
        == configure(settings={"method": "mine"})
        == configure(settings={"method": "mine", "data": {}})
    )
    small = configure("mine", profile="small")
    assert small == configure("mine", settings={"profile": "small"})
    assert configure("mine", profile="published", settings={"profile": "small"}) == configure("mine")
    assert configure("mine", settings={"method": "dm"}).method == "mine"


def test_a_matcher_alone_starts_from_its_method():
    config = configure(matcher="distribution")
    assert (config.method, config.matcher.name, config.deviations) == ("dm", "distribution", ())
    assert configure(settings={"matcher": "distribution"}) == config
    replaced = configure("dc", matcher="distribution")
    assert (replaced.method, replaced.deviations) == ("dc", ("matcher: gradient -> distribution",))


def test_options_beside_a_matcher_are_kept():
    config = configure(matcher="gradient", settings={"matcher": {"distance": "mse"}})
    assert config.matcher.model_dump() == {"name": "gradient", "distance": "mse"}


def test_no_method_is_needed_where_a_selector_says_everything():
    config = configure(settings={"selector": "random", "ipc": 2})
    assert (config.method, config.selector, config.matcher, config.deviations) == (None, Spec(name="random"), None, ())


@pytest.mark.parametrize(
    "text, message",
    [
        ("title: [", r"the file of method 'mine' is no valid YAML: .* in line 1"),
        ("- title", "the file of method 'mine' holds no settings"),
        ("title: Mine\nsummary: s", "the file of method 'mine' cannot be used: option 'settings' is required"),
        (METHOD.replace('"2..10"', '"2-10"'), "cannot be used: option 'profiles.published.0.when.ipc"),
        (METHOD.replace("figure:", "figures:"), r"unknown option 'profiles.published.1.figures'"),
    ],
)
def test_a_broken_method_file_names_the_method(text, message):
    from limbeck.methods import read_method

    with pytest.raises(PluginError, match=message) as caught:
        read_method(text, "mine")
    assert "\n" not in str(caught.value)
