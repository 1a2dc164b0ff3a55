"""Names that cannot be plugins' names, or are taken, are refused in one line and nothing is written."""

from __future__ import annotations

import pytest


@pytest.fixture
def new(limbeck):
    def run(name, *options, kind="matcher"):
        return limbeck("plugins", "new", name, "--kind", kind, *options)

    return run


@pytest.mark.parametrize("name", ["My", "1st", "a b", "a__b", "-x", "a.b", "../up", "class", "none", "é", ""])
def test_names_that_cannot_be(new, name, tmp_path):
    status, out, err = new("--", name) if name.startswith("-") else new(name)
    assert (status, out) == (2, "")
    assert err.startswith("limbeck: error: ") and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("gradient", "matcher", "there is a matcher 'gradient' already, of limbeck"),
        ("k-center", "selectors", "there is a selector 'k_center' already"),
        ("limbeck-gradient", "matcher", "there is a matcher 'gradient' already"),
        ("distill", "command", "there is a command 'distill' already"),
        ("fresh", "matchr", "unknown kind 'matchr'. Did you mean 'matchers'?"),
    ],
)
def test_names_that_are_taken(new, tmp_path, name, kind, said):
    status, out, err = new(name, kind=kind)
    assert (status, out) == (2, "")
    assert said in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_taken_within_its_kind_only(new, tmp_path):
    assert new("gradient", kind="selector")[0] == 0
    assert (tmp_path / "gradient" / "limbeck_gradient" / "selector.py").exists()


def test_a_folder_that_exists_is_left_alone(new, tmp_path):
    (tmp_path / "mine").mkdir()
    status, _, err = new("mine")
    assert status == 2
    assert "mine exists already. Choose another name, or another place with --out." in err
    assert list((tmp_path / "mine").iterdir()) == []
    assert new("mine", "--out", "elsewhere")[0] == 0
    assert (tmp_path / "elsewhere" / "mine" / "pyproject.toml").exists()


def test_a_distribution_that_is_installed(new, distribution, importable, limbeck, tmp_path):
    distribution("limbeck-mine", limbeck_mine="")
    limbeck.forget()
    status, _, err = new("mine")
    assert status == 2
    assert "'limbeck-mine' is installed already" in err and "limbeck plugins uninstall limbeck-mine" in err
    assert not (tmp_path / "mine").exists()


def test_a_kind_without_a_template(new, loose):
    hooks = """
        from limbeck.hookspecs import hookspec

        @hookspec
        def register_animals(register):
            '''Offer animals: who lives in the zoo.'''
    """
    zoo = """
        import limbeck

        @limbeck.hookimpl
        def register_applications(register):
            register("zoo", "zoo_hooks", hookspecs="zoo_hooks")
    """
    import sys

    sys.path.insert(0, str(loose(hooks, "zoo_hooks.py").parent))
    try:
        status, _, err = new("lion", "-p", str(loose(zoo, "zoo.py")), kind="animal")
    finally:
        sys.path.pop(0)
        sys.modules.pop("zoo_hooks", None)
    assert status == 2
    assert "there is no template for the kind 'animals'. There is one for: applications, " in err


@pytest.mark.parametrize(
    ("kind", "family", "said"),
    [
        ("matcher", "joint", "no family 'joint'; allowed: feature, gradient, teacher, trajectory."),
        ("selector", "gradient", "the kind 'selectors' has no family 'gradient': leave out --family."),
    ],
)
def test_a_family_that_is_not_there(new, kind, family, said):
    status, _, err = new("fresh", "--family", family, kind=kind)
    assert status == 2
    assert said in err


def test_the_family_decides_the_base_class(new, tmp_path):
    for family, base in [
        ("feature", "FeatureMatcher"),
        ("gradient", "GradientMatcher"),
        ("teacher", "TeacherMatcher"),
        ("trajectory", "TrajectoryMatcher"),
    ]:
        assert new(f"by-{family}", "--family", family)[0] == 0
        source = (tmp_path / f"by-{family}" / f"limbeck_by_{family}" / "matcher.py").read_text()
        assert f"({base}):" in source
        assert "$" not in source


def test_it_says_what_to_type_next(new):
    _, out, _ = new("mine")
    lines = [line.strip() for line in out.splitlines()]
    assert lines[0] == "wrote ./mine; now type:"
    assert "limbeck plugins install ./mine" in lines
    assert any(line.startswith("limbeck distill --matcher mine ") for line in lines)
