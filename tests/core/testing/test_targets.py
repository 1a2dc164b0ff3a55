"""``limbeck plugins check TARGET``: what it may be pointed at, what it prints, and its exit status."""

from __future__ import annotations

import json
import shutil

import pytest

from limbeck.cli import main

GOOD = '''
import limbeck
from limbeck.synthetic import Formation


class Same(Formation):
    """The stored images."""

    def expand(self, images, labels, group, phase):
        return images, labels, group


@limbeck.hookimpl
def register_formations(register):
    register("same", Same, summary="the stored images")
'''
BAD = GOOD.replace("return images, labels", "return images.double(), labels").replace('"same"', '"other"')


HOLLOW = """
import limbeck


@limbeck.hookimpl
def register_formations(register):
    register("fresh", "limbeck_fresh:Nothing", summary="nothing")
"""


@pytest.fixture
def run(capsys, monkeypatch, tmp_path, limbeck_registry):
    """Run ``limbeck plugins check`` in an empty folder: status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def check(*arguments):
        status = main(["plugins", "check", *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return check


def test_a_file_that_keeps_its_promises(run, loose):
    loose(GOOD, "mine.py")
    status, out, err = run("mine.py")
    assert (status, err) == (0, "")
    rows = [line.split("  ") for line in out.splitlines()]
    assert rows[0][0] == "component"
    assert {row[0] for row in rows[1:]} == {"formation same"}
    assert "more" in out.splitlines()[-1] and "passed" in out.splitlines()[-1]
    assert "failed" not in out


def test_a_file_that_does_not(run, loose):
    loose(BAD, "mine.py")
    status, out, _ = run("mine.py")
    assert status == 1
    [line] = [line for line in out.splitlines() if "failed" in line]
    assert "Training images have the type of the stored ones" in line
    assert "torch.float32 becomes torch.float64" in line


def test_all_rows_on_request_and_as_json(run, loose):
    loose(GOOD, "mine.py")
    _, everything, _ = run("mine.py", "--all")
    _, text, _ = run("mine.py", "--json")
    outcomes = json.loads(text)
    assert len(everything.splitlines()) == 1 + len(outcomes)
    assert {"kind", "name", "check", "status", "reason"} == set(outcomes[0])
    assert all(outcome["reason"] for outcome in outcomes if outcome["status"] != "passed")


def test_one_component_by_kind_and_name(run):
    status, out, _ = run("formation/identity")
    assert status == 0
    assert "formation identity" in out


def test_a_variant_is_checked_as_the_variant(run):
    status, out, _ = run("network/convnet-d1-w4-bn", "--json")
    assert status == 0
    assert {outcome["name"] for outcome in json.loads(out)} == {"convnet-d1-w4-bn"}


def test_a_file_that_cannot_be_loaded(run, loose):
    loose("import nowhere_to_be_found\n", "mine.py")
    status, out, _ = run("mine.py")
    assert status == 1
    assert "nowhere_to_be_found" in out and "Limbeck loads the plugin" in out


@pytest.fixture
def package(run, tmp_path):
    """A package in the folder ``fresh``, with a formation."""
    assert main(["plugins", "new", "fresh", "--kind", "formation"]) == 0
    return tmp_path / "fresh"


def test_a_folder_is_checked_as_it_is(run, package):
    source = package / "limbeck_fresh" / "formation.py"
    assert run("./fresh")[0] == 0
    source.write_text(source.read_text().replace("labels, group\n", "labels.flip(0), group\n"))
    status, out, _ = run("./fresh")
    assert status == 1
    assert "Labels go where their images go" in out
    assert run("formation/identity")[0] == 0  # and leaves nothing behind
    assert run("formation/fresh")[0] == 2


def test_a_folder_takes_the_place_of_an_installed_version(run, package, distribution, importable):
    """What is installed is broken; the folder is not."""
    distribution("limbeck-fresh", limbeck_fresh=HOLLOW)
    from limbeck.plugins import load_installed, using

    with using(load_installed()):
        assert run("limbeck-fresh")[0] == 1
        assert run("fresh")[0] == 1  # a name without a slash is what is installed
        assert run("./fresh")[0] == 0
        assert run("limbeck-fresh")[0] == 1


def test_a_package_below_src(run, package):
    (package / "src").mkdir()
    shutil.move(package / "limbeck_fresh", package / "src" / "limbeck_fresh")
    assert run("./fresh")[0] == 0


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nothing", "unknown plugin distribution 'nothing'"),
        ("./nothing", "nothing is no package: it holds no pyproject.toml"),
        ("nothing.py", "the plugin file nothing.py does not exist"),
        ("formation/identiti", "unknown formation 'identiti'. Did you mean 'identity'?"),
        ("formatio/identity", "unknown kind 'formatio'. Did you mean 'formations'?"),
        ("./plain", "plain/pyproject.toml has no entry point of the group 'limbeck'"),
        ("./torn", "torn/pyproject.toml is no valid TOML"),
    ],
)
def test_what_cannot_be_checked_is_one_line(run, tmp_path, target, said):
    for name, text in {"plain": '[project]\nname = "plain"\n', "torn": "[project\n"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyproject.toml").write_text(text)
    status, out, err = run(target)
    assert (status, out) == (2, "")
    assert err.startswith("limbeck: error: ") and err.count("\n") == 1
    assert said in err
