"""Random selection: of every group as many as asked, each once, from a generator of its own."""

import pytest
import torch

from limbeck.data import DataSpec, RealData
from limbeck.errors import DataError
from limbeck.plugins import registry

SPEC = DataSpec("dots", (1, 2, 2), 3, ("a", "b", "c"), (0.5,), (0.25,), True)


@pytest.fixture
def real():
    labels = torch.tensor([2, 0, 1, 0, 1, 0, 2, 1, 0])
    images = torch.arange(36, dtype=torch.uint8).view(9, 1, 2, 2)
    return RealData(images, labels, SPEC)


@pytest.fixture
def select(real):
    def run(ipc, seed=0, real=real):
        rng = torch.Generator().manual_seed(seed)
        return registry().create("selectors", "random").select(real, ipc, rng)

    return run


def test_groups_come_in_order_with_distinct_images_of_their_own(select, real):
    chosen = select(2)
    assert chosen.group.tolist() == chosen.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert real.labels[chosen.index].equal(chosen.labels)
    assert len(set(chosen.index.tolist())) == 6
    assert chosen.images.equal(real.take(chosen.index))


def test_the_generator_decides(select):
    assert select(2).index.equal(select(2).index)
    assert len({tuple(select(2, seed).index.tolist()) for seed in range(8)}) > 1


def test_groups_need_not_be_classes(select, real):
    halves = RealData(real.images, real.labels, SPEC, group=torch.arange(9) % 2)
    chosen = select(3, real=halves)
    assert chosen.group.tolist() == [0, 0, 0, 1, 1, 1]
    assert (chosen.index % 2).tolist() == [0, 0, 0, 1, 1, 1]


def test_a_class_that_is_too_small_is_one_line(select):
    with pytest.raises(DataError) as caught:
        select(3)
    assert str(caught.value) == (
        "class 2 ('c') of 'dots' has 2 training images, but ipc is 3. Ask for --ipc 2 or less."
    )


def test_a_group_that_is_too_small_goes_by_its_number(select, real):
    halves = RealData(real.images, real.labels, SPEC, group=torch.arange(9) % 2)
    with pytest.raises(DataError, match="group 1 of 'dots' has 4 training images, but ipc is 5"):
        select(5, real=halves)
