"""The command line in this process, and runs so small that a test takes milliseconds."""

from __future__ import annotations

import pytest

from limbeck import plugins as plugins_module
from limbeck.cli import main


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
def tiny():
    """What makes ``limbeck distill`` tiny, to be overridden by what follows it."""
    return (
        "distill", "--method", "dm", "--profile", "small", "--network", "convnet-d1-w4", "--device", "cpu",
        "--steps", 2, "--networks", 0, "--max-per-class", 20, "--set", "data.batch_real=4",
        "--set", "evaluation.protocol.epochs=1", "--set", "evaluation.baselines=false", "--out", "run",
    )  # fmt: skip


@pytest.fixture
def no_report(monkeypatch):
    """Leave out the page, which costs more than everything else in a tiny run."""
    monkeypatch.setattr("limbeck.report.write_report", lambda folder: None)
