"""The tiny batches and experts that matchers of the trajectory family are tried with."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from limbeck.testing.cases import CLASSES, STUDENT_RATE, TinyTrajectories, tiny_batches, tiny_network

IMAGES = 3 * CLASSES


def test_a_minibatch_is_the_same_whenever_it_is_asked():
    minibatches = tiny_batches().students(3, 5)
    for minibatch in minibatches:
        first, second = minibatch(), minibatch()
        assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
        assert first[0].grad_fn is not second[0].grad_fn


def test_images_recur_and_every_pass_sees_all_of_them():
    batches = tiny_batches()
    minibatches = [minibatch() for minibatch in batches.students(4, 5)]
    assert [len(images) for images, _ in minibatches] == [5, 4, 5, 4]
    seen = torch.cat([images / (1 + place / 10) for place, (images, _) in enumerate(minibatches)]).flatten(1)
    times = (torch.cdist(batches.leaf.flatten(0, 1).flatten(1), seen) < 1e-9).sum(1)
    assert times.tolist() == [2] * IMAGES
    assert sorted(torch.cat([labels for _, labels in minibatches[:2]]).tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_without_a_size_an_update_sees_all():
    assert [len(minibatch()[0]) for minibatch in tiny_batches().students(2, None)] == [IMAGES, IMAGES]


def test_gradients_reach_images_labels_and_rate():
    batches = tiny_batches(soft=True)
    images, labels = batches.students(1, None)[0]()
    (batches.syn_lr() * (images.square().sum() + labels.square().sum())).backward()
    assert all(bool(tensor.grad.any()) for tensor in batches.learned().values())
    assert sorted(batches.learned()) == ["leaf", "log_rate", "logits"]
    assert batches.syn_lr().item() == pytest.approx(STUDENT_RATE)


def test_other_labels_are_constants_that_stay_when_images_move():
    asked = []

    def relabel(images, labels):
        assert not images.requires_grad
        asked.append(len(images))
        return torch.eye(CLASSES)[images.flatten(1).sum(1).long() % CLASSES]

    batches = tiny_batches()
    labels = batches.students(2, 5, relabel)[1]()[1]
    assert labels.shape == (4, CLASSES) and not labels.requires_grad
    moved = replace(batches, leaf=batches.leaf.detach() + 1)
    assert torch.equal(moved.students(2, 5, relabel)[1]()[1], labels)
    assert asked == [IMAGES]


@pytest.mark.parametrize("dead", [False, True])
def test_experts_move_in_every_epoch(dead):
    network = tiny_network(torch.float64)
    there = TinyTrajectories(network, dead=dead)
    again = TinyTrajectories(network, dead=dead)
    for expert in range(there.experts):
        ways = torch.stack([there.weights(expert, epoch) for epoch in range(there.epochs + 1)])
        assert ways.shape == (there.epochs + 1, network.num_parameters) and ways.dtype == torch.float64
        assert bool((ways.diff(dim=0).abs().sum(1) > 0).all())
        assert torch.equal(again.weights(expert, 7), ways[7])
        logits = network(network.unflatten(ways[9]), torch.ones(2, *network.shape, dtype=torch.float64))
        assert torch.equal(logits[0], logits[1])
        assert torch.equal(logits[0], ways[9][-CLASSES:]) == dead
    assert not torch.equal(there.weights(0, 3), there.weights(1, 3))
