"""Three classes of real digits, and small networks to score on them."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

from limbeck.data import load_dataset
from limbeck.networks import FunctionalNetwork
from limbeck.plugins import registry
from limbeck_applications.nas.candidates.job import network_of
from limbeck_applications.nas.problem import problem_of
from limbeck_applications.nas.proxy import Candidate, Material
from limbeck_applications.nas.space import Architecture

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def problem():
    """Sixteen digits of each of three classes to train on, ten to rank on."""
    data = load_dataset("digits", classes=range(3))
    return problem_of(data, images=48, validation=30, network="convnet-d1-w4-in")


@pytest.fixture(scope="session")
def space():
    """The space of 72 ConvNets."""
    return registry().create("nas_spaces", "convnet72")


@pytest.fixture(scope="session")
def candidate(space, problem):
    """Make a candidate of that space: ``candidate(name, seed=..., start=...)``."""

    def make(name, seed=0, start=None):
        architecture = space.find(name)
        return Candidate(architecture, network_of(space, architecture, problem.spec, CPU), seed, start)

    return make


@pytest.fixture(scope="session")
def own(problem):
    """Make a candidate of layers of one's own: ``own(nn.Flatten(), nn.Linear(64, 3), seed=...)``."""

    def make(*layers, seed=0):
        module = nn.Sequential(OrderedDict((f"{place}", layer) for place, layer in enumerate(layers)))
        return Candidate(Architecture("own", ()), FunctionalNetwork(module, problem.spec.shape, name="own"), seed)

    return make


@pytest.fixture(scope="session")
def proxy():
    """Make a proxy: ``proxy("random", epochs=3)``."""
    return lambda name, **options: registry().create("nas_proxies", {"name": name, **options})


@pytest.fixture(scope="session")
def given(problem):
    """What a proxy scores with: ``given(proxy, folder)``."""

    def make(proxy, folder, problem=problem):
        prepared = proxy.prepare(problem, folder)
        return Material(problem.spec, prepared, problem.validation if proxy.validates else None, CPU)

    return make
