"""The stored labels, and a teacher's."""

import pytest
import torch
from torch import nn

from limbeck.data import DataSpec, RealData
from limbeck.errors import UsageError
from limbeck.networks.functional import FunctionalNetwork
from limbeck.plugins import registry
from limbeck.synthetic import ProjectorContext
from limbeck.training import Epochs, TrainData, accuracy, fit

SPEC = DataSpec("bars", (1, 4, 4), 2, ("dark", "light"), (0.5,), (0.25,), True)


def network(name=None):
    width = {None: 2, "wide": 5}[name]
    module = nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(16 * width, 2)
    )
    return FunctionalNetwork(module, SPEC.shape)


@pytest.fixture
def real():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 2
    pixels = 0.3 * torch.rand(60, 1, 4, 4, generator=generator) + 0.6 * labels[:, None, None, None]
    return RealData(pixels, labels, SPEC)


@pytest.fixture
def context(real):
    def make(**changes):
        given = {"real": real, "spec": SPEC, "network": network, "seed": 3, "device": torch.device("cpu")}
        return ProjectorContext(**given | {"labels": torch.tensor([0, 1, 1])} | changes)

    return make


def make(name, **options):
    return registry().create("label_projectors", {"name": name, **options})


def batch(real):
    index = torch.arange(6)
    return real.take(index), index


def test_hard_gives_the_stored_labels(context, real):
    projector = make("hard")
    projector.prepare(context())
    given = projector.labels(real.take(torch.tensor([5, 6])), torch.tensor([2, 0]), 0, None)
    assert given.tolist() == [1, 0]
    assert projector.bytes() == 0
    assert projector.state_dict() == {}


def test_hard_turns_stored_logits_into_probabilities(context, real):
    logits = torch.tensor([[0.0, 1.0], [2.0, 2.0], [3.0, 0.0]])
    for kind, expected in (("logits", torch.softmax(logits, 1)), ("probabilities", logits)):
        projector = make("hard")
        projector.prepare(context(labels=logits, label_kind=kind))
        assert torch.equal(projector.labels(real.take(torch.arange(3)), torch.arange(3), 0, None), expected)


def test_teacher_learns_the_real_set_and_judges_each_image(context, real):
    teacher = make("teacher", epochs=8, batch_size=10)
    teacher.prepare(context())
    assert accuracy(network(), teacher.state_dict(), real).overall > 0.9
    images, index = batch(real)
    expected = torch.softmax(network()(teacher.state_dict(), images, train=False), 1)
    assert torch.equal(teacher.labels(images, index, 0, None), expected)
    assert not torch.equal(teacher.labels(images.flip(0), index, 0, None), expected)


def test_temperature_softens_the_teacher(context, real):
    images, index = batch(real)
    spread = []
    for temperature in (1.0, 4.0):
        teacher = make("teacher", epochs=1, temperature=temperature)
        teacher.prepare(context())
        spread.append(teacher.labels(images, index, 0, None).logit())
    torch.testing.assert_close(spread[0], 4 * spread[1], rtol=1e-3, atol=1e-3)


def test_teacher_depends_on_its_seed_alone(context):
    states = []
    for seed in (3, 3, 4):
        teacher = make("teacher", epochs=1)
        teacher.prepare(context(seed=seed))
        states.append(teacher.state_dict()["0.weight"])
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_teacher_travels_with_the_set(context, real):
    taught = make("teacher", epochs=1)
    taught.prepare(context())
    carried = make("teacher", epochs=1)
    carried.load_state_dict(taught.state_dict())
    carried.prepare(context(real=None))
    images, index = batch(real)
    assert torch.equal(carried.labels(images, index, 0, None), taught.labels(images, index, 0, None))


def test_state_loaded_after_the_preparation_wins(context, real):
    first, second = make("teacher", epochs=1), make("teacher", epochs=1)
    first.prepare(context())
    second.prepare(context(seed=9))
    second.load_state_dict(first.state_dict())
    images, index = batch(real)
    assert torch.equal(first.labels(images, index, 0, None), second.labels(images, index, 0, None))


def test_teacher_may_be_another_network_and_costs_its_weights(context):
    teacher = make("teacher", epochs=1, network="wide")
    teacher.prepare(context())
    state = teacher.state_dict()
    assert state["0.weight"].shape[0] == 5
    weights = sum(value.numel() for name, value in state.items() if name != "1.num_batches_tracked")
    assert teacher.bytes() == 4 * weights + 8


def test_teacher_without_data_or_weights_says_what_to_give(context):
    with pytest.raises(UsageError, match="--data"):
        make("teacher").prepare(context(real=None))


def test_student_learns_from_the_teacher(context, real):
    teacher = make("teacher", epochs=8, batch_size=10)
    teacher.prepare(context())
    blank = TrainData(real.take(torch.arange(20)), torch.zeros(20, dtype=torch.int64))
    result = fit(
        network(),
        start=[0],
        data=blank,
        labels=teacher,
        loss="soft_ce",
        lr=0.05,
        budget=Epochs(20),
        batch_size=5,
    )
    assert accuracy(network(), result.states[0], real).overall > 0.9
