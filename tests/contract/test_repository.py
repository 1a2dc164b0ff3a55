"""Rules of the whole repository: what no file may hold, and what every package must."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LINES = 400

FORBIDDEN = {
    "torch.load": "reads pickles; add weights_only=True, or use safetensors",
    "torch.manual_seed": "moves torch's global generator; take a torch.Generator",
    "torch.cuda.manual_seed": "moves torch's global generator; take a torch.Generator",
    "torch.cuda.manual_seed_all": "moves torch's global generator; take a torch.Generator",
    "random.seed": "moves a global generator; take a torch.Generator",
    "print": "the command line prints, and only through click or rich",
    "exec": "runs a string as code",
    "eval": "runs a string as code",
    "yaml.load": "builds any object; use yaml.safe_load",
    "os.system": "runs a shell; use subprocess with a list",
}
DRAWS = re.compile(r"torch\.(rand|randn|randint|randperm|normal|bernoulli|multinomial)(_like)?")
ALLOWED = {
    "plugins/limbeck_plugins/executors/worker.py": "pickle",  # between the tool's own processes
    "core/limbeck/testing/randomness.py": "state",  # sees whether plugins move global generators, and puts them back
    # lends them to Avalanche, and puts them back
    "applications/limbeck_applications/continual/bridge/randomness.py": "global generator",
    # a generator of its own, as published orders need it
    "applications/limbeck_applications/continual/benchmarks/orders.py": "np.random.RandomState",
}


def offences(source):
    """Yield what a module's calls and raises break, each as one line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Raise) and "NotImplementedError" in ast.unparse(node):
            yield f"line {node.lineno}: raises NotImplementedError: what is not there is not offered"
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        safe = name == "torch.load" and any(
            word.arg == "weights_only" and ast.unparse(word.value) == "True" for word in node.keywords
        )
        if name in FORBIDDEN and not safe:
            yield f"line {node.lineno}: {name}: {FORBIDDEN[name]}"
        if DRAWS.fullmatch(name) and "generator" not in {word.arg for word in node.keywords}:
            yield f"line {node.lineno}: {name}: draws from torch's global generator; give it one"
        if re.match(r"(np|numpy)\.random\.|random\.\w+$", name) and name not in FORBIDDEN:
            yield f"line {node.lineno}: {name}: draws from a global generator; take a torch.Generator"
        if re.search(r"\bpickle\.loads?$", name):
            yield f"line {node.lineno}: {name}: runs what a file says; use safetensors or JSON"


def relative(path):
    return path.relative_to(ROOT).as_posix()


def test_no_module_does_what_is_forbidden():
    found = [(relative(path), line) for path in MODULES for line in offences(path.read_text())]
    assert [(path, line) for path, line in found if ALLOWED.get(path, line + "?") not in line] == []


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.manual_seed(0)",
        "torch.randn(2)",
        "torch.rand_like(images)",
        "np.random.rand(3)",
        "random.choice(names)",
        "print('done')",
        "pickle.load(stream)",
        "yaml.load(text)",
        "raise NotImplementedError('later')",
    ],
)
def test_the_rules_can_be_broken(line):
    assert len(list(offences(line))) == 1


@pytest.mark.parametrize("line", ["torch.load(path, weights_only=True)", "torch.rand(3, generator=g)", "noise.rand(2)"])
def test_the_rules_leave_the_rest_alone(line):
    assert not list(offences(line))


def test_files_stay_short():
    lengths = {relative(path): len(path.read_text().splitlines()) for path in [*MODULES, *TESTS]}
    assert {path: length for path, length in lengths.items() if length > LINES} == {}


def test_every_package_is_installed_and_checked():
    """A folder with code in it is in the wheel, in editable installs and under the type checker."""
    roots = [path for name in ("core", "plugins", "applications") for path in (ROOT / name).glob("*/__init__.py")]
    assert sorted(PACKAGES) == sorted(relative(path.parent) for path in roots)
    assert PROJECT["tool"]["hatch"]["build"]["dev-mode-dirs"] == ["core", "plugins", "applications"]
    names = {Path(package).name for package in PACKAGES}
    assert names == set(PROJECT["tool"]["mypy"]["packages"]) == set(PROJECT["tool"]["importlinter"]["root_packages"])


def test_every_folder_of_code_is_a_package():
    """A folder without ``__init__.py`` would be left out of the wheel."""
    folders = {path.parent for path in MODULES}
    assert [relative(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_every_entry_point_leads_to_a_module():
    points = PROJECT["project"]["entry-points"]["limbeck"]
    assert points
    known = {
        relative(path).partition("/")[2].removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in MODULES
    }
    assert set(points.values()) <= known


def test_every_kind_that_ships_has_a_folder_and_an_entry_point():
    folders = {path.parent.name for path in (ROOT / "plugins/limbeck_plugins").glob("*/__init__.py")}
    points = PROJECT["project"]["entry-points"]["limbeck"]
    assert folders == {name for name, module in points.items() if module.startswith("limbeck_plugins.")}


def test_versions_that_were_tested_are_pinned_and_allowed():
    """constraints.txt holds an exact version of every dependency, and no address."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = {re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower() for line in lines}
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[\w.]+", line) for line in lines)
    wanted = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["dev"]]
    names = {re.sub(r"[-_.]+", "-", re.split(r"[<>=!~\[; ]", line)[0]).lower() for line in wanted}
    assert names <= pinned


def test_the_version_is_stated_once_everywhere():
    import limbeck

    assert PROJECT["project"]["version"] == limbeck.__version__
    assert f"## [{limbeck.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_running_the_package_is_running_the_command():
    finished = subprocess.run(
        [sys.executable, "-m", "limbeck", "--version"], capture_output=True, text=True, check=True
    )
    assert finished.stdout.startswith("limbeck ")


def test_a_test_over_the_limit_fails_unless_it_is_marked_slow(tmp_path):
    source = (ROOT / "tests" / "conftest.py").read_text()
    assert "LIMIT = 20.0" in source
    (tmp_path / "conftest.py").write_text(source.replace("LIMIT = 20.0", "LIMIT = 0.2"))
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow: slow\n")
    (tmp_path / "test_time.py").write_text(
        "import time, pytest\n"
        "def test_quick(): pass\n"
        "def test_long(): time.sleep(0.4)\n"
        "@pytest.mark.slow\n"
        "def test_marked(): time.sleep(0.4)\n"
    )
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", str(tmp_path)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert finished.returncode == 1
    assert "PASSED test_time.py::test_quick" in finished.stdout
    assert "PASSED test_time.py::test_marked" in finished.stdout
    assert "FAILED test_time.py::test_long" in finished.stdout
    assert "the limit is 0.2 s" in finished.stdout
