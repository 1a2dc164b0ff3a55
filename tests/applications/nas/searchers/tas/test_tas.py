"""TAS on digits: what is asked of its result, what it spends, and that it goes on where it was killed."""

from __future__ import annotations

import math

import pytest
import torch

from limbeck.data import load_dataset
from limbeck.errors import UsageError
from limbeck.plugins import registry
from limbeck.seeding import generator
from limbeck.synthetic import LabelProjector
from limbeck.training import TrainData, accuracy
from limbeck_applications.nas.candidates.job import network_of
from limbeck_applications.nas.candidates.kept import Scores
from limbeck_applications.nas.candidates.lab import KeptLab
from limbeck_applications.nas.candidates.scoring import Scorer
from limbeck_applications.nas.problem import problem_of
from limbeck_applications.nas.searcher import Plan
from limbeck_applications.nas.searchers.tas.halves import Part, PartLabels, halves
from limbeck_applications.nas.searchers.tas.sizes import Grid, expected_flops, mode
from limbeck_applications.nas.searchers.tas.supernet import (
    FIRST,
    LAST,
    Course,
    Supernet,
    batch_size,
    seen,
    updates_worth,
)
from limbeck_applications.nas.spaces.chains import Chains
from limbeck_applications.nas.study.images import Images

CPU = torch.device("cpu")
SPACE = {"name": "chains", "widths": [2, 3, 4, 6], "stages": 2, "layers": 2}
PROXY = {"name": "random", "ipc": 4, "epochs": 2, "lr": 0.05, "batch_size": 8}
IMAGES, EPOCHS = 12, 2


class Killed(Exception):
    """Stands for a kill."""


class Fragile(KeptLab):
    """A lab that is killed before it keeps something for the ``last``-th time."""

    last = 10**9

    def keep(self, name, state):
        self.last -= 1
        if self.last < 0:
            raise Killed
        super().keep(name, state)


@pytest.fixture(scope="module")
def problem():
    data = load_dataset("digits", classes=range(3))
    return problem_of(data, images=30, validation=30, network="convnet-d1-w4-in")


@pytest.fixture
def lab(problem, tmp_path, one_thread):
    """Make a lab: ``lab(evaluations, space={}, proxy={}, folder=...)``."""

    def make(evaluations=8, space=None, proxy=None, folder=tmp_path, seed=0):
        spec = {**SPACE, **(space or {})}
        images = Images(registry().create("nas_spaces", spec), spec, problem, problem.validation, CPU)
        executor = registry().create("executors", "serial")
        scorer = Scorer(images, {**PROXY, **(proxy or {})}, folder, Scores(folder), executor)
        return Fragile(scorer, "tas", evaluations, seed)

    return make


def tas(**options):
    return registry().create("nas_searchers", {"name": "tas", **options})


def checked(lab, **options):
    searcher = tas(**options)
    searcher.check(Plan(lab.space, lab.problem, lab.proxy, lab.evaluations))
    return searcher


def searched(lab, **options):
    checked(lab, **options).search(lab)
    return lab.trials


def supernet(lab, updates=8, low=0.0, high=1e9, **numbers):
    given = {"updates": updates, "lr": 0.05, "sizes_lr": 0.05, "penalty": 2.0, "seed": 3, **numbers}
    course = Course(low=low, high=high, **given)
    lesson = lab.proxy.lesson(lab.prepared, CPU)
    return Supernet(Grid.of(lab.space, lab.problem.spec), lesson, course, CPU)


@pytest.mark.parametrize("norms", [["batch", "none"], ["none"]])
@pytest.mark.parametrize("flops", [0.3, 0.5, 0.9])
def test_the_result_costs_what_is_asked_for_taught_or_not(lab, tmp_path, flops, norms):
    results = [
        searched(lab(space={"norms": norms}, folder=tmp_path / f"{teach}"), flops=flops, teach=teach, updates=3)
        for teach in (True, False)
    ]
    for trials in results:
        (trial,) = trials
        assert abs(trial.cost.flops / trial.notes["target_flops"] - 1) <= 0.05
        assert trial.architecture.traits["norm"] == norms[0]
    assert results[0][0].architecture == results[1][0].architecture


def test_it_spends_the_images_of_its_evaluations(lab, tmp_path):
    for teach in (True, False):
        (trial,) = searched(lab(evaluations=8, folder=tmp_path / f"{teach}"), teach=teach)
        allowed = 8 * EPOCHS * IMAGES
        assert allowed - IMAGES < trial.notes["image_passes"] <= allowed
        own = (1 + 3 * teach) * EPOCHS * IMAGES
        assert trial.notes["image_passes"] - own == trial.notes["updates"] * IMAGES


@pytest.mark.parametrize("size", [2, 4, 5])
def test_small_batches_leave_no_images_unspent(lab, size):
    (trial,) = searched(lab(proxy={"batch_size": size}))
    assert 0 <= 8 * EPOCHS * IMAGES - trial.notes["image_passes"] < IMAGES
    assert trial.notes["updates"] == 4 * EPOCHS * math.ceil(IMAGES / 2 / size)


@pytest.mark.parametrize(("images", "most"), [(60, 25), (7, 3), (51, 25), (12, 64), (9, 2)])
def test_updates_are_worth_the_images_that_are_counted(images, most):
    parts = [(half, batch_size(half, most)) for half in (images - images // 2, images // 2)]
    assert all(size >= 2 and half % size != 1 for half, size in parts)
    for allowed in (0, 1, images, 10 * images + 7):
        found = updates_worth(images, most, allowed)
        assert sum(seen(*part, found) for part in parts) <= allowed
        assert sum(seen(*part, found + 1) for part in parts) > allowed


def test_more_networks_of_a_score_are_worth_more_images(lab):
    (trial,) = searched(lab(evaluations=6, proxy={"networks": 3}))
    assert trial.notes["image_passes"] == 6 * 3 * EPOCHS * IMAGES


def test_what_the_teacher_taught_is_kept_and_measured(lab):
    own = lab()
    (trial,) = searched(own, updates=2)
    network = network_of(own.space, trial.architecture, own.problem.spec, CPU)
    aside = own.problem.validation.seen_as(own.proxy.lesson(own.prepared, CPU).spec)
    assert accuracy(network, own.kept("taught"), aside).overall == trial.notes["taught"]
    largest = own.space.find("6-6_6-6_batch")
    network = network_of(own.space, largest, own.problem.spec, CPU)
    assert accuracy(network, own.kept("teacher"), aside).overall == trial.notes["teacher"]


@pytest.mark.parametrize("last", [0, 3, 6])
def test_a_killed_search_goes_on_to_the_same_result(lab, tmp_path, last):
    whole, cut = lab(folder=tmp_path / "whole"), lab(folder=tmp_path / "cut")
    expected = searched(whole, updates=5)
    cut.last = last
    with pytest.raises(Killed):
        searched(cut, updates=5)
    again = lab(folder=tmp_path / "cut")
    found = searched(again, updates=5)
    assert [(each.architecture, each.notes, each.value) for each in found] == [
        (each.architecture, each.notes, each.value) for each in expected
    ]
    first, second = again.kept("supernet"), whole.kept("supernet")
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_finished_search_trains_nothing_again(lab):
    searched(lab(), updates=3)
    again = lab()
    again.last = 0
    assert searched(again, updates=3)[0].notes["updates"] == 3


def test_other_seeds_learn_otherwise(lab):
    first, second = lab(), lab(seed=1)
    searched(first, updates=3, teach=False)
    searched(second, updates=3, teach=False)
    assert not torch.equal(first.kept("supernet")["widths.logits"], second.kept("supernet")["widths.logits"])


@pytest.mark.parametrize(("low", "high", "sign"), [(0.0, 1.0, -1), (1e9, 2e9, 1)])
def test_the_cost_moves_towards_what_is_asked_for(lab, low, high, sign):
    net = supernet(lab(), low=low, high=high, penalty=20.0)

    def mean():
        return float(expected_flops(net.grid, torch.softmax(net.widths, 1), torch.softmax(net.depths, 1)).detach())

    before = mean()
    net.run(lambda: None)
    assert (mean() - before) * sign > 0.2 * before


def test_no_cost_is_charged_within_the_tolerance(lab):
    net = supernet(lab())
    flops = net.grid.flops(mode(net.grid, net.widths, net.depths))
    for low, high, charged in ((0.95, 1.05, 0), (1.01, 1.05, -1), (0.9, 0.99, 1)):
        other = supernet(lab(), low=low * flops, high=high * flops)
        mean = expected_flops(other.grid, torch.softmax(other.widths, 1), torch.softmax(other.depths, 1))
        assert float(other._penalty().detach()) == pytest.approx(charged * float(torch.log(mean.detach() / 1e6)))


def test_weights_and_sizes_learn_from_different_images(lab):
    net = supernet(lab(), updates=2)
    before = {name: value.clone() for name, value in net.weights.state().items()}
    sizes = net.widths.detach().clone()
    net.update()
    assert any(not torch.equal(before[name], value) for name, value in net.weights.state().items())
    assert not torch.equal(sizes, net.widths.detach())
    one, other = (set(each.task.data.index.tolist()) for each in (net.weights, net.others))
    assert not one & other and len(one | other) == IMAGES


def test_the_temperature_falls_in_a_straight_line(lab):
    net, seen = supernet(lab(), updates=5), []
    while net.done < 5:
        seen.append(net.temperature)
        net.update()
    assert seen[0] == FIRST and seen[-1] == pytest.approx(LAST)
    assert seen == pytest.approx([FIRST + (LAST - FIRST) * step / 4 for step in range(5)])


def test_halves_have_as_many_of_each_class():
    labels = torch.arange(23) % 3
    data = TrainData(torch.arange(23.0).view(23, 1, 1, 1), labels)
    first, second = halves(data, generator(0, "halves"))
    assert sorted([*first.index.tolist(), *second.index.tolist()]) == list(range(23))
    assert (first.labels.bincount() - second.labels.bincount()).abs().max() <= 1
    assert len(first) - len(second) == 1
    assert first.take(torch.tensor([1, 0])).flatten().tolist() == first.index[[1, 0]].tolist()
    soft = TrainData(data.images, torch.nn.functional.one_hot(labels, 3).float())
    assert torch.equal(halves(soft, generator(0, "halves"))[0].index, first.index)


class Rows(LabelProjector):
    """Says which rows it was asked for."""

    by_training_image = False

    def plan(self, index, epoch, generator):
        self.planned = index.tolist()

    def labels(self, images, index, epoch, draw):
        return index


@pytest.mark.parametrize("by_training_image", [True, False])
def test_labels_of_a_part_are_those_of_the_whole(by_training_image):
    stored = torch.tensor([0, 0, 1, 1, 2, 2])
    data = TrainData(torch.zeros(6, 1, 1, 1), stored, stored)
    whole = Rows()
    whole.by_training_image = by_training_image
    labels, rows = PartLabels(whole, Part(data, torch.tensor([5, 3, 0]))), torch.tensor([2, 0])
    expected = [0, 5] if by_training_image else [0, 2]
    labels.plan(rows, 0, generator(0, "plan"))
    assert whole.planned == expected
    assert labels.labels(data.images[:2], rows, 0, None).tolist() == expected


def test_stored_soft_labels_of_views_are_learned_from(lab):
    views = {"settings": {"labels": {"name": "stored", "passes": 2, "epochs": 1}}}
    (trial,) = searched(lab(proxy=views), updates=2)
    assert trial.failed == "" and trial.value >= 0


@pytest.mark.parametrize(
    ("space", "proxy", "said"),
    [("convnet72", "random", "--space chains"), ("chains", "parameters", "--proxy distilled")],
)
def test_what_it_cannot_search_is_refused(space, proxy, said):
    with pytest.raises(UsageError, match=said):
        tas().check(Plan(registry().create("nas_spaces", space), None, registry().create("nas_proxies", proxy), 40))


def test_a_cost_that_no_network_has_is_refused_before_anything_is_trained(lab):
    own = lab(space={"widths": [2, 6], "layers": 1})
    with pytest.raises(UsageError, match=r"no network of chains has 0\.8 .* the nearest has") as found:
        checked(own, flops=0.8)
    share = str(found.value).split("the nearest has ")[1].split(":")[0]
    assert own.kept("supernet") is None
    assert searched(own, flops=float(share), updates=1, teach=False)


@pytest.mark.parametrize("teach", [True, False])
@pytest.mark.parametrize("networks", [1, 2, 5])
def test_too_few_evaluations_say_at_once_how_many_it_takes(lab, networks, teach):
    def own(evaluations):
        return lab(evaluations, proxy={"networks": networks, "epochs": 1})

    with pytest.raises(UsageError, match="1 evaluations are too few") as found:
        checked(own(1), teach=teach)
    enough = int(str(found.value).split("--evaluations ")[1].split()[0])
    assert searched(own(enough), teach=teach)
    for check in (lambda few: checked(few, teach=teach), lambda few: tas(teach=teach).search(few)):
        with pytest.raises(UsageError, match=f"too few .* give --evaluations {enough} or more"):
            check(own(enough - 1))
    checked(own(1), teach=teach, updates=1)


def test_too_few_images_are_refused(lab):
    with pytest.raises(UsageError, match="give it a larger ipc"):
        searched(lab(proxy={"ipc": 1}), updates=1)


def test_a_space_of_other_networks_is_refused_before_anything_is_trained(lab, monkeypatch):
    build = Chains.build

    def longer(self, architecture, shape, num_classes):
        return build(self, architecture, shape, num_classes + 1)

    monkeypatch.setattr(Chains, "build", longer)
    own = lab()
    with pytest.raises(UsageError, match=r"'6-6_6-6_batch' for convolutions in stages .* in 'chains' it has"):
        checked(own)
    assert own.kept("supernet") is None
