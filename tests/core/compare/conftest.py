"""Comparisons so small that each row takes a fraction of a second: 10 digits a class, 4 channels, few steps."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import sklearn.datasets  # noqa: F401  the first digits would import it, and so make one test seem slow
import torch
import torch._dynamo  # likewise the first optimiser

from limbeck.compare import Rows, compare, plan
from limbeck.plugins import load_files, load_installed, using

SETTINGS = {
    "network": "convnet-d1-w4-in",
    "data": {"name": "digits", "max_per_class": 10, "batch_real": 4},
    "budget": {"steps": 4},
    "evaluation": {"networks": 2, "protocol": {"epochs": 1}},
    "execution": {"device": "cpu", "checkpoint_seconds": 0, "flush_every": 1},
}


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Two threads wait for each other longer than such small tensors take."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _no_report(monkeypatch):
    """Leave out the pages of runs, which cost more than everything else here."""
    monkeypatch.setattr("limbeck.report.write_report", lambda folder: None)


@pytest.fixture
def plugin_of(loose):
    """Load source as a loose plugin file into a registry that is gone after the test."""
    with using(load_installed()):
        yield lambda source: load_files([loose(source)])


@pytest.fixture(scope="session")
def planned():
    """Plan a tiny comparison: ``planned("dm", "herding", ipcs=[1], seeds=[0], budget={...})``."""

    def make(*methods, ipcs=(1,), seeds=(0,), own_recipes=False, **settings):
        return plan(methods, ipcs, seeds, settings={**SETTINGS, **settings}, profile="small", own_recipes=own_recipes)

    return make


@pytest.fixture(scope="session")
def rows_of():
    """Rows of a folder in the order they were finished, without what a clock or a meter said."""

    def read(folder):
        return [{**asdict(row), "cost": None} for row in Rows(folder).all()]

    return read


@pytest.fixture(scope="session")
def whole(planned, tmp_path_factory):
    """A comparison of dm, random and k_center that nothing disturbed: its plan and its folder."""
    asked, folder = planned("dm", "k_center"), tmp_path_factory.mktemp("whole") / "it"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("limbeck.report.write_report", lambda folder: None)
        outcome = compare(asked, folder)
    assert outcome.failures == {}
    return asked, folder
