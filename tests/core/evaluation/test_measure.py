"""Accuracies depend on the set, the recipe, the seed and the network's number, and on nothing else."""

import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from limbeck.errors import UsageError
from limbeck.evaluation import evaluate_set
from limbeck.evaluation.job import build_network
from limbeck.plugins import registry
from limbeck.seeding import derive_seed
from limbeck.synthetic import Formation
from limbeck.training import Epochs, TrainData, accuracy, fit


@pytest.fixture
def measure(synthetic, data, recipe):
    def run(synthetic=synthetic, recipe=recipe, data=data, **options):
        return evaluate_set(synthetic, data, recipe, **{"networks": 2, **options})

    return run


def test_a_network_is_one_call_of_the_trainer_with_its_own_seed(measure, synthetic, data, recipe, spec):
    network = build_network(recipe.network, spec, torch.device("cpu"))
    direct = fit(
        network,
        start=[derive_seed(5, "eval", "synthetic", number) for number in range(2)],
        data=TrainData(synthetic.normalised(), synthetic.labels),
        lr=recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        budget=Epochs(recipe.epochs),
        batch_size=recipe.batch_size,
        schedule=recipe.course,
    )
    row = measure(seed=5)
    assert row.accuracies == [accuracy(network, state, data.test).overall for state in direct.states]
    assert len(set(row.accuracies)) == 2


def test_accuracies_do_not_depend_on_how_many_networks_there_are(measure):
    assert measure(networks=3).accuracies[:2] == measure(networks=2).accuracies


def test_seed_and_label_decide_the_networks(measure):
    figures = [measure(**options).accuracies for options in ({}, {"seed": 1}, {"label": "other"})]
    assert figures[0] == measure().accuracies
    assert len({tuple(each) for each in figures}) == 3


def test_the_row_states_what_was_measured(measure, synthetic, recipe):
    row = measure()
    assert (row.label, row.protocol, row.images, row.bytes) == ("synthetic", "dc", 6, synthetic.bytes)
    assert row.recipe == recipe.to_dict()
    counts = torch.tensor([17.0, 17.0, 16.0])  # of the test images
    assert float(torch.tensor(row.per_class) @ counts / 50) == pytest.approx(row.mean)


def test_test_images_are_normalised_as_the_set_was(measure, data):
    other = replace(data.spec, mean=(0.1,), std=(0.7,))
    moved = replace(data, spec=other, test=type(data.test)(data.test.images, data.test.labels, other))
    assert measure(data=moved).accuracies == measure().accuracies


def test_the_set_trains_through_its_formation(measure, synthetic, recipe, monkeypatch):
    class Negative(Formation):
        def expand(self, images, labels, group, phase):
            assert phase == "evaluate"
            return torch.cat([images, -images]), labels.repeat(2), group.repeat(2)

    doubled = synthetic.with_(
        images=torch.cat([synthetic.images, -synthetic.images]),
        labels=synthetic.labels.repeat(2),
        group=synthetic.group.repeat(2),
    )
    expected = measure(doubled).accuracies
    create = registry().create
    monkeypatch.setattr(
        registry(), "create", lambda kind, spec: Negative() if kind == "formations" else create(kind, spec)
    )
    assert measure(recipe=recipe.with_(formation={"name": "identity"})).accuracies == expected


def test_a_flip_is_left_out_where_it_changes_the_class(measure, recipe):
    flips, without = (
        recipe.with_(augmentation={"name": "dsa", "strategy": strategy}) for strategy in ("crop_flip", "crop")
    )
    assert measure(recipe=flips).accuracies == measure(recipe=without).accuracies


def test_augmentation_changes_the_networks(measure, recipe):
    assert measure(recipe=recipe.with_(augmentation={"name": "dsa"})).accuracies != measure().accuracies


def test_logits_are_learned_as_the_probabilities_they_stand_for(measure, synthetic):
    logits = 3 * torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    soft = [
        synthetic.with_(labels=logits, label_kind="logits"),
        synthetic.with_(labels=logits.softmax(1), label_kind="probabilities"),
    ]
    rows = [measure(each) for each in soft]
    assert rows[0].accuracies == rows[1].accuracies != measure().accuracies
    assert [row.label_kind for row in rows] == ["logits", "probabilities"]


def test_a_projectors_tensors_travel_with_the_set_or_are_made_once_and_paid_for(
    measure, synthetic, data, recipe, spec, monkeypatch
):
    taught = recipe.with_(labels={"name": "teacher", "epochs": 3, "lr": 0.1})
    made = measure(recipe=taught)
    size = build_network(recipe.network, spec, torch.device("cpu")).num_parameters * 4
    assert made.bytes == synthetic.bytes + size
    assert made.labels == "teacher"

    caught = []
    projector = registry().create("label_projectors", taught.labels)
    monkeypatch.setattr(type(projector), "prepare", _catching(type(projector).prepare, caught))
    assert measure(recipe=taught).accuracies == made.accuracies
    state = {f"label_projectors.teacher.{key}": value for key, value in caught[0].state_dict().items()}
    carried = measure(synthetic.with_(component_state=state), taught)
    assert carried.accuracies == made.accuracies != measure().accuracies
    assert carried.bytes == made.bytes


def _catching(prepare, caught):
    def wrapped(self, context):
        prepare(self, context)
        caught.append(self)

    return wrapped


def test_mixed_precision_is_an_option(measure):
    losses = []
    for dtype in (torch.float32, torch.bfloat16):
        measure(dtype=dtype, networks=1, on_result=lambda _, result: losses.append(result["loss"]))
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.1)


def test_a_set_of_other_images_is_refused(measure, synthetic):
    small = synthetic.with_(images=synthetic.images[..., :4], spec=replace(synthetic.spec, shape=(1, 8, 4)))
    with pytest.raises(UsageError, match=r"holds images of 1x8x4 in 3 classes, but 'bars' has 1x8x8 in 3 cl"):
        measure(small)


def test_no_network_is_refused(measure):
    with pytest.raises(UsageError, match="0 evaluation networks were asked for: give 1 or more"):
        measure(networks=0)


def test_progress_is_told_network_by_network(measure):
    told = []
    row = measure(on_result=lambda network, result: told.append((network, result["accuracy"])))
    assert told == list(enumerate(row.accuracies))


SCRIPT = """
import os, signal, sys, torch
from pathlib import Path
from limbeck.data import DataSet, DataSpec, RealData
from limbeck.evaluation import Recipe, evaluate_set
from limbeck.synthetic import SyntheticSet

def measure(cache, on_result=None):
    spec = DataSpec("noise", (1, 8, 8), 2, ("a", "b"), (0.5,), (0.3,), True)
    images = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    real = RealData(images, torch.arange(40) % 2, spec)
    chosen = SyntheticSet(real.take(torch.arange(6)), real.labels[:6], real.labels[:6], spec)
    recipe = Recipe(network="convnet-d1-w4-in", epochs=3, augmentation={"name": "dsa"})
    data = DataSet(spec, real, real)
    return evaluate_set(chosen, data, recipe, networks=3, cache=cache, on_result=on_result)
"""
KILL = "measure(Path(sys.argv[1]), lambda *_: os.kill(os.getpid(), signal.SIGKILL))"


def test_a_killed_evaluation_continues_to_identical_rows(tmp_path):
    command = [sys.executable, "-c", SCRIPT + KILL, str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(finished) == 1
    space: dict = {}
    exec(SCRIPT, space)
    continued, fresh = space["measure"](tmp_path), space["measure"](None)
    assert (continued.accuracies, continued.per_class) == (fresh.accuracies, fresh.per_class)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert space["measure"](tmp_path) == continued
