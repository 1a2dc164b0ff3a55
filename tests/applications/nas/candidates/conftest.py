"""Three classes of real digits, small chains, and scorers that say what they ran."""

from __future__ import annotations

import pytest
import torch

from limbeck.data import load_dataset
from limbeck.plugins import registry
from limbeck_applications.nas.candidates.kept import Scores
from limbeck_applications.nas.candidates.lab import KeptLab
from limbeck_applications.nas.candidates.scoring import Scorer
from limbeck_applications.nas.problem import problem_of
from limbeck_applications.nas.study.images import Images

CPU = torch.device("cpu")
SPACE = {"name": "chains", "widths": [2, 4], "norms": ["none", "batch"], "stages": 1, "layers": 2}
TRAINED = {"name": "random", "ipc": 3, "epochs": 4, "lr": 0.05}


@pytest.fixture(scope="session")
def data():
    return load_dataset("digits", classes=range(3))


@pytest.fixture(scope="session")
def images(data):
    """Images of a space: ``images(space={}, problem=..., test=...)``."""
    shared = problem_of(data, images=30, validation=30, network="convnet-d1-w4-in")

    def make(problem=shared, test=data.test, **options):
        spec = {**SPACE, **options}
        return Images(registry().create("nas_spaces", spec), spec, problem, test, CPU)

    return make


@pytest.fixture
def scorer(images, tmp_path, one_thread):
    """Make a scorer: ``scorer(folder=..., proxy={}, executor=..., of=Images, seed=0, weights=True)``.

    ``scorer(...).jobs`` are the jobs that it had run.
    """

    def make(folder=tmp_path, proxy=TRAINED, executor="serial", of=None, seed=0, weights=True):
        made = registry().create("executors", executor)
        run, jobs = made.execute, []
        made.execute = lambda asked, report: (jobs.extend(asked), run(asked, report))
        found = Scorer(of or images(), proxy, folder, Scores(folder), made, seed=seed, weights=weights)
        found.jobs = jobs
        return found

    return make


@pytest.fixture
def lab(scorer):
    """Make a lab: ``lab(evaluations, seed=0, told=None, works=None, **as scorer takes)``."""

    def make(evaluations=4, seed=0, told=None, works=None, searcher="own", **given):
        return KeptLab(scorer(**given), searcher, evaluations, seed, told, works)

    return make
