"""Small rankings and searches on digits, and the candidates that they computed."""

from __future__ import annotations

import pytest

from limbeck.plugins import registry
from limbeck_applications.nas.study.asked import RankSettings, SearchSettings, TruthSettings

SMALL = {"images": 60, "validation": 40, "device": "cpu", "network": "convnet-d1-w4-in"}
RANK = {"sample": 5, "proxies": [{"name": "random", "ipc": 1, "epochs": 1}, "parameters"]}
SEARCH = {
    "space": {"name": "chains", "widths": [2, 3, 4], "stages": 2, "layers": 2},
    "proxy": {"name": "random", "ipc": 1, "epochs": 1},
    "evaluations": 5,
    "training": {"epochs": 1},
}
CLASSES = {"rank": RankSettings, "search": SearchSettings, "truth": TruthSettings}


@pytest.fixture(scope="session")
def settings():
    """Settings: ``settings("rank", **changes)``."""
    own = {"rank": RANK, "search": SEARCH, "truth": {"sample": 3, "seeds": 2, "training": {"epochs": 1}}}
    return lambda kind, **changes: CLASSES[kind].model_validate({**SMALL, **own[kind], **changes})


@pytest.fixture
def computed(monkeypatch):
    """The names of the jobs that were computed, one for each candidate, in order; ``clear`` it between two studies."""
    serial, _ = registry().load("executors", "serial")
    run, names = serial.execute, []

    def execute(self, jobs, report):
        def reported(place, result):
            names.extend(jobs[place].name.split(", ") if "candidates" in jobs[place].config else [jobs[place].name])
            report(place, result)

        run(self, jobs, reported)

    monkeypatch.setattr(serial, "execute", execute)
    return names
