"""Checks of methods, commands, and of what plugins import at every start."""

from __future__ import annotations

import pytest

from limbeck.plugins import load_installed, using
from limbeck.testing import check

METHOD = {
    "title": "It",
    "summary": "a method (unpublished)",
    "settings": {
        "network": "convnet-d1-w4-in",
        "source": {"name": "fresh"},
        "matcher": {"name": "distribution"},
        "budget": {"iterations": 3},
    },
    "profiles": {"small": [{"set": {"budget": {"iterations": 2}}, "deviations": ["iterations 3 -> 2"]}]},
}
SMALL = METHOD["profiles"]["small"][0]
BROKEN = {
    "Its file is YAML with a title, a summary and settings that are known": {"setings": {}},
    "Every rule of every profile makes a run that could be started": {
        "profiles": {"published": [{"when": {"ipc": "10.."}, "set": {"matcher": {"name": "distributon"}}}]}
    },
    "Published figures stand in the published profile, each with its source": {
        "profiles": {"small": [{**SMALL, "figure": {"accuracy": 50, "source": "a table"}}]}
    },
    "Profiles that change published settings say how they deviate": {
        "profiles": {"small": [{"set": {"budget": {"iterations": 2}}}]}
    },
    "The file and the registration name the same paper": {"paper": "arXiv:2110.04181"},
    "It says where it was published": {"summary": "a method"},
}


@pytest.fixture
def failed(limbeck_plugin, tmp_path):
    """Offer a method "it" of these settings, and return the titles of the checks that fail."""

    def run(settings):
        head = "import limbeck\n\n@limbeck.hookimpl\ndef register_methods(register):\n"
        (tmp_path / "it.py").write_text(f"{head}    register('it', {settings!r}, summary='it')\n")
        limbeck_plugin(tmp_path / "it.py")
        return [one.check for one in check("method", "it") if one.status == "failed"]

    return run


def test_a_good_method_passes(failed):
    assert failed(METHOD) == []


@pytest.mark.parametrize("title", BROKEN)
def test_a_broken_method_is_found(failed, title):
    found = failed({**METHOD, **BROKEN[title]})
    assert title in found
    assert len(found) == 1 or "settings that are known" in title


INIT = """
    from limbeck import hookimpl
    {imports}

    @hookimpl
    def register_commands(register):
        register("it", "commands_of_it:it", summary="it")
"""
COMMAND = """
    import click
    {imports}

    @click.command("it")
    @click.option("--size"{help})
    def it(size):
        {docstring}
"""


def outcomes_of(distribution, importable, **parts):
    given = {"init": "", "command": "", "help": ', help="How large."', "docstring": '"""Do it."""', **parts}
    distribution(
        "limbeck-it",
        it_plugin=INIT.format(imports=given["init"]),
        commands_of_it=COMMAND.format(imports=given["command"], help=given["help"], docstring=given["docstring"]),
    )
    (importable / "limbeck_it-1.0.dist-info" / "entry_points.txt").write_text("[limbeck]\nit = it_plugin\n")
    with using(load_installed()):
        return {one.check: one for one in check("command", "it") if one.status != "passed"}


def test_a_good_command_passes(distribution, importable):
    assert outcomes_of(distribution, importable) == {}


@pytest.mark.parametrize(
    ("part", "title"),
    [
        ({"init": "import numpy"}, "Its plugin's module, loaded at every start, imports no heavy library"),
        ({"command": "import numpy"}, "Its help page imports no heavy library"),
        ({"help": ""}, "Every option has a help text"),
        ({"docstring": "return"}, "It has a description of its own"),
    ],
)
def test_a_broken_command_is_found(distribution, importable, part, title):
    found = outcomes_of(distribution, importable, **part)
    assert [(name, one.status) for name, one in found.items()] == [(title, "failed")]


@pytest.mark.parametrize(
    ("kind", "title"),
    [("commands", "It is a click command"), ("applications", "It is a module that can be imported")],
)
def test_what_is_of_another_kind_is_found(limbeck_plugin, tmp_path, kind, title):
    head = f"import limbeck\n\n@limbeck.hookimpl\ndef register_{kind}(register):\n"
    (tmp_path / "it.py").write_text(f"{head}    register('it', len, summary='it')\n")
    limbeck_plugin(tmp_path / "it.py")
    assert title in [one.check for one in check(kind, "it") if one.status == "failed"]
