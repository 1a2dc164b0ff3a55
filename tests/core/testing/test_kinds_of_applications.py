"""An application brings checks and templates for its own kinds: they lie in the package that declares them."""

from __future__ import annotations

import textwrap

import pytest

from limbeck import templates
from limbeck.cli import main
from limbeck.errors import UsageError
from limbeck.plugins import load_installed, using
from limbeck.testing import check
from limbeck.testing.suite import module_of

FILES = {
    "__init__": """
        from limbeck import hookimpl

        @hookimpl
        def register_applications(register):
            register("zoo", "zoo", summary="where animals live", hookspecs="zoo.hookspecs")

        @hookimpl
        def register_zoo_animals(register):
            register("cat", "zoo.animals:Cat", summary="purrs")
            register("snake", "zoo.animals:Snake", summary="hisses")
    """,
    "hookspecs": '''
        from limbeck.hookspecs import hookspec

        @hookspec
        def register_zoo_animals(register):
            """Offer animals: who lives in the zoo."""
    ''',
    "animals": '''
        from limbeck.component import Component

        class Animal(Component):
            """Somebody with legs."""

            legs = 4

        class Cat(Animal):
            """Purrs."""

        class Snake(Animal):
            """Hisses."""

            legs = 0
    ''',
    "testing/__init__": "",
    "testing/kinds/__init__": "",
    "testing/kinds/zoo_animals": '''
        from limbeck.testing.suite import require
        from zoo.animals import Animal

        BASE = Animal

        def has_legs(subject):
            """It has legs."""
            require(subject.cls.legs > 0, "it has none")

        CHECKS = (has_legs,)
    ''',
}
TEMPLATE = {
    "template.toml": 'summary = "an animal"\nuse = "limbeck show zoo_animal $name"\n',
    "test.py.txt": "def test_it(conformance):\n    conformance('zoo_animal', '$name')\n",
    "PACKAGE/zoo_animal.py.txt": 'from zoo.animals import Animal\n\n\nclass $Class(Animal):\n    """New."""\n',
}


@pytest.fixture
def zoo(distribution, importable):
    """A registry with an application of a third party; ``zoo(left_out)`` leaves files out."""

    def load(*left_out, **changed):
        distribution("zoo", points={"zoo": "zoo"})
        for name, text in {**FILES, **changed}.items():
            if not name.startswith(left_out or ("nothing",)):
                path = importable / "zoo" / f"{name}.py"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(textwrap.dedent(text))
        return load_installed()

    return load


def with_template(site):
    for name, text in TEMPLATE.items():
        path = site / "zoo" / "templates" / "zoo_animals" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_component_is_asked_what_its_application_asks(zoo):
    with using(zoo()):
        cat, snake = ({o.check: o for o in check("zoo_animals", name)} for name in ("cat", "snake"))
    assert (cat["It has legs"].status, snake["It has legs"].status) == ("passed", "failed")
    assert snake["It has legs"].reason == "it has none"
    derived = "It derives from the base class of its kind and defines what that leaves open"
    assert cat[derived].status == "passed"


def test_the_base_class_is_the_applications(zoo):
    changed = {"animals": FILES["animals"].replace("class Cat(Animal)", "class Cat(Component)")}
    with using(zoo(**changed)):
        [outcome] = [o for o in check("zoo_animals", "cat") if o.check.startswith("It derives from")]
    assert (outcome.status, outcome.reason) == ("failed", "Cat does not derive from zoo.animals.Animal")


def test_an_application_without_checks_is_asked_what_all_are(zoo):
    with using(zoo("testing")):
        assert module_of("zoo_animals") is None
        outcomes = check("zoo_animals", "cat")
    assert {o.status for o in outcomes} == {"passed"} and len(outcomes) >= 5
    assert "It has legs" not in [o.check for o in outcomes]


def test_checks_that_cannot_be_imported_are_no_missing_checks(zoo):
    with using(zoo(**{"testing/__init__": "import no_such_library"})), pytest.raises(ModuleNotFoundError):
        module_of("zoo_animals")


def test_a_package_is_written_from_the_applications_template(zoo, importable, tmp_path, monkeypatch, capsys):
    with_template(importable)
    monkeypatch.chdir(tmp_path)
    with using(zoo()) as registry:
        assert templates.kinds(registry)["zoo_animals"] == [""]
        assert main(["plugins", "new", "dog", "--kind", "zoo_animal"]) == 0
        assert "limbeck show zoo_animal dog" in capsys.readouterr().out
        assert main(["plugins", "check", "./dog"]) == 0
    source = (tmp_path / "dog" / "limbeck_dog" / "__init__.py").read_text()
    assert "def register_zoo_animals(register" in source and '"limbeck_dog.zoo_animal:Dog"' in source
    assert "class Dog(Animal)" in (tmp_path / "dog" / "limbeck_dog" / "zoo_animal.py").read_text()


def test_a_kind_without_a_template_is_refused(zoo, tmp_path):
    with (
        using(zoo()) as registry,
        pytest.raises(UsageError, match=r"no template for the kind 'zoo_animals'.*selectors"),
    ):
        templates.write_package(registry, "dog", "zoo_animal", tmp_path)
    assert not (tmp_path / "dog").exists()
