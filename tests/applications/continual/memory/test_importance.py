"""The order in which a memory gives up images: every first part of a class stands for the whole class."""

from __future__ import annotations

import itertools

import pytest
import torch

from limbeck.data import load_dataset
from limbeck.errors import DataError
from limbeck.networks import build_network
from limbeck.seeding import generator
from limbeck.synthetic import SyntheticSet
from limbeck_applications.continual.memory.importance import by_importance, herded, nested_order
from limbeck_applications.continual.memory.piece import Piece

CLASSES = (7, 3)


@pytest.fixture(scope="module")
def real():
    return load_dataset("digits").train


def piece_of(real, images_a_class=6, seed=0, formation=None):
    """Make a piece of noisy real digits: some of them far from what they stand for."""
    spec = real.spec
    own = spec.__class__.from_dict({**spec.to_dict(), "num_classes": 2, "class_names": ["7", "3"]})
    draws = generator(seed, "pieces")
    images = torch.cat([real.batch(c, images_a_class, draws) for c in CLASSES])
    strength = torch.linspace(0, 2, images_a_class).repeat(2)[:, None, None, None]
    images = images + strength * torch.randn(images.shape, generator=draws)
    group = torch.arange(2).repeat_interleave(images_a_class)
    shuffle = torch.randperm(len(group), generator=draws)
    recipe = {"network": "mlp", "epochs": 1, **({"formation": formation} if formation else {})}
    return Piece(SyntheticSet(images[shuffle], group[shuffle], group[shuffle], own, recipe=recipe), CLASSES)


def order_of(piece, real, name="convnet-d2-w32-in", seed=0):
    return by_importance(piece, real, build_network(name, piece.made.spec), generator(seed, "importance"))


@pytest.mark.parametrize("seed", range(5))
def test_every_step_of_the_order_is_the_best_one(seed):
    """Against all choices tried one by one, in float64, so that the identity that is used hides nothing."""
    rows = torch.randn(7, 3, generator=generator(seed, "rows"), dtype=torch.float64) + 0.5
    order = herded(rows.clone()).tolist()
    assert sorted(order) == list(range(7))
    for k in range(7):
        gaps = {row: rows[[*order[:k], row]].mean(0).norm().item() for row in order[k:]}
        assert gaps[order[k]] == pytest.approx(min(gaps.values()), abs=1e-12)


def test_order_by_hand():
    rows = torch.tensor([[3.0, 0.0], [1.0, 0.0], [-1.1, 0.0], [0.0, 9.0]], dtype=torch.float64)
    assert herded(rows).tolist() == [1, 2, 0, 3]


def test_equal_rows_keep_the_order_they_came_in():
    assert herded(torch.ones(4, 2, dtype=torch.float64)).tolist() == [0, 1, 2, 3]


def test_order_is_class_by_class_and_leaves_nothing_out(real):
    piece = piece_of(real)
    order = order_of(piece, real)
    assert sorted(order.tolist()) == list(range(12))
    assert piece.made.group[order].tolist() == [0] * 6 + [1] * 6


def test_order_follows_the_images_and_not_where_they_lie(real):
    piece = piece_of(real)
    moved = torch.tensor([5, 0, 9, 11, 3, 1, 7, 2, 8, 10, 6, 4])
    assert torch.equal(
        piece.subset(order_of(piece, real)).made.images,
        piece.subset(moved).subset(order_of(piece.subset(moved), real)).made.images,
    )


def test_same_generator_same_order_and_global_ones_untouched(real):
    piece, before = piece_of(real, 20), torch.random.get_rng_state()
    assert torch.equal(order_of(piece, real, seed=3), order_of(piece, real, seed=3))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_first_parts_stand_for_their_class_better_than_last_ones(real):
    """Judged by a network that had no say in the order, on all real images of the class."""
    piece, network = piece_of(real, 8), build_network("convnet-d2-w32-in", real.spec)
    ordered = piece.subset(order_of(piece, real))
    state = network.initial(generator(99, "judge"))

    def embedded(images):
        return network.features(state, images, ["embedding"], train=False)["embedding"].double()

    for place, label in enumerate(CLASSES):
        target = embedded(real.take(real.members(label))).mean(0)
        rows = embedded(ordered.made.images[ordered.made.group == place])
        for k in range(1, 5):
            drawn = [(rows[list(some)].mean(0) - target).norm() for some in itertools.combinations(range(8), k)]
            first, last = (rows[:k].mean(0) - target).norm(), (rows[-k:].mean(0) - target).norm()
            assert first < last
            assert first < torch.stack(drawn).median()


def test_each_network_has_the_same_say(real):
    """Features a thousand times larger change nothing: distances are in units of how real images spread."""
    piece, network = piece_of(real), build_network("mlp-d1-w64", real.spec)
    targets = [real.take(real.members(label)[:40]) for label in piece.classes]
    states = [network.initial(generator(number, "say")) for number in (0, 1)]
    first, _ = network.names_of(torch.nn.Linear)
    louder = {name: 1024 * value if name.startswith(f"{first}.") else value for name, value in states[1].items()}
    plain = nested_order(piece, targets, network, states)
    assert torch.equal(nested_order(piece, targets, network, [states[0], louder]), plain)
    assert not torch.equal(nested_order(piece, targets, network, states[:1]), plain)


def test_a_stored_image_counts_with_the_mean_of_what_it_forms(real):
    piece, network = piece_of(real, formation={"name": "tiles", "factor": 2}), build_network("mlp", real.spec)
    targets = [real.take(real.members(label)[:40]) for label in piece.classes]
    state = network.initial(generator(0, "tiles"))
    images, stored = piece.training_images()
    assert len(images) == 4 * len(piece.made)

    def embedded(images):
        return network.features(state, images, ["embedding"], train=False)["embedding"].double()

    tiles = embedded(images)
    found = []
    for place, target in enumerate(targets):
        rows = (piece.made.group == place).nonzero().flatten()
        means = torch.stack([tiles[stored == row].mean(0) for row in rows]) - embedded(target).mean(0)
        found.append(rows[herded(means)])
    assert torch.equal(nested_order(piece, targets, network, [state]), torch.cat(found))


def test_a_class_without_real_images_is_named(real):
    only = real.subset((real.labels != 3).nonzero().flatten())
    with pytest.raises(DataError, match=r"class 3 \('3'\)"):
        order_of(piece_of(real), only)
