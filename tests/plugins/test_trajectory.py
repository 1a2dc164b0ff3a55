"""The trajectory matcher: where students start, which labels they learn, and what its methods ask for."""

from __future__ import annotations

import math
from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from limbeck.configure import configure
from limbeck.errors import UsageError
from limbeck.matching import MatcherContext, StepContext, Teacher
from limbeck.plugins import registry
from limbeck.testing.cases import normal, tiny_network

DATA = ("cifar10", "cifar100", "tiny_imagenet", "fashion_mnist", "svhn", "digits")
MIRRORED = {"name": "dsa", "always": "flip", "align_corners": True}


def matcher(**options):
    return registry().create("matchers", {"name": "trajectory", **options})


def at(step):
    return StepContext(step, 0, 1, step)


def segments(made, count=400, *, step=0, experts=3):
    """Draw from as many generators, as a run does."""
    there = SimpleNamespace(experts=experts, epochs=100)
    return [made.segment(there, at(step), torch.Generator().manual_seed(seed)) for seed in range(count)]


# Where students start


def test_starts_and_experts_are_drawn_uniformly_and_the_aim_is_some_epochs_on():
    drawn = segments(matcher(min_start=2, max_start=5, expert_epochs=3))
    assert {segment.end - segment.start for segment in drawn} == {3}
    pairs = Counter((segment.expert, segment.start) for segment in drawn)
    assert set(pairs) == {(expert, start) for expert in range(3) for start in (2, 3, 4)}
    expected = len(drawn) / 9
    assert sum((count - expected) ** 2 / expected for count in pairs.values()) < 26.1  # chi-squared, 8 degrees, 1e-3


def test_the_same_generator_draws_the_same_segment():
    made = matcher()
    assert segments(made, 5) == segments(made, 5)


@pytest.mark.parametrize("first, last, expansion", [(10, 20, 1000), (20, 40, 3000), (3, 4, 7), (5, 5, 10), (1, 70, 2)])
def test_the_upper_bound_grows_as_published(first, last, expansion):
    made = matcher(first_max_start=first, max_start=last, expansion_steps=expansion)
    for step in (0, 1, expansion // 2, expansion - 1, expansion, 5 * expansion):
        assert made.upper(step) == min(first + math.floor((last - first) * step / expansion), last)
    assert max(segment.start for segment in segments(made, step=0)) == first - 1
    assert max(segment.start for segment in segments(made, 2000, step=expansion)) == last - 1


def test_without_a_first_bound_it_stays():
    assert {matcher(max_start=7).upper(step) for step in (0, 10, 10_000)} == {7}


@pytest.mark.parametrize(
    "options, pieces",
    [
        ({"min_start": 20}, ["min_start=20", "max_start=20"]),
        ({"first_max_start": 30}, ["first_max_start=30", "max_start=20"]),
        ({"min_start": 5, "first_max_start": 5}, ["min_start=5", "first_max_start=5"]),
    ],
)
def test_bounds_that_leave_no_epoch_are_refused(options, pieces):
    with pytest.raises(UsageError) as told:
        matcher(**options)
    assert [piece for piece in [*pieces, "rising order"] if piece not in str(told.value)] == []


@pytest.mark.parametrize("epochs, refused", [(21, False), (20, True), (5, True)])
def test_experts_that_were_not_trained_for_long_enough_are_refused_before_the_first_step(epochs, refused):
    network = tiny_network()
    experts = SimpleNamespace(experts=1, epochs=epochs)
    context = MatcherContext(network, 2, 2, torch.Generator(), trajectories=experts, num_images=2)
    made = matcher(max_start=20, expert_epochs=2)
    if not refused:
        made.prepare(context)
        return
    with pytest.raises(UsageError) as told:
        made.prepare(context)
    for piece in (f"trained for {epochs}", "source.epochs=21", f"matcher.max_start={epochs - 1}"):
        assert piece in str(told.value)
    matcher(max_start=epochs - 1, expert_epochs=2).prepare(context)


# Labels


def test_teacher_labels_are_the_probabilities_of_the_expert_aimed_at():
    network = tiny_network(torch.float64)
    state, images = network.initial(torch.Generator().manual_seed(3)), normal(5, *network.shape)
    made, labels = matcher(teacher_labels=True), torch.zeros(5, dtype=torch.int64)
    found = made.labels(images, labels, Teacher(network, state))
    logits = network(state, images, train=False)
    torch.testing.assert_close(found, logits.exp() / logits.exp().sum(1, keepdim=True))
    assert made.relabels()
    assert not matcher().relabels()


# The methods


def resolved(method, data="cifar10", ipc=10, profile="published", **settings):
    return configure(method, profile=profile, settings={"data": data, "ipc": ipc, **settings})


@pytest.mark.parametrize("method", ["mtt", "tesla", "fyi_mtt"])
@pytest.mark.parametrize("profile", ["published", "small"])
def test_experts_are_trained_as_far_as_students_look_and_no_farther(method, profile):
    for data in DATA:
        for ipc in (1, 2, 10, 20, 50, 100):
            config = resolved(method, data, ipc, profile)
            follows = registry().create("matchers", config.matcher.model_dump()).options
            assert config.source.options()["epochs"] == follows.max_start - 1 + follows.expert_epochs


PUBLISHED = {
    ("cifar10", 1): (50, 2, 2, None, 100, 1e-7, 0.01, "zca"),
    ("cifar10", 10): (30, 2, 20, None, 100, 1e-5, 0.001, "zca"),
    ("cifar10", 50): (30, 2, 40, None, 1000, 1e-5, 0.001, "standard"),
    ("cifar100", 1): (20, 3, 20, None, 1000, 1e-5, 0.01, "zca"),
    ("cifar100", 10): (20, 2, 20, None, 1000, 1e-5, 0.01, "standard"),
    ("cifar100", 50): (80, 2, 40, 125, 1000, 1e-5, 0.01, "zca"),
    ("tiny_imagenet", 1): (10, 2, 10, 200, 1e4, 1e-4, 0.01, "standard"),
    ("tiny_imagenet", 10): (20, 2, 40, 200, 1e4, 1e-4, 0.01, "standard"),
    ("tiny_imagenet", 50): (20, 2, 40, 300, 1e4, 1e-4, 0.01, "standard"),
}
"""The table of arXiv:2203.11932: updates, epochs to the aim, epochs to start from, images of an update (None: all; the
200 of ipc 1 on Tiny ImageNet are all), rates of images and of the students' rate, where that starts, preprocessing."""


def stated(config):
    follows, moved = registry().create("matchers", config.matcher.model_dump()).options, config.optimiser
    rates = (moved.lr_img, moved.lr_lr, moved.syn_lr)
    return follows.steps, follows.expert_epochs, follows.max_start, follows.batch_syn, *rates, config.data.preprocessing


@pytest.mark.parametrize("place", PUBLISHED)
def test_settings_are_those_of_the_authors_table(place):
    config = resolved("mtt", *place)
    assert stated(config) == PUBLISHED[place]
    assert config.budget.iterations == 5000
    assert config.reference is not None and config.deviations == ()


@pytest.mark.parametrize("place", PUBLISHED)
def test_tesla_moves_images_by_half_of_what_its_code_was_given(place):
    """Its code loses a factor of 2, and tells two settings; the others are those of the paper it builds on."""
    told = {("cifar10", 1): {2: 5, 4: 500}, ("cifar100", 50): {4: 500}}.get(place, {})
    expected = tuple(told.get(column, value) for column, value in enumerate(PUBLISHED[place]))
    config = resolved("tesla", *place)
    assert stated(config) == expected
    assert config.matcher.options()["gradient"] == "truncated"
    assert config.matcher.options().get("teacher_labels", False) is False
    assert config.budget.iterations == 10_000


@pytest.mark.parametrize("place", [*PUBLISHED, ("fashion_mnist", 10)])
def test_mirror_images_leave_as_many_images_in_an_update_as_there_are_stored_ones(place):
    data, ipc = place
    classes = {"cifar100": 100, "tiny_imagenet": 200}.get(data, 10)
    theirs, ours = stated(resolved("mtt", *place)), stated(resolved("fyi_mtt", *place))
    assert ours[3] == (theirs[3] or classes * ipc)
    assert (*ours[:3], *ours[4:]) == (*theirs[:3], *theirs[4:])
    config = resolved("fyi_mtt", *place)
    assert config.formation.name == "flip"
    everywhere = [config.augmentation, config.evaluation.protocol.augmentation, config.source.options()["augmentation"]]
    assert [each if isinstance(each, dict) else each.model_dump() for each in everywhere] == [MIRRORED] * 3


def test_experts_of_mtt_and_tesla_are_the_same_but_for_how_far_they_go():
    mtt, tesla = (resolved(method, "cifar10", 1).source.model_dump() for method in ("mtt", "tesla"))
    assert mtt.pop("epochs") == 3 and tesla.pop("epochs") == 6
    assert mtt == tesla
