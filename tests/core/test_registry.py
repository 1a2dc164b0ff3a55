"""Names lead to components: look-up, variants, options, and one clear line when something is missing."""

from __future__ import annotations

import pytest
from pydantic import Field

from limbeck import Options
from limbeck.component import Component
from limbeck.entries import Entry, Kind, singular
from limbeck.errors import MissingExtraError, PluginError, UnknownNameError, UsageError
from limbeck.registry import Registry


class Shape(Component):
    """A shape with sides."""

    class Options(Options):
        sides: int = Field(3, ge=3)
        colour: str = "red"

    @classmethod
    def variant(cls, tokens):
        return {"sides": int(tokens[0])}


class Plain(Component):
    """A component without variants."""


@pytest.fixture
def registry():
    registry = Registry()
    shapes = Kind("shapes", "what has sides", "limbeck", "limbeck.hookspecs")
    registry.declare([shapes, Kind("forget_policies", "", "limbeck", "own.hookspecs")])
    return registry


@pytest.fixture
def offer(registry):
    def add(name, target, kind="shapes", distribution="limbeck", version="1.0", **facts):
        registry.add(Entry(kind, name, target, distribution=distribution, version=version, **facts))

    return add


@pytest.mark.parametrize("asked", ["shape", "shapes"])
@pytest.mark.parametrize("name", ["flat_plate", "flat-plate"])
@pytest.mark.parametrize("spelling", ["flat_plate", "flat-plate"])
def test_hyphen_and_underscore_are_one(registry, offer, asked, name, spelling):
    offer(name, Plain)
    assert registry.entry(asked, spelling).name == name
    assert registry.names(asked) == [name]


@pytest.mark.parametrize("asked", ["forget_policies", "forget-policies", "forget_policy", "forget-policy"])
def test_kinds_are_found_in_singular_and_plural(registry, asked):
    assert registry.kind(asked).name == "forget_policies"
    assert singular("forget_policies") == "forget policy"


def test_the_longest_registered_name_wins(registry, offer):
    offer("shape", Shape)
    offer("shape-7", Plain)
    assert registry.find("shapes", "shape-8-x") == (registry.entry("shapes", "shape"), ["8", "x"])
    assert registry.load("shapes", "shape-7") == (Plain, {})
    assert registry.load("shapes", "shape_8") == (Shape, {"sides": 8})


def test_a_variant_of_a_component_without_variants_is_an_unknown_name(registry, offer):
    offer("plain", Plain)
    with pytest.raises(UnknownNameError, match=r"unknown shape 'plain-7'. Did you mean 'plain'\? Known: plain."):
        registry.load("shapes", "plain-7")


def test_create_takes_names_variants_and_mappings(registry, offer):
    offer("shape", Shape)
    assert registry.create("shape", "shape").options == Shape.Options()
    made = registry.create("shapes", {"name": "shape-5", "colour": "blue"})
    assert (made.name, made.options.sides, made.options.colour) == ("shape-5", 5, "blue")
    assert registry.create("shapes", {"name": "shape", "sides": 4}, sides=6).options.sides == 6
    assert registry.create("shapes", {"name": "shape-5", "sides": 5}).options.sides == 5


@pytest.mark.parametrize(
    "spec, message",
    [
        (
            {"name": "shape-5", "sides": 4},
            "the name 'shape-5' says sides=5, but the option 'shape.sides' is 4",
        ),
        ({"name": "shape", "side": 4}, r"unknown option 'shape.side'. Did you mean 'sides'\?"),
        ("shape-2", "option 'shape.sides' is 2: must be 3 or more"),
        ({"sides": 4}, "a shape needs a name. Type 'limbeck list shapes'"),
        ("shap", r"unknown shape 'shap'. Did you mean 'shape'\? Known: shape. Type 'limbeck list shapes'"),
        ("nobody:shape", "unknown shape 'nobody:shape'"),
    ],
)
def test_create_refuses_in_one_line(registry, offer, spec, message):
    offer("shape", Shape)
    with pytest.raises(UsageError, match=message) as caught:
        registry.create("shapes", spec)
    assert "\n" not in str(caught.value)


def test_options_of_an_application_s_component_are_called_by_its_name(registry, offer):
    offer("oldest", Shape, kind="forget_policies")
    with pytest.raises(UsageError, match=r"unknown option 'oldest\.side'\. Did you mean 'sides'\?"):
        registry.create("forget_policies", {"name": "oldest", "side": 4})


def test_an_unknown_kind_names_the_closest(registry):
    with pytest.raises(UnknownNameError, match=r"unknown kind 'shpes'. Did you mean 'shapes'\?"):
        registry.names("shpes")


@pytest.mark.parametrize("target", [Options, "json:dumps", "collections:OrderedDict"])
def test_only_components_are_loaded(registry, offer, target):
    offer("odd", target)
    with pytest.raises(PluginError, match=r"shape 'limbeck:odd' is .*, not a class that derives from"):
        registry.load("shapes", "odd")


@pytest.mark.parametrize(
    "facts, command",
    [
        ({"extra": "continual"}, r"pip install 'limbeck\[continual\]'"),
        ({"extra": "fast", "distribution": "third-party"}, r"pip install 'third-party\[fast\]'"),
        ({"distribution": "third-party"}, "pip install third-party"),
        ({"distribution": "mine.py", "version": ""}, "pip install absent_library"),
    ],
)
def test_a_missing_library_says_what_to_install(registry, offer, importable, facts, command):
    (importable / "needy.py").write_text("import absent_library.core\n")
    offer("needy", "needy:Needy", **facts)
    with pytest.raises(MissingExtraError, match=f"shape 'needy' needs 'absent_library', .* Type: {command}$"):
        registry.load("shapes", "needy")


@pytest.mark.parametrize(
    "code, target, reason",
    [
        ("1 / 0", "faulty:Faulty", r"it raised ZeroDivisionError: division by zero \(faulty.py, line 1\)"),
        ("", "faulty:Faulty", "looks for 'Faulty', which the module 'faulty' does not have"),
        ("", "faulty.part:Faulty", "it raised ModuleNotFoundError"),
    ],
)
def test_a_target_that_does_not_load_is_one_line_with_its_owner(registry, offer, importable, code, target, reason):
    (importable / "faulty.py").write_text(f"{code}\n")
    offer("faulty", target, distribution="third-party")
    with pytest.raises(PluginError, match=f"the shape 'faulty' of third-party 1.0 could not be loaded: .*{reason}"):
        registry.load("shapes", "faulty")


def test_strict_shows_the_error_of_a_target(registry, offer, importable, monkeypatch):
    (importable / "faulty.py").write_text("1 / 0\n")
    offer("faulty", "faulty:Faulty", distribution="third-party")
    monkeypatch.setenv("LIMBECK_STRICT", "1")
    with pytest.raises(ZeroDivisionError) as caught:
        registry.load("shapes", "faulty")
    assert caught.value.__notes__ == ["while loading the shape 'faulty' of third-party 1.0"]


def test_a_resource_is_a_package_file_a_path_or_a_mapping(registry, offer, importable):
    package = importable / "boxed"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "one.yaml").write_text("a: 1\n")
    offer("packaged", "boxed:one.yaml")
    offer("text_path", str(package / "one.yaml"))
    offer("path", package / "one.yaml")
    offer("mapping", {"a": 1})
    assert {registry.resource("shapes", name) for name in registry.names("shapes")} == {"a: 1\n"}
    offer("absent", "boxed:two.yaml", distribution="third-party")
    with pytest.raises(PluginError, match=r"the shape 'absent' of third-party 1.0 could not be loaded"):
        registry.resource("shapes", "absent")
    with pytest.raises(UnknownNameError, match="unknown shape 'path-two'"):
        registry.resource("shapes", "path-two")


def test_what_a_stored_set_needs_names_the_distribution_to_install(registry, offer):
    offer("plain", Plain)
    offer("round", Plain, distribution="third-party")
    here = [
        {"kind": "shapes", "name": "plain", "distribution": "limbeck"},
        {"kind": "shapes", "name": "round", "distribution": "Third_Party"},
    ]
    registry.require(here)
    for owner, how in [
        ("other-party", "Type: pip install other-party"),
        ("mine.py", "Give it with --plugin mine.py"),
    ]:
        with pytest.raises(MissingExtraError, match=f"the set needs the shape 'plain' of {owner}, .* {how}$"):
            registry.require([*here, {"kind": "shapes", "name": "plain", "distribution": owner}])
