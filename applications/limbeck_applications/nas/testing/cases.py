"""Tiny images, spaces, proxies and labs that every check is made with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from limbeck.data import load_dataset
from limbeck.networks import FunctionalNetwork
from limbeck.plugins import registry
from limbeck.seeding import derive_seed
from limbeck_applications.nas.candidates.job import network_of
from limbeck_applications.nas.candidates.kept import Scores
from limbeck_applications.nas.candidates.lab import KeptLab
from limbeck_applications.nas.candidates.scoring import Scorer
from limbeck_applications.nas.problem import Problem, problem_of
from limbeck_applications.nas.proxy import Candidate, Material, Prepared, Proxy
from limbeck_applications.nas.searcher import Plan
from limbeck_applications.nas.space import Architecture, SearchSpace
from limbeck_applications.nas.study.images import Images

CLASSES = 4
TRAIN, ASIDE = 6, 3
"""Images of each class: to train on, and to rank on."""

SPACE = {"name": "chains", "widths": [2, 4], "norms": ["none", "batch"], "stages": 1, "layers": 2}
"""Twelve networks of one or two small layers."""

SIZE = 12
UNTRAINED: dict[str, Any] = {"name": "parameters"}
TRAINED: dict[str, Any] = {"name": "random", "ipc": 1, "epochs": 1, "batch_size": 8}

CPU = torch.device("cpu")


def tiny_problem(seed: int = 0) -> Problem:
    """Return four classes of 8x8 digits, six images of each to train on and three to rank on."""
    data = load_dataset("digits", classes=range(CLASSES))
    return problem_of(data, images=TRAIN * CLASSES, validation=ASIDE * CLASSES, seed=seed, network="convnet-d1-w4-in")


def tiny_space(spec: Mapping[str, Any] | None = None) -> SearchSpace:
    """Return a registered space; ``SPACE`` when nothing is given."""
    space: SearchSpace = registry().create("nas_spaces", dict(spec or SPACE))
    return space


def tiny_candidates(number: int, problem: Problem, *, seed: int = 0) -> list[Candidate]:
    """Return one small network with norm and ReLU as candidates that begin from different weights.

    Args:
        number: of candidates.
        problem: what the images are.
        seed: of the first; the others follow from it.
    """
    space = tiny_space()
    architecture = space.find("4-4_batch")
    network = functional(space, architecture, problem)
    return [Candidate(architecture, network, derive_seed(seed, "candidate", each)) for each in range(number)]


def functional(space: SearchSpace, architecture: Architecture, problem: Problem) -> FunctionalNetwork:
    """Return an architecture as a function of its weights."""
    return network_of(space, architecture, problem.spec, CPU)


def material(proxy: Proxy, prepared: Prepared, problem: Problem) -> Material:
    """Return what a proxy scores with: validation images only where it says that it looks at them."""
    return Material(problem.spec, prepared, problem.validation if proxy.validates else None, CPU)


def tiny_plan(
    *, evaluations: int, space: Mapping[str, Any] | None = None, proxy: Mapping[str, Any] | None = None
) -> Plan:
    """Return what a search on tiny images would work with.

    Args:
        evaluations: architectures that may be scored.
        space: specification; ``SPACE`` when None.
        proxy: specification; the number of parameters when None.
    """
    made = registry().create("nas_proxies", dict(proxy or UNTRAINED))
    return Plan(tiny_space(space), tiny_problem(), made, evaluations)


def tiny_lab(
    folder: Path,
    *,
    evaluations: int,
    space: Mapping[str, Any] | None = None,
    proxy: Mapping[str, Any] | None = None,
    seed: int = 0,
    cls: type[KeptLab] = KeptLab,
) -> KeptLab:
    """Return a lab on tiny images that keeps its answers in a folder.

    Args:
        folder: another lab of the same folder knows them.
        evaluations: architectures that may be scored.
        space: specification; ``SPACE`` when None.
        proxy: specification; the number of parameters when None.
        seed: of the search.
        cls: another lab than that of studies.
    """
    problem, spec = tiny_problem(), dict(space or SPACE)
    images = Images(tiny_space(spec), spec, problem, problem.validation, CPU)
    executor = registry().create("executors", "serial")
    scorer = Scorer(images, dict(proxy or UNTRAINED), folder, Scores(folder), executor, weights=True)
    return cls(scorer, "tiny", evaluations, seed)


def asked(lab: KeptLab) -> Sequence[tuple[Any, ...]]:
    """Return what a search asked for, and what it was told."""
    return [(each.architecture.genome, dict(each.notes), each.value, each.failed) for each in lab.trials]
