"""What a set is measured beside, and that the comparison is fair."""

from dataclasses import replace

import pytest
import torch

from limbeck.data import RealData
from limbeck.evaluation import evaluate_set, evaluate_with_baselines, whole_recipe
from limbeck.evaluation.baselines import (
    class_counts,
    images_for_bytes,
    random_material,
    whole_networks,
)
from limbeck.plugins import registry
from limbeck.synthetic import SyntheticSet


@pytest.fixture
def rows(synthetic, data, recipe):
    return {row.label: row for row in evaluate_with_baselines(synthetic, data, recipe, networks=2)}


def test_four_rows_state_their_images_bytes_and_recipes(rows, synthetic, recipe):
    assert list(rows) == ["synthetic", "random", "random_bytes", "whole"]
    assert {label: row.images for label, row in rows.items()} == {
        "synthetic": 6,
        "random": 6,
        "random_bytes": 3 * (synthetic.bytes // (3 * 65)),
        "whole": 36,
    }
    assert {label: row.bytes for label, row in rows.items()} == {
        "synthetic": 6 * (64 * 4 + 1),
        "random": 6 * 65,
        "random_bytes": rows["random_bytes"].images * 65,
        "whole": 36 * 65,
    }
    assert rows["random_bytes"].bytes <= synthetic.bytes
    assert [row.recipe["epochs"] for row in rows.values()] == [4, 4, 4, 30]
    assert [row.protocol for row in rows.values()] == ["dc", "dc", "dc", "whole"]


def test_the_first_row_is_the_set_measured_alone(rows, synthetic, data, recipe):
    assert rows["synthetic"].accuracies == evaluate_set(synthetic, data, recipe, networks=2).accuracies


def test_the_whole_row_trains_on_every_real_image(rows, data, recipe):
    everything = SyntheticSet(data.train.take(torch.arange(36)), data.train.labels, data.train.labels, data.spec)
    short = whole_recipe(recipe, 36)
    direct = evaluate_set(everything, data, short, networks=2, label="whole")
    assert rows["whole"].accuracies == direct.accuracies


def test_every_network_of_a_random_row_draws_afresh_within_classes(data):
    first, same, other = (random_material(data.train, [2, 0, 3], seed) for seed in (1, 1, 2))
    assert first.labels.tolist() == [0, 0, 2, 2, 2]
    assert first.images.equal(same.images)
    assert not first.images.equal(other.images)
    assert len(torch.unique(first.images.flatten(1), dim=0)) == 5


def test_random_networks_differ_in_images_and_the_sets_own_do_not(synthetic, data, recipe):
    class Spy(type(registry().create("executors", "serial"))):
        def execute(self, jobs, report):
            images.update({job.name: job.tensors["images"] for job in jobs})
            super().execute(jobs, report)

    images = {}
    evaluate_with_baselines(synthetic, data, recipe, networks=2, executor=Spy())
    for label, is_same in (("synthetic", True), ("random", False), ("random_bytes", False), ("whole", True)):
        first, second = (images[f"{label}, network {number} of 2"] for number in (1, 2))
        assert first.equal(second) == is_same


def test_a_small_class_gives_all_it_has(data):
    assert random_material(data.train, [50, 1, 0], 0).labels.tolist() == [0] * 12 + [1]


@pytest.mark.parametrize(("budget", "count"), [(0, 1), (194, 1), (389, 1), (390, 2), (10**6, 5128)])
def test_images_for_bytes_never_exceed_the_budget_but_for_one_a_class(budget, count, data):
    assert images_for_bytes(budget, data.train) == count  # 3 classes of 65 bytes


def test_counts_follow_labels_and_for_soft_labels_groups(synthetic):
    assert class_counts(synthetic) == [2, 2, 2]
    uneven = synthetic.with_(labels=torch.tensor([0, 0, 0, 1, 2, 2]))
    assert class_counts(uneven) == [3, 1, 2]
    soft = uneven.with_(labels=torch.ones(6, 3) / 3, label_kind="probabilities")
    assert class_counts(soft) == [2, 2, 2]


def test_random_rows_draw_by_class_whatever_the_groups(rows, synthetic, data, recipe):
    train, clusters = data.train, torch.arange(36) % 4
    grouped = replace(data, train=RealData(train.images, train.labels, data.spec, group=clusters))
    again = evaluate_with_baselines(synthetic, grouped, recipe, networks=2)
    assert again[1].accuracies == rows["random"].accuracies


def test_baselines_learn_hard_labels_beside_a_soft_set(synthetic, data, recipe, rows):
    labels = torch.eye(3)[synthetic.labels] * 0.7 + 0.1
    soft = synthetic.with_(labels=labels, label_kind="probabilities")
    taught = recipe.with_(labels={"name": "teacher", "epochs": 1})
    again = evaluate_with_baselines(soft, data, taught, networks=2)
    assert [row.label_kind for row in again] == ["probabilities", "hard", "hard", "hard"]
    assert [row.labels for row in again] == ["teacher", "hard", "hard", "hard"]
    assert again[1].accuracies == rows["random"].accuracies


def test_the_whole_recipe_is_short_and_half_of_it_slow(recipe):
    augmented = recipe.with_(augmentation={"name": "dsa"}, batch_size=7, lr=0.02)
    long, small = whole_recipe(augmented, 5000), whole_recipe(augmented, 4999)
    assert (long.epochs, long.milestones, long.factor, long.batch_size) == (10, (5,), 0.1, 256)
    assert (small.epochs, small.milestones) == (30, (15,))
    assert (long.augmentation, long.lr, long.protocol) == ({"name": "dsa"}, 0.02, "whole")


def test_the_whole_set_gets_few_networks_where_they_are_dear():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert [whole_networks(20, 50_000, device) for device in (cpu, cuda)] == [2, 5]
    assert [whole_networks(asked, 1000, cpu) for asked in (20, 3)] == [5, 3]


def test_rows_and_networks_are_told_as_they_finish(synthetic, data, recipe):
    told = []
    rows = evaluate_with_baselines(
        synthetic,
        data,
        recipe,
        networks=1,
        on_result=lambda label, network, result: told.append((label, network, result["accuracy"])),
        on_row=told.append,
    )
    assert told == [each for row in rows for each in ((row.label, 0, row.accuracies[0]), row)]


def test_the_whole_set_is_remembered_between_synthetic_sets(synthetic, data, recipe, tmp_path):
    own, shared = tmp_path / "own", tmp_path / "shared"
    options = {"networks": 1, "cache": own, "whole_cache": shared}
    first = evaluate_with_baselines(synthetic, data, recipe, **options)
    other = synthetic.with_(images=-synthetic.images)
    second = evaluate_with_baselines(other, data, recipe, **options)
    assert len(list(shared.iterdir())) == 1
    assert len(list(own.iterdir())) == 4  # random rows are the same, too
    assert first[3] == second[3]


def test_processes_give_the_row_of_one_process(synthetic, data, recipe):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        serial = evaluate_set(synthetic, data, recipe, networks=3)
    finally:
        torch.set_num_threads(before)
    pool = registry().create("executors", {"name": "processes", "workers": 1})
    spread = evaluate_set(synthetic, data, recipe, networks=3, executor=pool)
    assert (spread.accuracies, spread.per_class) == (serial.accuracies, serial.per_class)
