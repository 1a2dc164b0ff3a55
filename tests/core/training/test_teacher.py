"""A teacher beside the labels, against the definition written out with PyTorch's own losses."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from limbeck import seeding
from limbeck.errors import UsageError
from limbeck.networks.functional import FunctionalNetwork
from limbeck.training import Epochs, Steps, Teacher, TrainData, fit

ALPHA, TEMPERATURE = 0.7, 3.0


def larger(classes=3, shape=(1, 6, 6), dtype=torch.float64):
    side = shape[1] // 2
    body = [nn.Conv2d(1, 7, 3, padding=1), nn.BatchNorm2d(7), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()]
    return FunctionalNetwork(nn.Sequential(*body, nn.Linear(7 * side**2, classes)), shape, dtype=dtype)


@pytest.fixture
def teacher(data):
    network = larger()
    state = fit(network, start=[5], data=data, lr=0.1, budget=Steps(10)).states[0]
    return Teacher(network, state, ALPHA, TEMPERATURE)


def by_hand(network, data, teacher, steps, weights=None, mask=None):
    """Descend on (1 - a) CE + a T^2 KL over the whole set, the sums divided by the weights' sum."""
    state = {name: value.clone() for name, value in network.initial(seeding.generator(1, "init")).items()}
    weights = torch.ones(len(data), dtype=torch.float64) if weights is None else weights
    mask = torch.ones(3, dtype=torch.bool) if mask is None else mask
    known = teacher.network(teacher.state, data.images, train=False)[:, mask] / teacher.temperature
    names, places = network.parameter_names, mask.cumsum(0) - 1
    for _ in range(steps):
        leaves = {name: state[name].detach().requires_grad_() for name in names}
        logits = network({**state, **leaves}, data.images)[:, mask]
        own = F.cross_entropy(logits, places[data.labels], reduction="none")
        said = F.log_softmax(logits / teacher.temperature, 1)
        taught = F.kl_div(said, F.softmax(known, 1), reduction="none").sum(1) * teacher.temperature**2
        losses = (1 - teacher.alpha) * own + teacher.alpha * taught
        found = torch.autograd.grad((losses * weights).sum() / weights.sum(), list(leaves.values()))
        state |= {name: (leaves[name] - 0.1 * each).detach() for name, each in zip(names, found, strict=True)}
    return state


@pytest.mark.parametrize("chunk", [None, 3])
def test_students_learn_from_labels_and_teacher(network, data, teacher, assert_same, chunk):
    result = fit(network, start=[1], data=data, lr=0.1, budget=Steps(4), teacher=teacher, chunk=chunk)
    assert_same(result.states[0], by_hand(network, data, teacher, 4), 1e-12)


def test_weights_and_masks_are_the_teachers_too(network, data, teacher, assert_same):
    data = TrainData(data.images, data.labels % 2)
    weights = torch.arange(1.0, 11, dtype=torch.float64)
    mask = torch.tensor([True, True, False])
    settings = {"sample_weights": weights, "mask_norm": "sum", "class_mask": mask, "chunk": 4}
    result = fit(network, start=[1], data=data, lr=0.1, budget=Steps(3), teacher=teacher, **settings)
    assert_same(result.states[0], by_hand(network, data, teacher, 3, weights, mask), 1e-12)


def test_a_teacher_without_a_share_changes_nothing(network, data, teacher, assert_same):
    silent = Teacher(teacher.network, teacher.state, alpha=0.0)
    plain, taught = (fit(network, start=[1], data=data, lr=0.1, budget=Steps(5), teacher=t) for t in (None, silent))
    assert_same(plain.states[0], taught.states[0], 1e-12)


def test_a_student_that_knows_all_its_teacher_knows_stays(network, data, assert_same):
    state = fit(network, start=[2], data=data, lr=0.1, budget=Steps(5)).states[0]
    itself = Teacher(network, state, alpha=1.0)
    result = fit(network, start=[state], seeds=[0], data=data, lr=1.0, budget=Steps(5), teacher=itself)
    assert_same(result.states[0], state, 1e-10)


def test_the_teacher_sees_what_the_student_sees_and_stays_as_it_is(network, data, teacher, shift, monkeypatch):
    before = {name: value.clone() for name, value in teacher.state.items()}
    seen = {"teacher": [], "student": []}
    for name, own in (("teacher", teacher.network), ("student", network)):
        forward = own.module.forward
        monkeypatch.setattr(own.module, "forward", lambda x, f=forward, n=name: (seen[n].append(x), f(x))[1])
    fit(network, start=[1], data=data, lr=0.1, budget=Epochs(1), batch_size=4, teacher=teacher, augmentation=shift)
    batches = {name: [each for each in images if len(each) > 1] for name, images in seen.items()}
    assert len(batches["student"]) == 3
    assert all(torch.equal(*pair) for pair in zip(batches["teacher"], batches["student"], strict=True))
    assert all(torch.equal(teacher.state[name], value) for name, value in before.items())


def test_a_teacher_may_be_of_another_type(network, data, teacher, assert_same):
    rounded = {name: value.float() if value.is_floating_point() else value for name, value in teacher.state.items()}
    single = Teacher(larger(dtype=torch.float32), rounded, ALPHA, TEMPERATURE)
    first, second = (
        fit(network, start=[1], data=data, lr=0.1, budget=Steps(4), teacher=t).states[0] for t in (teacher, single)
    )
    assert_same(first, second, 1e-5)
    assert all(value.dtype == torch.float64 for value in second.values())


def test_a_taught_network_goes_on_where_it_was_left(network, data, teacher, assert_same):
    settings = {"start": [1], "data": data, "lr": 0.1, "batch_size": 4, "momentum": 0.9, "teacher": teacher}
    whole = fit(network, budget=Steps(7), **settings)
    half = fit(network, budget=Steps(3), **settings)
    assert_same(fit(network, budget=Steps(7), resume_from=half, **settings).states[0], whole.states[0])


def test_students_differ_from_those_of_labels_alone(network, data, teacher, differ):
    plain = fit(network, start=[1], data=data, lr=0.1, budget=Steps(4))
    assert differ(
        plain.states[0], fit(network, start=[1], data=data, lr=0.1, budget=Steps(4), teacher=teacher).states[0]
    )


@pytest.mark.parametrize("other", [{"classes": 4}, {"shape": (1, 8, 8)}])
def test_a_teacher_of_other_images_or_classes_is_refused(network, data, other):
    stranger = larger(**other)
    teacher = Teacher(stranger, stranger.initial(seeding.generator(0, "init")))
    with pytest.raises(UsageError, match="Give a teacher of the same images and classes"):
        fit(network, start=[0], data=data, lr=0.1, budget=Steps(1), teacher=teacher)


@pytest.mark.parametrize(("numbers", "said"), [({"alpha": 1.1}, "from 0 .* to 1"), ({"temperature": 0.0}, "above 0")])
def test_numbers_out_of_range_are_refused(teacher, numbers, said):
    with pytest.raises(UsageError, match=said):
        Teacher(teacher.network, teacher.state, **numbers)


def test_taught_networks_are_not_stacked(network, data, teacher, assert_same):
    settings = {"start": [0, 1], "data": data, "lr": 0.1, "budget": Steps(2), "teacher": teacher}
    with pytest.raises(UsageError, match="teacher"):
        fit(network, stacked=True, **settings)
    assert_same(fit(network, stacked=None, **settings).states[1], fit(network, **settings).states[1])
