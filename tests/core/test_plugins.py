"""Plugins are found, isolated when they are broken, and never depend on their order."""

from __future__ import annotations

import pytest

from limbeck.errors import PluginError, UnknownNameError, UsageError
from limbeck.plugins import load_installed

GOOD = """
    from limbeck import hookimpl
    from limbeck.component import Component

    class Good(Component):
        pass

    @hookimpl
    def register_matchers(register):
        register("good", f"{__name__}:Good", summary="works")
"""

BROKEN = {
    "raises on import": ("raise OSError('no disk')", "raised OSError: no disk (BROKEN, line 2)"),
    "leaves on import": ("import sys; sys.exit(3)", "raised SystemExit: 3"),
    "does not parse": ("def register_matchers(:", "raised SyntaxError"),
    "misspelt hook": (
        """
        @hookimpl
        def register_matcher(register):
            register("late", "nowhere:Late")
        """,
        "implements the hook 'register_matcher', which does not exist; did it mean 'register_matchers'?",
    ),
    "keyword-only": (
        """
        @hookimpl
        def before_run(*, run):
            pass
        """,
        "implements the hook 'before_run' with the parameter 'run', which is keyword-only",
    ),
    "starred": (
        """
        @hookimpl
        def before_run(**values):
            pass
        """,
        "the parameter '**values', which is keyword-only or starred",
    ),
    "wrapper": (
        """
        @hookimpl(wrapper=True)
        def before_run(run):
            yield
        """,
        "implements the hook 'before_run' as a wrapper",
    ),
    "unknown parameter": (
        """
        @hookimpl
        def after_steps(first, speed):
            pass
        """,
        "with the parameter 'speed'; it has first, last, losses, seconds",
    ),
    "raises midway": (
        """
        @hookimpl
        def register_matchers(register):
            register("late", "nowhere:Late")
            raise KeyError("midway")
        """,
        "raised KeyError: 'midway' (BROKEN, line 6)",
    ),
    "no hooks": ("def register_matchers(register): pass", "implements no hook; mark its functions"),
    "bad name": (
        """
        @hookimpl
        def register_matchers(register):
            register("late", "nowhere:Late")
            register("two words", "nowhere:Late")
        """,
        "offers 'two words' in register_matchers; a name is letters",
    ),
    "bad target": (
        """
        @hookimpl
        def register_matchers(register):
            register("late", "nowhere.Late")
        """,
        "offers 'late' as 'nowhere.Late'; a target is written 'module:Name'",
    ),
    "unknown keyword": (
        """
        @hookimpl
        def register_matchers(register):
            register("late", "nowhere:Late", colour="red")
        """,
        "raised TypeError",
    ),
    "hookspecs of no application": (
        """
        @hookimpl
        def register_matchers(register):
            register("late", "nowhere:Late", hookspecs="nowhere")
        """,
        "with hookspecs, which only applications may have",
    ),
    "hookspecs that are missing": (
        """
        @hookimpl
        def register_applications(register):
            register("late", "nowhere", hookspecs="nowhere.hookspecs")
        """,
        "raised ModuleNotFoundError: No module named 'nowhere'",
    ),
}


def source(body):
    return "from limbeck import hookimpl\n" + "\n".join(line.removeprefix(" " * 8) for line in body.split("\n"))


def shipped_names(registry):
    return {
        kind: [name for name, entry in registry.entries(kind).items() if entry.is_shipped] for kind in registry.kinds()
    }


@pytest.mark.parametrize("body, reason", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("place", ["installed", "loose"])
def test_a_broken_plugin_is_listed_and_stops_nothing(place, body, reason, distribution, importable, loose):
    before = shipped_names(load_installed().registry)
    distribution("good-plugin", good_plugin=GOOD)
    if place == "installed":
        distribution("broken-plugin", broken_plugin=source(body))
        registry = load_installed().registry
        name, owner, file = "broken_plugin", "broken-plugin", "broken_plugin.py"
    else:
        loader = load_installed()
        loader.load_files([loose(source(body), "broken.py")])
        registry = loader.registry
        name, owner, file = "broken", "broken.py", "broken.py"
    failure = next(f for f in registry.failures if f.name == name)
    assert failure.distribution == owner
    assert reason.replace("BROKEN", file) in failure.reason
    assert registry.names("matchers").count("good") == 1
    assert "late" not in registry.names("matchers") + registry.names("applications")
    assert name not in [plugin.name for plugin in registry.plugins]
    assert shipped_names(registry) == before


@pytest.mark.parametrize("body, reason", BROKEN.values(), ids=BROKEN)
def test_strict_raises_what_isolation_would_record(body, reason, loose, monkeypatch):
    monkeypatch.setenv("LIMBECK_STRICT", "1")
    loader = load_installed()
    with pytest.raises((Exception, SystemExit)) as caught:
        loader.load_files([loose(source(body), "broken.py")])
    told = [str(caught.value), *getattr(caught.value, "__notes__", [])]
    assert any("the plugin 'broken' (broken.py)" in line for line in told)


def test_a_shipped_name_is_never_displaced(distribution, importable):
    distribution(
        "pushy",
        pushy="""
        from limbeck import hookimpl

        @hookimpl
        def register_matchers(register):
            register("gradient", "pushy:Mine")
            register("other", "pushy:Mine")
        """,
    )
    registry = load_installed().registry
    assert registry.entry("matchers", "gradient").distribution == "limbeck"
    assert registry.entry("matchers", "other").distribution == "pushy"
    [failure] = registry.failures
    assert failure.offers == (("matchers", "gradient"),)
    assert "offers the matcher 'gradient', a name that ships with Limbeck" in failure.reason
    with pytest.raises(UnknownNameError, match="offered by the plugin 'pushy'"):
        registry.entry("matchers", "pushy:gradient")


def test_strict_refuses_a_shipped_name(loose, monkeypatch):
    monkeypatch.setenv("LIMBECK_STRICT", "1")
    with pytest.raises(PluginError, match=r"the plugin 'mine' \(mine.py\) offers the matcher 'gradient'"):
        load_installed().load_files([loose(GOOD.replace('"good"', '"gradient"'))])


def test_a_name_of_two_third_parties_is_withdrawn_and_can_be_chosen(distribution, importable):
    distribution("party-one", party_one=GOOD)
    distribution("party-two", party_two=GOOD)
    registry = load_installed().registry
    ours = [name for name in registry.names("matchers") if name.endswith("good")]
    assert ours == ["party-one:good", "party-two:good"]
    with pytest.raises(UnknownNameError, match=r"party-one 1.0 and party-two 1.0; ask for 'party-one:good' or"):
        registry.load("matchers", "good")
    assert registry.load("matchers", "party-two:good")[0].__module__ == "party_two"
    assert registry.load("matchers", "Party_One:good")[0].__module__ == "party_one"
    assert {failure.distribution for failure in registry.failures} == {"party-one", "party-two"}


def test_one_distribution_offering_a_name_twice_keeps_the_first(loose):
    loader = load_installed()
    loader.load_files([loose(GOOD + '        register("good", f"{__name__}:Other")\n')])
    assert loader.registry.entry("matchers", "good").target.endswith(":Good")
    assert "twice" in loader.registry.failures[-1].reason


def test_nothing_depends_on_the_order_of_loading(loose):
    first = loose(GOOD, "one/mine.py")
    second = loose(GOOD.replace('"good"', '"better"'), "two/yours.py")

    def outcome(files):
        loader = load_installed()
        loader.load_files(files)
        return loader.registry.entries("matchers"), loader.registry.plugins

    assert outcome([first, second]) == outcome([second, first])


def test_loose_files_of_one_name_are_told_apart(loose):
    loader = load_installed()
    files = [loose(GOOD, "one/mine.py"), loose(GOOD.replace('"good"', '"better"'), "two/mine.py")]
    loader.load_files(files)
    owners = {plugin.distribution for plugin in loader.registry.plugins if plugin.name == "mine"}
    assert owners == {str(file) for file in files}
    better, _ = loader.registry.load("matchers", "better")
    good, _ = loader.registry.load("matchers", "good")
    assert better.__module__ != good.__module__


def test_a_loose_file_is_loaded_once_and_must_exist(loose, tmp_path):
    loader = load_installed()
    file = loose(GOOD)
    loader.load_files([file, file])
    loader.load_files([str(file)])
    assert loader.registry.failures == []
    assert list(loader.files) == [file]
    with pytest.raises(UsageError, match=r"the plugin file .*nope.py does not exist"):
        loader.load_files([tmp_path / "nope.py"])


def test_two_entry_points_of_one_name_are_reported(site, importable, distribution):
    distribution("double", double=GOOD, twin=GOOD.replace('"good"', '"late"'))
    points = site / "double-1.0.dist-info" / "entry_points.txt"
    points.write_text("[limbeck]\ndouble = double\ndouble = twin\n")
    registry = load_installed().registry
    assert "second entry point of this name" in registry.failures[0].reason
    assert "late" not in registry.names("matchers")


def test_asking_for_what_a_broken_plugin_offered_names_it(loose):
    loader = load_installed()
    loader.load_files([loose(source(BROKEN["raises midway"][0]), "broken.py")])
    with pytest.raises(UnknownNameError, match=r"'late' is offered by the plugin 'broken' \(broken.py\), which raised"):
        loader.registry.load("matchers", "late")
    with pytest.raises(UnknownNameError, match="left out that may offer it: broken; 'limbeck plugins' says why"):
        loader.registry.load("matchers", "unheard")


@pytest.mark.parametrize(
    "value, loaded, skipped, failed",
    [
        (None, {"party-one", "party-two"}, [], []),
        ("", set(), ["party-one", "party-two"], []),
        ("party_two", {"party-two"}, ["party-one"], []),
        ("party-one, nobody", {"party-one"}, ["party-two"], ["nobody"]),
    ],
)
def test_limbeck_plugins_restricts_third_parties(value, loaded, skipped, failed, distribution, importable, monkeypatch):
    distribution("party-one", party_one=GOOD)
    distribution("party-two", party_two=GOOD.replace('"good"', '"better"'))
    if value is not None:
        monkeypatch.setenv("LIMBECK_PLUGINS", value)
    registry = load_installed().registry
    assert {plugin.distribution for plugin in registry.plugins} == {"limbeck", *loaded}
    assert registry.skipped == skipped
    assert [failure.name for failure in registry.failures] == failed
    if skipped:
        with pytest.raises(UnknownNameError, match="LIMBECK_PLUGINS leaves out: party"):
            registry.entry("matchers", "unheard")


APPLICATION = """
    from limbeck import hookimpl

    @hookimpl
    def register_applications(register):
        register("zoo", "zoo_plugin", hookspecs="zoo_hookspecs")

    @hookimpl
    def register_zoo_animals(register):
        register("cat", "zoo_plugin:Cat")
"""
HOOKSPECS = '''
    from limbeck.hookspecs import hookspec

    @hookspec
    def register_zoo_animals(register):
        """Offer animals: who lives in the zoo."""
'''
FILLER = """
    from limbeck import hookimpl

    @hookimpl
    def register_zoo_animals(register):
        register("dog", "filler:Dog")
"""


def test_an_application_declares_a_kind_that_others_fill(distribution, importable, loose):
    distribution("zoo", zoo_plugin=APPLICATION, points={"zoo": "zoo_plugin"})
    (importable / "zoo_hookspecs.py").write_text(HOOKSPECS.replace("\n    ", "\n"))
    distribution("a-filler", a_filler=FILLER)  # sorted before the application that declares the kind
    loader = load_installed()
    loader.load_files([loose(FILLER.replace('"dog"', '"eel"'))])
    registry = loader.registry
    assert registry.failures == []
    assert registry.names("zoo-animal") == ["cat", "dog", "eel"]
    assert registry.kind("zoo_animals").summary == "who lives in the zoo"
    assert registry.kind("zoo_animals").distribution == "zoo"
    assert registry.entry("zoo_animals", "dog").distribution == "a-filler"


def test_a_hook_of_an_absent_application_is_an_error_of_its_plugin_alone(loose):
    loader = load_installed()
    loader.load_files([loose(FILLER)])
    assert "'register_zoo_animals', which does not exist" in loader.registry.failures[0].reason


@pytest.mark.parametrize(
    "hook, reason",
    [
        ("register_matchers", "declares the kind 'matchers', which limbeck declares already"),
        (
            "before_feeding",
            "declares the hook 'before_feeding'; an application declares register_<kind> only",
        ),
    ],
)
def test_an_application_cannot_redeclare_or_add_other_hooks(hook, reason, distribution, importable):
    distribution("zoo", zoo_plugin=APPLICATION, points={"zoo": "zoo_plugin"})
    specs = HOOKSPECS.replace("register_zoo_animals", hook).replace("\n    ", "\n")
    (importable / "zoo_hookspecs.py").write_text(specs)
    registry = load_installed().registry
    assert [failure.reason for failure in registry.failures] == [reason]
    assert "zoo" not in registry.names("applications")
