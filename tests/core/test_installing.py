"""Installing and removing plugins: what is refused before pip is asked, and what pip's failures become."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from limbeck import installing


@pytest.fixture
def pip(monkeypatch):
    """Stand in for pip and for the fresh process: ``pip.calls``, ``pip.answer`` and ``pip.seen`` may be set."""

    class Pip:
        def __init__(self):
            self.calls, self.answer = [], (0, "", "")
            self.installed = [{"metadata": {"name": "limbeck-mine"}, "requested": True}]
            self.seen = {"plugins": [], "failures": [], "skipped": []}

        def __call__(self, command, **options):
            if "plugins" in command:
                return subprocess.CompletedProcess(command, 0, json.dumps(self.seen), "")
            self.calls.append(command[len(installing.PIP) :])
            if "--report" in command and not self.answer[0]:
                Path(command[command.index("--report") + 1]).write_text(json.dumps({"install": self.installed}))
            return subprocess.CompletedProcess(command, *self.answer)

    stand_in = Pip()
    monkeypatch.setattr("limbeck.installing.subprocess.run", stand_in)
    return stand_in


PLUGIN = {
    "name": "mine", "distribution": "limbeck-mine", "version": "0.1.0", "hooks": ["register_matchers", "after_run"],
    "offers": [{"kind": "matchers", "name": "mine"}],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A package's folder."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "pyproject.toml").write_text('[build-system]\nrequires = ["pip>=1"]\n')
    return "./mine"


def test_what_was_installed_is_told(limbeck, pip, folder):
    pip.seen = {"plugins": [PLUGIN], "failures": [], "skipped": []}
    status, out, err = limbeck("plugins", "install", folder)
    assert (status, err) == (0, "")
    assert out == "limbeck-mine 0.1.0 offers the matcher 'mine', the hook after_run\n"
    assert installing.PIP[:3] == [sys.executable, "-m", "pip"]


def test_a_folder_is_built_with_what_is_installed_here_where_that_suffices(limbeck, pip, folder, tmp_path):
    pip.seen = {"plugins": [PLUGIN], "failures": [], "skipped": []}
    limbeck("plugins", "install", folder)
    (tmp_path / "mine" / "pyproject.toml").write_text('[build-system]\nrequires = ["nowhere-to-be-found"]\n')
    limbeck("plugins", "install", "--editable", folder)
    limbeck("plugins", "install", "limbeck-mine")
    assert ["--no-build-isolation" in call for call in pip.calls] == [True, False, False]
    assert pip.calls[1][-2:] == ["--editable", "./mine"]


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ({"failures": [{"name": "mine", "distribution": "limbeck_mine", "reason": "raised X"}]}, "'mine' raised X"),
        ({"skipped": ["limbeck-mine"]}, "LIMBECK_PLUGINS leaves it out"),
        ({}, "has no entry point of the group 'limbeck': it offers nothing"),
    ],
)  # fmt: skip
def test_what_is_installed_and_of_no_use_is_an_error(limbeck, pip, folder, seen, said):
    pip.seen = {"plugins": [], "failures": [], "skipped": [], **seen}
    status, _, err = limbeck("plugins", "install", folder)
    assert status == 1
    assert err.startswith("limbeck: error: limbeck-mine is installed, but ") and said in err


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("./nothing", "there is no folder nothing"),
        (".", "holds no pyproject.toml, so it is no package. 'limbeck plugins new' writes one"),
        ("limbeck>=2", "Limbeck is installed: this command is part of it"),
    ],
)
def test_what_pip_is_not_asked(limbeck, pip, target, said):
    status, out, err = limbeck("plugins", "install", target)
    assert (status, out, pip.calls) == (2, "", [])
    assert said in err and err.count("\n") == 1


def test_a_folder_without_a_slash_is_no_package_of_a_stranger(limbeck, pip, folder):
    status, out, err = limbeck("plugins", "install", "mine")
    assert (status, out, pip.calls) == (2, "", [])
    assert "'mine' is a folder here" in err and "limbeck plugins install ./mine" in err


def test_pips_failure_is_one_line(limbeck, pip):
    pip.answer = (1, "Looking in links\n", "WARNING: slow\nERROR: No matching distribution found for mine.\n")
    status, out, err = limbeck("plugins", "install", "mine")
    assert (status, out) == (1, "")
    assert err == "limbeck: error: pip install failed: No matching distribution found for mine.\n"


def test_an_interpreter_without_pip(limbeck, monkeypatch):
    monkeypatch.setattr("limbeck.installing.importlib.util.find_spec", lambda name: None)
    status, _, err = limbeck("plugins", "install", "mine")
    assert status == 1
    assert f"{sys.executable} has no pip. Type: {sys.executable} -m ensurepip" in err


@pytest.mark.parametrize("name", ["limbeck-mine", "mine", "Limbeck_Mine"])
def test_removing_by_either_name(limbeck, pip, distribution, importable, name):
    distribution("limbeck-mine", limbeck_mine="")
    limbeck.forget()
    status, out, _ = limbeck("plugins", "uninstall", name)
    assert (status, out) == (0, "limbeck-mine is uninstalled\n")
    assert pip.calls == [["uninstall", "--quiet", "--yes", "limbeck-mine"]]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("limbeck", "'limbeck' is the tool itself"),
        ("limbeck-mime", "unknown plugin distribution 'limbeck-mime'. Did you mean 'limbeck-mine'?"),
        ("torch", "unknown plugin distribution 'torch'"),
    ],
)
def test_what_is_not_removed(limbeck, pip, distribution, importable, name, said):
    distribution("limbeck-mine", limbeck_mine="")
    status, out, err = limbeck("plugins", "uninstall", name)
    assert (status, out, pip.calls) == (2, "", [])
    assert said in err.splitlines()[-1]
