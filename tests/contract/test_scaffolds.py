"""A package of every kind is written, installed, checked, tested, used and removed, as its author would type it.

All packages are installed into one virtual environment that sees this one's libraries; what they do is then looked at
from this process, which spares the start of another. The tests marked slow type every line, package by package.
"""

from __future__ import annotations

import fcntl
import importlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from limbeck import templates
from limbeck.cli import main
from limbeck.plugins import load_installed, using

ROOT = Path(__file__).parents[2]
SHIPPED = load_installed().registry
KINDS = {kind: SHIPPED.kind(kind) for kind in SHIPPED.kinds() if SHIPPED.kind(kind).distribution == "limbeck"}
FOLDERS = {
    f"trial-{'-'.join(filter(None, (kind, family))).replace('_', '-')}": (kind, family)
    for kind, families in templates.kinds(SHIPPED).items()
    for family in families
    if kind in KINDS
}
GROUPS = [list(FOLDERS)[start::4] for start in range(4)]
"""Packages that are installed together: building a few at a time keeps each test short."""

LESS = {
    "distill": "--steps 2 --networks 0 --max-per-class 12 --set evaluation.protocol.epochs=2",
    "evaluate": "--no-baselines",
    "continual": "--max-per-class 12 --set retraining.epochs=2 --network convnet-d1-w4-in",
    "nas": "--images 40 --validation 20 --device cpu",
}
"""What the commands are given on top, so that they have less to do."""

MORE = {("matchers", "trajectory"): "--set optimiser.lr_lr=1.0e-8"}
"""What is given after that: in epochs of few images experts hardly move, and students find no rate of learning."""

MEASURED = ("protocols", "executors", "networks")
"""Kinds that are not used before a network is trained on the set."""

LEAVES = {
    "commands": "stdout:0: 2\n",
    "applications": "stdout:0: 0.",
    "pools": "stdout:w4",
    "observers": "best.txt:at step ",
    "importers": "manifest.json:limbeck-trial-importers",
    "executors": "config.yaml:trial_executors",
    "methods": "manifest.json:trial_methods",
    "network_sources": "manifest.json:trial_network_sources",
    "datasets": "manifest.json:trial_datasets",
    "protocols": "evaluation.json:trial_protocols",
    "continual_strategies": "table.csv:trial_continual_strategies",
    "continual_benchmarks": "study.json:trial_continual_benchmarks",
    "nas_proxies": "table.csv:trial_nas_proxies",
    "nas_searchers": "table.csv:trial_nas_searchers",
    "nas_spaces": "study.json:trial_nas_spaces",
}
"""What a use leaves behind, a file of the run folder and a part of its text; otherwise its name in the manifest."""

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("hatchling") is None, reason="building packages needs hatchling (make dev)"
)


class Environment:
    """A virtual environment that sees the libraries of the interpreter that runs the tests."""

    def __init__(self, folder):
        self.python = folder / "bin" / "python"
        self.site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))

    @classmethod
    def create(cls, folder):
        venv.create(folder, symlinks=True)
        found = cls(folder)
        here = sysconfig.get_path("purelib")
        (found.site / "this.pth").write_text(f"import site; site.addsitedir({here!r})\n")
        return found

    def run(self, *arguments, status=0, cwd=None, **variables):
        finished = subprocess.run(
            [str(self.python), "-m", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            env={**os.environ, "PIP_NO_INDEX": "1", **variables},
        )
        assert finished.returncode == status, finished.stdout + finished.stderr
        return finished.stdout


def write(name, folder):
    kind, family = FOLDERS[name]
    choice = ["--family", family] if family else []
    assert main(["plugins", "new", name, "--kind", kind, *choice, "--out", str(folder)]) == 0


def installed(group, factory):
    """Return the folder of a group's packages and the environment they are in; made once for all workers."""
    base = factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"scaffolds-{group}"
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (place / "installed.txt").exists():
            return place, Environment(place / "environment")
        for name in GROUPS[group]:
            write(name, place)
        environment = Environment.create(place / "environment")
        said = environment.run("limbeck", "plugins", "install", *(f"./{name}" for name in GROUPS[group]), cwd=place)
        (place / "installed.txt").write_text(said)
    return place, environment


@pytest.fixture
def packages(group, tmp_path_factory):
    """The folder and the environment of a group of packages."""
    return installed(group, tmp_path_factory)


@pytest.fixture
def inside(name, tmp_path_factory, monkeypatch, tmp_path):
    """The folder of one installed package; this process sees it, and stands in an empty folder."""
    [group] = [group for group, names in enumerate(GROUPS) if name in names]
    place, environment = installed(group, tmp_path_factory)
    monkeypatch.syspath_prepend(str(environment.site))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    with using(load_installed()):
        yield place / name
    for module in set(sys.modules) - before:
        if module.startswith("limbeck_trial"):
            del sys.modules[module]


def uses(folder):
    """Return the commands that a package's README says use it: the second block."""
    return re.findall(r"```sh\n(.*?)```", (folder / "README.md").read_text(), re.S)[1].splitlines()


def test_every_kind_has_a_template():
    assert {kind for kind, _ in FOLDERS.values()} == set(KINDS)


def test_every_kind_has_checks_of_its_own():
    """They lie in the package that declares the kind, and no checks lie there of a kind that it does not declare."""
    for package in {kind.package for kind in KINDS.values()}:
        folder = Path(importlib.import_module(package).__file__).parent / "testing" / "kinds"
        declared = sorted(name for name, kind in KINDS.items() if kind.package == package)
        assert sorted(path.stem for path in folder.glob("[a-z]*.py")) == declared


@pytest.mark.parametrize("group", range(len(GROUPS)))
def test_installing_says_what_is_offered(group, packages):
    said = (packages[0] / "installed.txt").read_text()
    for name in GROUPS[group]:
        shown = name if FOLDERS[name][0] == "commands" else name.replace("-", "_")
        [line] = [line for line in said.splitlines() if line.startswith(f"limbeck-{name} 0.1.0 offers the ")]
        assert f"'{shown}'" in line
    assert len(said.splitlines()) == len(GROUPS[group])


@pytest.mark.parametrize("name", FOLDERS)
def test_it_keeps_what_its_kind_promises(name, inside, capsys):
    assert main(["plugins", "check", name, "--json"]) == 0
    outcomes = json.loads(capsys.readouterr().out)
    assert {outcome["status"] for outcome in outcomes} <= {"passed", "not applicable"}
    assert sum(outcome["status"] == "passed" for outcome in outcomes) >= 5
    assert FOLDERS[name][0] in {outcome["kind"] for outcome in outcomes}


@pytest.mark.parametrize("name", FOLDERS)
def test_it_is_used_as_its_readme_says(name, inside, capsys, monkeypatch):
    monkeypatch.setattr("limbeck.report.write_report", lambda folder: None)
    kind = FOLDERS[name][0]
    for line in uses(inside):
        command, *words = shlex.split(line)
        if command != "limbeck":
            subprocess.run([sys.executable, *words] if command == "python" else [command, *words], check=True)
            continue
        less = f"{LESS.get(words[0], '')} {MORE.get(FOLDERS[name], '')}"
        if kind in MEASURED:
            less = less.replace("--networks 0", "--networks 1 --set evaluation.baselines=false")
        assert main([*words, *shlex.split(less)]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    file, _, text = LEAVES.get(kind, f"manifest.json:limbeck-{name}").partition(":")
    found = said if file == "stdout" else (Path("runs") / name.replace("-", "_") / file).read_text()
    assert text in found


@pytest.mark.parametrize("name", FOLDERS)
def test_its_own_tests_pass(name, inside):
    without = [part for plugin in ("cacheprovider", "xdist", "cov") for part in ("-p", f"no:{plugin}")]
    options = ["-q", *without, "--import-mode=importlib", "-W", "error", "--rootdir", str(inside)]
    seen = Reports()
    assert pytest.main([*options, str(inside)], [seen]) == 0
    assert set(seen.outcomes) == {"passed"} and len(seen.outcomes) >= 2


class Reports:
    """How the tests of a run within this one ended."""

    def __init__(self):
        self.outcomes = []

    def pytest_runtest_logreport(self, report):
        if report.when == "call":
            self.outcomes.append(report.outcome)


@pytest.mark.parametrize("group", range(len(GROUPS)))
def test_what_is_written_is_well_formatted(group, packages):
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent))
    if ruff is None:
        pytest.skip("ruff is not installed (make dev)")
    for command in (["check", "--extend-select", "I,UP,B,RUF,SIM,PTH"], ["format", "--check"]):
        words = [ruff, *command, "--no-cache", *GROUPS[group]]
        finished = subprocess.run(words, capture_output=True, text=True, check=False, cwd=packages[0])
        assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.mark.parametrize("group", range(len(GROUPS)))
def test_all_are_removed_and_gone_from_the_listing(group, packages, tmp_path):
    shutil.copytree(packages[0] / "environment", tmp_path / "environment", symlinks=True)
    environment = Environment(tmp_path / "environment")
    listed = json.loads(environment.run("limbeck", "plugins", "--json"))["plugins"]
    assert {plugin["distribution"] for plugin in listed} >= {f"limbeck-{name}" for name in GROUPS[group]}
    said = environment.run("limbeck", "plugins", "uninstall", *GROUPS[group])
    assert said.splitlines() == [f"limbeck-{name} is uninstalled" for name in GROUPS[group]]
    after = json.loads(environment.run("limbeck", "plugins", "--json"))
    assert [p["name"] for p in after["plugins"] if "trial" in p["name"]] == []
    assert after["failures"] == []


def test_templates_are_in_the_wheel():
    """The wheel is built from whole packages, so that it holds what is not Python too."""
    from hatchling.builders.wheel import WheelBuilder

    shipped = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    rooms = [ROOT / "core", ROOT / "applications"]
    written = [p.relative_to(r).as_posix() for r in rooms for p in r.rglob("templates/**/*.t*") if p.is_file()]
    assert len(written) > 3 * len(FOLDERS)
    assert [path for path in written if path not in shipped] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLDERS)
def test_a_day_with_one_package(name, tmp_path):
    """Every line is typed, in processes of their own."""
    environment = Environment.create(tmp_path / "environment")
    kind, family = FOLDERS[name]
    choice = ["--family", family] if family else []
    environment.run("limbeck", "plugins", "new", name, "--kind", kind, *choice, cwd=tmp_path)
    environment.run("limbeck", "plugins", "check", f"./{name}", cwd=tmp_path)
    environment.run("limbeck", "plugins", "install", f"./{name}", cwd=tmp_path)
    environment.run("limbeck", "plugins", "check", name, cwd=tmp_path)
    environment.run("pytest", "-q", "-p", "no:cacheprovider", name, cwd=tmp_path)
    for line in uses(tmp_path / name):
        command, *words = shlex.split(line)
        module = ["limbeck", *words, "--networks", "1"] if words[0] in ("distill", "evaluate") else [command, *words]
        if command == "python":
            subprocess.run([str(environment.python), *words], check=True, cwd=tmp_path)
        else:
            environment.run(*module, cwd=tmp_path)
    environment.run("limbeck", "plugins", "uninstall", name, cwd=tmp_path)
    assert "trial" not in environment.run("limbeck", "plugins", cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("group", range(len(GROUPS)))
def test_what_is_written_is_typed(group, packages):
    place, environment = packages
    sources = [str(path) for name in GROUPS[group] for path in (place / name).glob("limbeck_*")]
    environment.run(
        "mypy", "--strict", "--cache-dir", str(place / "mypy"), "--ignore-missing-imports", *sources, cwd=place
    )
