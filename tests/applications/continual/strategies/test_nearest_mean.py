"""Nearest mean: against scikit-learn's own, with encoders from files and from other data, never from the stream's."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from sklearn.neighbors import KNeighborsClassifier

from limbeck.config import Spec
from limbeck.data import DataSpec, RealData
from limbeck.errors import DataError, UsageError
from limbeck.networks import build_network
from limbeck.options import parse
from limbeck.plugins import registry
from limbeck.testing.randomness import moved_generators
from limbeck_applications.continual.strategies.encoder import (
    UNTRAINED,
    EncoderOptions,
    adapted,
    choose_data,
    find_encoder,
)
from limbeck_applications.continual.strategies.nearest_mean import Means
from limbeck_applications.continual.strategies.weights import read_weights
from limbeck_applications.continual.stream import Experience, Stream

pytestmark = pytest.mark.usefixtures("one_thread")
NETWORK = "convnet-d1-w8-in"


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def strategy(**options):
    return registry().create("continual_strategies", {"name": "nearest_mean", **options})


@pytest.fixture
def colours():
    """Two experiences of a coloured class each, 3x6x6, whose names no data set has."""
    spec = DataSpec("colours", (3, 6, 6), 2, ("red", "blue"), (0.5,) * 3, (0.25,) * 3, mirror=True)
    noise = torch.rand(40, 3, 6, 6, generator=generator()) * 0.4
    labels = torch.arange(2).repeat_interleave(20)
    noise[:20, 0] += 0.5
    noise[20:, 2] += 0.5
    parts = [RealData(noise[labels == c], labels[labels == c], spec) for c in (0, 1)]
    return Stream(spec, tuple(Experience((c,), part, part) for c, part in enumerate(parts)))


def test_the_whole_stream_is_predicted_as_by_scikit_learn(stream, context_for):
    rows = list(strategy(encoder_data=UNTRAINED).run(stream, context_for(stream)))
    encoder = find_encoder(EncoderOptions(encoder_data=(UNTRAINED,)), stream, context_for(stream))
    seen, labels = [], []
    for t, experience in enumerate(stream.experiences):
        seen.append(encoder.features(experience.train).double())
        labels.append(experience.train.labels)
        whole, of_class = torch.cat(seen).numpy(), torch.cat(labels).numpy()
        classes = sorted(set(of_class.tolist()))
        oracle = KNeighborsClassifier(1).fit([whole[of_class == c].mean(0) for c in classes], classes)
        for i, other in enumerate(stream.experiences):
            right = oracle.predict(encoder.features(other.test).double().numpy()) == other.test.labels.numpy()
            assert rows[t].accuracies[i] == pytest.approx(right.mean())
        assert all(value == 0 for value in rows[t].accuracies[t + 1 :])
    assert min(rows[-1].accuracies) > 0.3
    assert len({tuple(row.accuracies) for row in rows}) == len(stream)


def test_a_vector_a_class_is_kept_and_no_image(stream, domains, context_for):
    rows = list(strategy(encoder_data=UNTRAINED).run(stream, context_for(stream)))
    size = build_network(NETWORK, stream.spec).module.get_submodule("classifier").in_features
    assert [row.bytes for row in rows] == [4 * size * 2 * t for t in range(1, 6)]
    assert all(row.images == 0 and row.seconds > 0 for row in rows)
    again = list(strategy(encoder_data=UNTRAINED).run(domains, context_for(domains)))
    assert [row.bytes for row in again] == [10 * (4 * size + 8)] * 2


def test_features_have_norm_1_and_means_do_not(stream, context_for):
    encoder = find_encoder(EncoderOptions(encoder_data=(UNTRAINED,)), stream, context_for(stream))
    real = stream.experiences[0].train
    features = encoder.features(real)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(len(real)))
    means = Means(10)
    means.add(features, real.labels)
    assert (means.vectors[list(stream.experiences[0].classes)].norm(dim=1) < 0.999).all()


def test_means_of_a_class_that_comes_again_weigh_every_image_alike():
    features = torch.randn(30, 4, generator=generator()).double()
    labels = torch.arange(3).repeat(10)
    once, parts = Means(3), Means(3)
    once.add(features, labels)
    for part in (slice(0, 2), slice(2, 21), slice(21, 30)):
        parts.add(features[part], labels[part])
    torch.testing.assert_close(parts.vectors, once.vectors)
    torch.testing.assert_close(once.vectors[1], features[labels == 1].mean(0))


def test_classes_that_were_not_seen_are_never_predicted():
    means = Means(5)
    means.add(torch.eye(3)[:2], torch.tensor([4, 2]))
    assert means.predict(torch.eye(3)).tolist()[:2] == [4, 2]
    assert set(means.predict(torch.randn(50, 3, generator=generator())).tolist()) == {2, 4}


def test_an_encoder_is_trained_on_other_data_once_and_leaves_generators_alone(colours, context_for, tmp_path):
    options = {"training": {"epochs": 1, "images": 200, "batch_size": 50}, "encoder_data": "digits"}
    context = replace(context_for(colours), cache=tmp_path)
    with moved_generators() as moved:
        first = list(strategy(**options).run(colours, context))
    assert not moved
    kept = list((tmp_path / "networks").iterdir())
    assert len(kept) == 1
    before = kept[0].stat().st_mtime_ns
    again = list(strategy(**options).run(colours, replace(context, seed=5)))
    assert [row.accuracies for row in again] == [row.accuracies for row in first]
    assert kept[0].stat().st_mtime_ns == before
    encoder = find_encoder(parse(EncoderOptions, options, ""), colours, context)
    assert encoder.sees.shape == (3, 6, 6) and encoder.source.startswith("digits")
    assert first[-1].accuracies == (1.0, 1.0)


def test_an_encoder_never_sees_the_classes_of_the_stream(stream, colours, context_for):
    for name in ("digits", {"name": "digits", "max_per_class": 5}):
        with pytest.raises(UsageError, match=r"may not have seen its classes.*encoder_data=cifar10"):
            strategy(encoder_data=[name]).check(stream, context_for(stream))
    strategy(encoder_data="digits").check(colours, context_for(colours))
    namesake = DataSpec("another", (1, 8, 8), 2, ("7", "cat"), (0.5,), (0.25,), mirror=False)
    with pytest.raises(UsageError, match="digits has some of them"):
        choose_data([Spec(name="digits")], namesake, None)
    assert choose_data([Spec(name="digits"), Spec(name=UNTRAINED)], stream.spec, None) is None


def test_other_data_that_are_not_at_hand_are_asked_for_in_one_line(stream, context_for, tmp_path):
    context = replace(context_for(stream), data_root=tmp_path)
    with pytest.raises(DataError, match=r"not at hand.*--data-root.*encoder_data=untrained") as caught:
        strategy().check(stream, context)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["safetensors", "torch", "nested"])
def test_weights_of_a_file_are_those_that_see(kind, stream, context_for, tmp_path):
    network = build_network(NETWORK, stream.spec)
    state = network.initial(generator(3))
    named = {f"module.{name}": value for name, value in state.items()}
    named |= {"module.classifier.weight": torch.zeros(1000, 8), "module.classifier.bias": torch.zeros(1000)}
    path = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.pt")
    if kind == "safetensors":
        save_file(named, path)
    else:
        torch.save({"state_dict": named, "epoch": 3} if kind == "nested" else named, path)
    encoder = find_encoder(EncoderOptions(weights=path, encoder=NETWORK), stream, context_for(stream))
    real = stream.experiences[0].train
    seen = network.features(state, real.images.float() / 255, ("embedding",), train=False)["embedding"]
    torch.testing.assert_close(encoder.features(real), torch.nn.functional.normalize(seen, dim=1))
    options = EncoderOptions(weights=path, encoder=NETWORK, mean=(0.3,), std=(0.4,))
    moved = find_encoder(options, stream, context_for(stream)).features(real)
    assert (moved - encoder.features(real)).abs().max() > 1e-3


def test_weights_that_cannot_be_used_are_refused_in_one_line(stream, context_for, tmp_path):
    network = build_network(NETWORK, stream.spec)
    other = build_network("convnet-d1-w4-in", stream.spec).initial(generator())
    save_file(other, tmp_path / "other.safetensors")
    (tmp_path / "damaged.pt").write_bytes(b"no weights")
    torch.save([1, 2], tmp_path / "list.pt")
    save_file({"lonely": torch.zeros(1)}, tmp_path / "lonely.safetensors")
    for name, says in (
        ("other.safetensors", r"should be \[8, 1, 3, 3\], but is \[4, 1, 3, 3\].*encoder=NAME"),
        ("damaged.pt", "no weights can be read"),
        ("list.pt", "holds no weights by name"),
        ("lonely.safetensors", "is missing"),
        ("absent.pt", "there is no file"),
    ):
        with pytest.raises(UsageError, match=says) as caught:
            read_weights(tmp_path / name, network)
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="there is no file"):
        strategy(weights=str(tmp_path / "absent.pt")).check(stream, context_for(stream))
    with pytest.raises(UsageError, match="mean and std belong to weights"):
        strategy(mean=(0.5,))


def test_images_are_shown_in_the_encoders_shape():
    grey = torch.tensor([[[[0, 255], [255, 0]]]], dtype=torch.uint8)
    assert torch.equal(adapted(grey, (3, 2, 2)), (grey.float() / 255).expand(1, 3, 2, 2))
    assert adapted(grey, (3, 8, 8)).shape == (1, 3, 8, 8)
    torch.testing.assert_close(adapted(grey, (1, 1, 1)).flatten(), torch.tensor([0.5]))
    red = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    red[:, 0] = 255
    torch.testing.assert_close(adapted(red, (1, 2, 2)), torch.full((1, 1, 2, 2), 0.299))
    with pytest.raises(UsageError, match="4 channels cannot be shown to an encoder that sees 3"):
        adapted(torch.zeros(1, 4, 2, 2, dtype=torch.uint8), (3, 2, 2))


def test_an_encoder_may_see_larger_images_in_colour(stream, context_for):
    encoder = find_encoder(EncoderOptions(encoder_data=(UNTRAINED,), shape=(3, 12, 12)), stream, context_for(stream))
    assert encoder.network.shape == (3, 12, 12)
    features = encoder.features(stream.experiences[0].test)
    assert features.shape == (len(stream.experiences[0].test), 8 * 6 * 6)
