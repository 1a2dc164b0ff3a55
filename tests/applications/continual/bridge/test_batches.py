import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from limbeck.data import DataSpec
from limbeck.errors import UnknownNameError
from limbeck.seeding import generator
from limbeck_applications.continual.bridge.batches import Augmented, MemoryLoader, MemoryTensors, Rounds
from limbeck_applications.continual.bridge.losses import MemoryCriterion, memory_loss

SPEC = DataSpec("custom", (1, 2, 2), 3, ("0", "1", "2"), (0.0,), (1.0,), False)


def memory(size, soft=False, tasks=False):
    labels = torch.arange(size) % 3
    return MemoryTensors(
        torch.arange(size).float().reshape(size, 1, 1, 1).expand(size, 1, 2, 2),
        F.one_hot(labels, 3).float() if soft else labels,
        torch.arange(size) if tasks else None,
    )


@pytest.mark.parametrize("tasks", [False, True])
def test_a_pass_hands_out_every_image_once_with_what_belongs_to_it(tasks):
    loader = MemoryLoader(memory(7, tasks=tasks), 3, generator(0))
    orders = []
    for _ in range(2):
        batches = list(loader)
        assert [len(batch[0]) for batch in batches] == [3, 3, 1]
        assert len(loader) == len(batches)
        rows = torch.cat([batch[0][:, 0, 0, 0] for batch in batches]).long()
        assert sorted(rows.tolist()) == list(range(7))
        assert torch.equal(torch.cat([batch[1] for batch in batches]), rows % 3)
        if tasks:
            assert torch.equal(torch.cat([batch[2] for batch in batches]), rows)
        orders.append(rows.tolist())
    assert orders[0] != orders[1]


def test_soft_labels_wait_beside_their_classes():
    loader = MemoryLoader(memory(5, soft=True), 2, generator(0))
    for _, classes in loader:
        assert torch.equal(loader.current.labels.argmax(1), classes)


def test_every_image_comes_once_before_any_comes_again():
    rounds = Rounds(memory(7), 3, generator(0))
    rows = torch.cat([rounds.next().images[:, 0, 0, 0] for _ in range(14)]).long().tolist()
    assert all(sorted(rows[start : start + 7]) == list(range(7)) for start in range(0, 42, 7))


def test_a_batch_is_never_larger_than_the_memory():
    rounds = Rounds(memory(4), 32, generator(0))
    assert sorted(rounds.next().images[:, 0, 0, 0].tolist()) == [0, 1, 2, 3]


def test_without_an_augmentation_a_batch_stays_as_it_is():
    batch = memory(5)
    assert Augmented(None, SPEC, generator(0))(batch) is batch


def test_what_mixes_images_mixes_their_labels():
    batch = memory(6)
    seen = Augmented("mixup", SPEC, generator(0))(batch)
    assert seen.labels.shape == (6, 3)
    assert torch.allclose(seen.labels.sum(1), torch.ones(6))
    assert not torch.equal(seen.images, batch.images)


def test_the_same_generator_gives_the_same_view():
    batch = MemoryTensors(torch.rand(4, 1, 2, 2, generator=generator(1)), torch.arange(4) % 3, None)
    views = [Augmented("dsa", SPEC, generator(seed))(batch).images for seed in (0, 0, 1)]
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])


def test_an_unknown_augmentation_is_named():
    with pytest.raises(UnknownNameError, match="Did you mean 'dsa'"):
        Augmented("dsaa", SPEC, generator(0))


def test_the_loss_of_soft_labels_by_hand():
    logits = torch.tensor([[0.0, math.log(3)]], dtype=torch.float64)  # p = 1/4, 3/4
    labels = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    expected = -(0.5 * math.log(0.25) + 0.5 * math.log(0.75))
    assert float(memory_loss(logits, labels)) == pytest.approx(expected, rel=1e-12)
    wider = torch.tensor([[0.5, 0.5, 0.0]], dtype=torch.float64)
    assert float(memory_loss(logits, wider)) == pytest.approx(expected, rel=1e-12)


def test_one_hot_probabilities_are_classes():
    logits = torch.randn(5, 3, generator=generator(0), dtype=torch.float64)
    labels = torch.tensor([0, 2, 1, 1, 0])
    soft = F.one_hot(labels, 3).double()
    assert torch.allclose(memory_loss(logits, labels), memory_loss(logits, soft), rtol=1e-14)
    assert torch.allclose(memory_loss(logits, labels), F.cross_entropy(logits, labels), rtol=1e-14)


def test_the_strategys_own_criterion_answers_where_no_labels_wait():
    criterion = MemoryCriterion(nn.CrossEntropyLoss(label_smoothing=0.3))
    logits, classes = torch.randn(4, 3, generator=generator(0)), torch.tensor([0, 1, 2, 0])
    assert criterion(logits, classes) == criterion.own(logits, classes)
    criterion.waiting = torch.full((4, 3), 1 / 3)
    assert criterion(logits, classes) == memory_loss(logits, criterion.waiting)
    with torch.no_grad():  # while testing
        assert criterion(logits, classes) == criterion.own(logits, classes)
