"""Digits are forgotten without a memory, and remembered with one."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("one_thread")

TRAINING = {"epochs": 6, "batch_size": 16, "memory_batch": 16, "lr": 0.1, "network": "convnet-d2-w8-in", "images": 8}


@pytest.fixture(scope="module")
def digits(make_stream):
    """Five experiences of two digits, 40 training images a class."""
    return make_stream(40)


@pytest.fixture(scope="module")
def final(digits, context_for, learned, real_memory):
    """Return the mean accuracy on all experiences at the end."""

    def run(name):
        memory = real_memory(digits, TRAINING["images"])
        rows, _ = learned(name, digits, context_for(digits, memory=memory, **TRAINING))
        return sum(rows[-1].accuracies) / len(digits)

    return run


@pytest.fixture(scope="module")
def floor(final):
    return final("naive")


def test_naive_forgets_all_but_the_last_experience(floor):
    assert 0.1 <= floor <= 0.25


def test_joint_is_near_what_the_network_can_do(final):
    assert final("joint") >= 0.9


@pytest.mark.parametrize("name", ["replay_balanced", "er_ace", "der_pp", "icarl", "distilled_replay"])
def test_a_memory_keeps_what_was_learned(name, floor, final):
    assert final(name) >= floor + 0.3


def test_gdumb_learns_from_its_images_alone(digits, context_for, learned, floor):
    context = context_for(digits, **TRAINING, retraining={"epochs": 30, "batch_size": 32, "lr": 0.05})
    rows, _ = learned("gdumb", digits, context)
    assert sum(rows[-1].accuracies) / len(digits) >= floor + 0.3
