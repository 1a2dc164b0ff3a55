"""Features of a trained network: deterministic, blind to the order of the images, kept by content."""

from itertools import pairwise

import pytest
import torch
from safetensors.torch import load, save
from torch.nn.functional import cross_entropy

from limbeck.data import DataSpec, RealData
from limbeck.errors import DivergenceError, LimbeckError, UsageError
from limbeck.features import FeatureTraining, content_order, members_by_content, trained_features
from limbeck.seeding import generator
from limbeck.training import accuracy

SPEC = DataSpec("bars", (1, 4, 4), 3, ("left", "right", "none"), (0.5,), (0.25,), True)
TRAINING = FeatureTraining(network="convnet-d1-w4-in", epochs=4, batch_size=16, lr=0.05)


def bars(seed=0, size=90, contrast=0.5):
    """Images bright on the left, bright on the right, or dark, under noise."""
    labels = torch.arange(size) % 3
    pixels = (1 - contrast) * torch.rand(size, 1, 4, 4, generator=generator(seed, "bars"))
    pixels[labels == 0, :, :, :2] += contrast
    pixels[labels == 1, :, :, 2:] += contrast
    return RealData(pixels, labels, SPEC)


@pytest.fixture
def real():
    return bars()


def same(left, right):
    return all(torch.equal(left.state[name], right.state[name]) for name in left.state)


def everything(real):
    return torch.arange(len(real))


def test_the_network_learns_the_images(real):
    trained = trained_features(real, TRAINING, 0)
    assert accuracy(trained.network, trained.state, real).overall > 0.9


def test_embeddings_enter_the_classifier(real):
    trained = trained_features(real, TRAINING, 0)
    found = trained.embed(real, everything(real))
    logits = found @ trained.state["classifier.weight"].T + trained.state["classifier.bias"]
    expected = trained.network(trained.state, real.take(everything(real)), train=False)
    torch.testing.assert_close(logits, expected)
    assert found.dtype == torch.float32
    assert not found.requires_grad


def test_chunks_do_not_change_embeddings(real):
    trained = trained_features(real, TRAINING, 0)
    index = torch.tensor([5, 3, 80, 3])
    torch.testing.assert_close(trained.embed(real, index, chunk=3), trained.embed(real, everything(real))[index])


def test_embeddings_are_those_of_eval_mode(real):
    trained = trained_features(real, TRAINING.model_copy(update={"network": "convnet-d1-w4-bn"}), 0)
    torch.testing.assert_close(
        trained.embed(real, torch.tensor([7])), trained.embed(real, everything(real))[7:8], rtol=1e-5, atol=1e-6
    )


def test_the_seed_decides_and_nothing_else(real):
    state = torch.get_rng_state()
    first, again, other = (trained_features(real, TRAINING, seed) for seed in (0, 0, 1))
    assert same(first, again)
    assert first.forgotten.equal(again.forgotten)
    assert not same(first, other)
    assert torch.get_rng_state().equal(state)


def test_the_order_of_the_images_does_not_count(real):
    order = torch.randperm(len(real), generator=generator(1, "order"))
    straight, shuffled = (trained_features(data, TRAINING, 0) for data in (real, real.subset(order)))
    assert same(straight, shuffled)
    assert straight.forgotten[order].equal(shuffled.forgotten)


def test_an_order_by_content_follows_the_images(real):
    order = torch.randperm(len(real), generator=generator(1, "order"))
    shuffled = real.subset(order)
    assert sorted(content_order(real).tolist()) == list(range(len(real)))
    assert content_order(real).tolist() != list(range(len(real)))
    assert real.images[content_order(real)].equal(shuffled.images[content_order(shuffled)])
    assert real.labels[content_order(real)].equal(shuffled.labels[content_order(shuffled)])


def test_members_are_those_of_each_group(real):
    halves = RealData(real.images, real.labels, SPEC, group=everything(real) % 2)
    for group, members in enumerate(members_by_content(halves)):
        assert sorted(members.tolist()) == halves.members(group).tolist()


def replayed(real, training, seed):
    """Train once more by hand and count forgetting events image by image, as algorithm 1 states them."""
    network = trained_features(real, training, seed).network
    order, orders = content_order(real), generator(seed, "train")
    state = network.initial(generator(seed, "init"))
    weights = [state[name].requires_grad_() for name in network.parameter_names]
    optimiser = torch.optim.SGD(weights, training.lr, training.momentum, weight_decay=training.weight_decay, fused=True)
    history = [[] for _ in range(len(real))]
    for _ in range(training.epochs):
        for batch in torch.randperm(len(real), generator=orders).split(training.batch_size):
            logits = network(state, real.take(order[batch]))
            for image, guess in zip(order[batch].tolist(), logits.argmax(1).tolist(), strict=True):
                history[image].append(guess == int(real.labels[image]))
            optimiser.zero_grad()
            cross_entropy(logits, real.labels[order[batch]]).backward()
            optimiser.step()
    return [
        sum(before and not after for before, after in pairwise(seen)) if any(seen) else len(seen) for seen in history
    ]


def test_forgetting_is_counted_at_each_presentation():
    noisy = bars(size=60, contrast=0.1)
    training = TRAINING.model_copy(update={"epochs": 8})
    found = trained_features(noisy, training, 3).forgotten.tolist()
    assert found == replayed(noisy, training, 3)
    assert {0, 1, 2, 8} <= set(found), "no image was never right, or the data are too easy to show a difference"


def test_progress_is_told_epoch_by_epoch(real):
    told = []
    trained_features(real, TRAINING, 0, on_epoch=lambda *news: told.append(news))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_source_is_said_in_words():
    assert TRAINING.source == "convnet-d1-w4-in, 4 epochs"
    assert FeatureTraining(network="mine", epochs=1).source == "mine, 1 epoch"


def test_the_cache_spares_the_training(real, tmp_path):
    told = []
    first = trained_features(real, TRAINING, 0, cache=tmp_path)
    again = trained_features(real, TRAINING, 0, cache=tmp_path, on_epoch=lambda *news: told.append(news))
    assert told == []
    assert same(first, again)
    assert first.forgotten.equal(again.forgotten)
    assert first.embed(real, everything(real)).equal(again.embed(real, everything(real)))
    assert (first.spared, first.is_found) == (0, False)
    assert again.spared == pytest.approx(first.seconds)


@pytest.mark.parametrize("what", ["seed", "epochs", "data", "network"])
def test_another_training_is_another_file(real, tmp_path, what):
    trained_features(real, TRAINING, 0, cache=tmp_path)
    changed = {"epochs": 5} if what == "epochs" else {"network": "convnet-d1-w5-in"} if what == "network" else {}
    data = bars(seed=1) if what == "data" else real
    found = trained_features(data, TRAINING.model_copy(update=changed), int(what == "seed"), cache=tmp_path)
    assert found.spared == 0
    assert len(list((tmp_path / "features").iterdir())) == 2


def test_a_damaged_file_is_written_anew(real, tmp_path):
    first = trained_features(real, TRAINING.model_copy(update={"epochs": 1}), 0, cache=tmp_path)
    (path,) = (tmp_path / "features").iterdir()
    good = path.read_bytes()
    chance = generator(0, "damage")
    kept = {name: value for name, value in load(good).items() if name != "checksum"}
    other = save({**load(good), "forgotten": first.forgotten + 1})
    damaged = [b"", b"no tensors", good[:-1], good[: len(good) // 2], save(kept), other]
    for _ in range(40):
        place = int(torch.randint(len(good), (1,), generator=chance))
        damaged.append(good[:place] + bytes([good[place] ^ (1 << place % 8)]) + good[place + 1 :])
    for content in damaged:
        path.write_bytes(content)
        found = trained_features(real, TRAINING.model_copy(update={"epochs": 1}), 0, cache=tmp_path)
        assert same(found, first)
        assert found.forgotten.equal(first.forgotten)
        assert set(load(path.read_bytes())) == set(load(good))


def test_a_cache_that_cannot_be_written_costs_nothing(real, tmp_path):
    (tmp_path / "features").write_text("in the way")
    assert trained_features(real, TRAINING, 0, cache=tmp_path).spared == 0


def test_divergence_is_one_line(real):
    with pytest.raises(DivergenceError, match=r"convnet-d1-w4-nonorm.* lr 1e\+30\. Lower it: --set selector.lr=1e\+29"):
        trained_features(real, FeatureTraining(network="convnet-d1-w4-nonorm", lr=1e30), 0)


def test_a_network_that_does_not_fit_is_one_line(real):
    with pytest.raises(UsageError, match="4x4"):
        trained_features(real, FeatureTraining(network="convnet-d5"), 0)
    with pytest.raises(LimbeckError, match="unknown network 'convnot'"):
        trained_features(real, FeatureTraining(network="convnot"), 0)
