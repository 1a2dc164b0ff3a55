"""Experts so small that each takes milliseconds."""

from __future__ import annotations

import pytest

from limbeck.experts import ExpertTraining, Training
from limbeck.networks import FunctionalNetwork
from limbeck.plugins import registry
from limbeck.testing.cases import SPEC, tiny_data


def network(name="convnet-d1-w4-bn"):
    module = registry().create("networks", name).build(SPEC.shape, SPEC.num_classes)
    return FunctionalNetwork(module, SPEC.shape, name=name)


@pytest.fixture
def make():
    """Return how experts of 3 epochs on 30 images are trained, with settings of one's own."""

    def training(*, net="convnet-d1-w4-bn", real=None, seed=0, chunk=None, **settings):
        how = ExpertTraining.model_validate({"epochs": 3, "batch_size": 8, **settings})
        return Training(network(net), tiny_data() if real is None else real, how, seed, chunk)

    return training


@pytest.fixture
def serial():
    return registry().create("executors", "serial")
