"""Starting from real images that trained networks classify rightly: which ones, in which order, by whose word."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.configure import configure
from limbeck.data import DataSpec, RealData, load_dataset
from limbeck.distillation import classified as module
from limbeck.distillation import start
from limbeck.distillation.classified import classified
from limbeck.distillation.start import starting_images
from limbeck.errors import DataError, UsageError
from limbeck.networks import FunctionalNetwork, build_network
from limbeck.runs import run
from limbeck.seeding import Generators, generator

SPEC = DataSpec("tiny", (1, 1, 2), 3, ("a", "b", "c"), (0.0,), (1.0,), True)
NETWORK = FunctionalNetwork(nn.Sequential(nn.Flatten(), nn.Linear(2, 3)), SPEC.shape)


def teacher(pixel):
    """Return a network that says of an image the class nearest to ten times one of its pixels."""
    classes = torch.arange(3.0)
    weight = torch.zeros(3, 2)
    weight[:, pixel] = 20 * classes
    return {"1.weight": weight, "1.bias": -classes.square()}


@pytest.fixture
def real():
    """Eight images of three classes; the first pixel tells the class of some, the second that of others."""
    labels = torch.arange(24) % 3
    says = [torch.where(torch.arange(24) // 3 < right, labels, (labels + 1) % 3) for right in (5, 7)]
    images = torch.stack(says, 1).reshape(24, 1, 1, 2) / 10
    return RealData(images, labels, SPEC)


def chosen(real, wanted, *states):
    return classified(real, wanted, lambda: iter(states), NETWORK, generator(0, "init"))


def orders(real):
    owner = generator(0, "init")
    return [real.sample(group, 8, owner).tolist() for group in range(3)]


def test_the_first_network_chooses_in_a_random_order(real):
    found = chosen(real, 4, teacher(0), teacher(1))
    right = [[index for index in order if index // 3 < 5][:4] for order in orders(real)]
    assert found.index.reshape(3, 4).tolist() == right
    assert found.group.tolist() == found.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert torch.equal(found.images, real.take(found.index))
    assert found.index.tolist() != sorted(found.index.tolist())


def test_the_next_network_chooses_what_is_missing(real):
    found = chosen(real, 7, teacher(0), teacher(1)).index.reshape(3, 7)
    for own, order in zip(found.tolist(), orders(real), strict=True):
        assert own[:5] == [index for index in order if index // 3 < 5]
        assert own[5:] == [index for index in order if 5 <= index // 3 < 7]


def test_no_more_networks_are_asked_than_needed(real):
    def teachers():
        yield teacher(0)
        raise AssertionError("asked for another network")

    assert len(classified(real, 5, teachers, NETWORK, generator(0, "init")).index) == 15


@pytest.mark.parametrize("size", [1, 3, 100])
def test_passes_do_not_change_the_choice(real, size, monkeypatch):
    whole = chosen(real, 6, teacher(0), teacher(1))
    monkeypatch.setattr(module, "IMAGES_A_PASS", size)
    assert torch.equal(chosen(real, 6, teacher(0), teacher(1)).index, whole.index)


def test_without_trained_networks_another_source_is_named(real):
    with pytest.raises(UsageError, match=r"no trained ones.*--set source=experts.*--set init.from=real"):
        chosen(real, 1)


@pytest.mark.parametrize(
    ("states", "said"), [((0,), "1 trained network classifies only 5"), ((0, 1), "2 trained .* 7")]
)
def test_too_few_right_images_are_counted(real, states, said):
    with pytest.raises(DataError, match=rf"8 images of class 0 of 'tiny', but the {said} rightly. Lower --ipc"):
        chosen(real, 8, *map(teacher, states))


@pytest.mark.parametrize(("formation", "made_of"), [("identity", 1), ("tiles", 4)])
def test_a_run_starts_from_what_its_networks_get_right(formation, made_of, monkeypatch):
    settings = {"ipc": 2, "init": {"from": "classified"}, "formation": formation, "network": "convnet-d1-w4-in"}
    config, real = configure("dm", profile="small", settings=settings), load_dataset("digits").train
    network = build_network(config.network, real.spec)
    state = network.initial(generator(1, "init"))
    bias = next(name for name in reversed(network.parameter_names) if state[name].shape == (10,))
    # Each calls every image by one class, and so is right about one class alone.
    states = [{**state, bias: 1e4 * torch.eye(10)[number]} for number in range(10)]
    asked = []
    monkeypatch.setattr(start, "classified", lambda *given: asked.append(classified(*given)) or asked[-1], raising=True)
    images, labels, group = starting_images(config, real, Generators(0), teachers=lambda: iter(states))
    assert labels.tolist() == group.tolist() == [number for number in range(10) for _ in range(2)]
    assert len(images) == 20
    assert asked[0].labels.tolist() == [number for number in range(10) for _ in range(2 * made_of)]
    assert torch.equal(real.labels[asked[0].index], asked[0].labels)


def test_a_source_without_trained_networks_is_refused_before_the_first_step():
    config = configure("dm", profile="small", settings={"init": {"from": "classified"}})
    with pytest.raises(UsageError, match=r"init.from=classified .* no trained ones"):
        starting_images(config, load_dataset("digits").train, Generators(0))


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        (
            "dsa",
            {"init": {"from": "classified"}},
            "init.from=classified .* source 'inner' has none.*--set init.from=real",
        ),
        (
            "dm",
            {"init": {"from": "classified"}},
            "init.from=classified .* source 'fresh' has none. Type --set source=exp",
        ),
        (
            "dsa",
            {"labels": {"name": "learned", "start": "teachers"}},
            "labels 'learned' .* 'inner' has none.*start=class",
        ),
    ],
)
def test_a_source_that_trains_nothing_is_refused_before_data_are_read(method, settings, said, monkeypatch, tmp_path):
    monkeypatch.setattr("limbeck.runs.load_dataset", lambda *a, **k: pytest.fail("data were read"))
    with pytest.raises(UsageError, match=said) as error:
        run(configure(method, profile="small", settings={"data": "digits", **settings}), folder=tmp_path / "run")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()
