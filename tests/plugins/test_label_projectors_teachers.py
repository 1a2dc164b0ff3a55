"""Learned labels that start from what trained networks make of the images."""

from __future__ import annotations

import pytest
import torch

from limbeck.data import RealData
from limbeck.errors import UsageError
from limbeck.plugins import registry
from limbeck.seeding import generator
from limbeck.synthetic import ProjectorContext
from limbeck.testing.cases import CLASSES, SPEC, normal, tiny_network
from limbeck_plugins.label_projectors import learned as module

COUNT = 12
LABELS = torch.arange(COUNT) % CLASSES
NETWORK = tiny_network(torch.float64)
IMAGES = normal(COUNT, *SPEC.shape)
STATES = [NETWORK.initial(generator(seed, "init")) for seed in range(3)]


def context(images=IMAGES, stored=None, states=STATES, **changes):
    given = {
        "real": RealData(torch.zeros(3, *SPEC.shape), torch.arange(3), SPEC, dtype=torch.float64),
        "spec": SPEC,
        "network": lambda name: NETWORK,
        "seed": 0,
        "device": torch.device("cpu"),
        "labels": LABELS,
        "images": images,
        "stored": stored,
        "teachers": None if states is None else lambda: iter(states),
    }
    return ProjectorContext(**given | changes)


def started(given, state=None, **options):
    projector = registry().create("label_projectors", {"name": "learned", "start": "teachers", **options})
    if state is not None:
        projector.load_state_dict(state)
    projector.prepare(given)
    return projector.parameters()["logits"].detach()


def opinions(images=IMAGES):
    """Return what every network says of every image, [networks, n, C]."""
    return torch.stack([NETWORK(state, images, train=False).detach() for state in STATES])


def test_a_label_is_the_mean_of_the_networks_that_are_right():
    logits, found = opinions(), started(context())
    right = logits.argmax(2) == LABELS
    counts = right.sum(0)
    assert {0, 1, 2} <= set(counts.tolist())
    for row in range(COUNT):
        if counts[row]:
            expected = logits[right[:, row], row].mean(0)
            torch.testing.assert_close(found[row], expected, rtol=1e-12, atol=1e-12)
            assert int(found[row].argmax()) == int(LABELS[row])


def test_a_label_that_no_network_gets_right_starts_at_its_class():
    nobody = ~(opinions().argmax(2) == LABELS).any(0)
    labels = started(context(), confidence=0.8).softmax(1)
    assert nobody.any()
    torch.testing.assert_close(labels[nobody, LABELS[nobody]], torch.full_like(labels[nobody, 0], 0.8))


@pytest.mark.parametrize("size", [1, 5])
def test_passes_do_not_change_the_labels(size, monkeypatch):
    whole = started(context())
    monkeypatch.setattr(module, "IMAGES_A_PASS", size)
    torch.testing.assert_close(started(context()), whole, rtol=1e-12, atol=1e-12)


def test_images_formed_of_one_are_judged_each_for_itself():
    formed, stored = torch.cat([IMAGES, IMAGES.flip(-1)]), torch.arange(COUNT).repeat(2)
    logits = opinions(formed).reshape(len(STATES), 2, COUNT, CLASSES).flatten(0, 1)
    right = (logits.argmax(2) == LABELS)[:, :, None].double()
    found = started(context(formed, stored))
    someone = right.sum((0, 2)) > 0
    torch.testing.assert_close(found[someone], ((logits * right).sum(0) / right.sum(0))[someone])


def test_a_resumed_run_and_a_set_with_soft_labels_ask_nobody():
    kept = normal(COUNT, CLASSES)
    assert torch.equal(started(context(states=None), state={"logits": kept}), kept)
    soft = {"labels": kept.softmax(1), "label_kind": "probabilities"}
    torch.testing.assert_close(started(context(states=None, **soft)).softmax(1), kept.softmax(1))


@pytest.mark.parametrize("states", [None, []], ids=["no source", "none trained"])
def test_without_trained_networks_another_source_is_named(states):
    with pytest.raises(UsageError, match=r"no trained ones.*--set source=experts.*--set labels.start=class"):
        started(context(states=states))


def test_without_images_there_is_nothing_to_judge():
    with pytest.raises(UsageError, match="only where there are images"):
        started(context(images=None))
