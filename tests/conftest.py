"""The limit on a test's time, the command line in this process, and plugins for one test."""

from __future__ import annotations

import sys
import textwrap

import pytest

from limbeck import plugins as plugins_module
from limbeck.cli import main

LIMIT = 20.0
"""Seconds that a test, or what it sets up, may take without being marked slow."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Fail what takes longer than the limit, so that nobody waits for a test unawares."""
    report = yield
    if report.passed and report.duration > LIMIT and item.get_closest_marker("slow") is None:
        report.outcome = "failed"
        report.longrepr = (
            f"{item.nodeid} took {report.duration:.1f} s ({report.when}), and the limit is {LIMIT:g} s. "
            "Make it faster, or mark it with @pytest.mark.slow."
        )
    return report


@pytest.fixture(autouse=True, scope="session")
def cache_folder(tmp_path_factory):
    """Keep results that outlive a run out of the user's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIMBECK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def one_thread():
    """Compute with one thread: two wait for each other longer than small tensors take."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def no_report(monkeypatch):
    """Leave out pages with figures, which are tested elsewhere and cost more than a tiny run."""
    monkeypatch.setattr("limbeck.report.write_report", lambda folder: None)


def write_distribution(folder, name, version="1.0", points=None, **modules):
    """Write an installed distribution into ``folder``: modules, metadata and entry points.

    Without ``points``, each module gets an entry point of its own name.
    """
    for module, source in modules.items():
        (folder / f"{module}.py").write_text(textwrap.dedent(source))
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    points = {module: module for module in modules} if points is None else points
    lines = [f"{point} = {target}" for point, target in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[limbeck]", *lines, ""]))


@pytest.fixture
def site(tmp_path):
    """A folder to put on the path of another process."""
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


@pytest.fixture
def distribution(site):
    """Install a fake distribution into ``site``: ``distribution(name, **modules)``."""

    def write(name, **modules):
        write_distribution(site, name, **modules)
        return site

    return write


@pytest.fixture
def importable(site, monkeypatch):
    """Put ``site`` on this process's path, and forget its modules afterwards."""
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)
    yield site
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "") or "").startswith(str(site)):
            del sys.modules[name]


@pytest.fixture
def loose(tmp_path):
    """Write a loose plugin file: ``loose(source, name="mine.py")``."""

    def write(source, name="mine.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return path

    return write


@pytest.fixture
def limbeck(capsys, monkeypatch, tmp_path):
    """Run a command line in an empty folder: ``limbeck("list", "matchers") -> (status, stdout, stderr)``.

    Each test has a registry and a cache of its own; ``limbeck.forget()`` starts another registry.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("LIMBECK_DATA", raising=False)

    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    run.forget = plugins_module._loader.cache_clear
    run.forget()
    yield run
    run.forget()


@pytest.fixture
def refused(limbeck):
    """Run a command line that cannot be carried out: its status, and the only line of standard error."""

    def run(*arguments):
        status, _, err = limbeck(*arguments)
        assert err.startswith("limbeck: error: ") and err.endswith("\n") and err.count("\n") == 1, err
        return status, err

    return run
