"""Early stopping at the cost of a small set."""

from __future__ import annotations

import pytest
import torch

CPU = torch.device("cpu")


@pytest.fixture
def lesson(proxy, problem, tmp_path):
    def make(**options):
        stopping = proxy("early_stopping", **options)
        return stopping.lesson(stopping.prepare(problem, tmp_path), CPU)

    return make


@pytest.mark.parametrize(
    ("options", "images"), [({"ipc": 10, "epochs": 100}, 3000), ({"ipc": 2, "epochs": 7}, 42), ({"images": 77}, 77)]
)
def test_the_updates_see_as_many_images_as_a_small_set_is_passed(options, images, lesson):
    training = lesson(**options, batch_size=8).training
    assert abs(training.updates * 8 - images) <= 4
    assert training.updates == round(images / 8)


def test_there_is_one_update_at_least_and_their_number_can_be_said(lesson):
    assert lesson(images=1).training.updates == 1
    assert lesson(updates=17).training.updates == 17


def test_all_training_images_take_part_as_they_are(lesson, problem):
    found = lesson()
    assert len(found.data) == len(problem.train) and found.labels is None and found.training.augmentation is None
    assert torch.equal(found.data.take(torch.arange(5)), problem.train.take(torch.arange(5)))
    assert torch.equal(found.data.labels, problem.train.labels)
    assert lesson(augmentation="dsa").training.augmentation.name == "dsa"


def test_it_states_what_it_keeps(proxy, problem, tmp_path):
    made = proxy("early_stopping").prepare(problem, tmp_path)
    assert (made.images, made.bytes, made.seconds) == (48, 48 * 65, 0)


def test_more_images_rank_no_worse_on_a_learnable_task(proxy, given, candidate, tmp_path):
    values = []
    for images in (16, 960):
        stopping = proxy("early_stopping", images=images, batch_size=16, lr=0.05)
        values.append(stopping.score([candidate("d1-w16-batch-relu-avg")], given(stopping, tmp_path))[0].value)
    assert values[1] > max(values[0], 0.8)
