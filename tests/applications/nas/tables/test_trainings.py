"""The tables of full training, from accuracies that were made by hand."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest
from scipy.stats import spearmanr

from limbeck_applications.nas.study.kept import TABLE
from limbeck_applications.nas.tables.trainings import TruthResults
from limbeck_applications.nas.truth import read_truth


@pytest.fixture(scope="module")
def results(truth_outcome):
    return TruthResults.of(truth_outcome)


def cut(outcome, keep):
    """Leave the rows for which ``keep(row)`` holds."""
    return replace(outcome, truth=replace(outcome.truth, rows=tuple(row for row in outcome.truth.rows if keep(row))))


def rho(outcome, names):
    return spearmanr(*([outcome.truth.of_seed(seed)[name] for name in names] for seed in (0, 1))).statistic


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_architectures_stand_in_the_order_of_their_mean_accuracy(results, truth_outcome):
    mean = truth_outcome.truth.mean()
    assert [line.architecture.name for line in results.lines] == sorted(mean, key=lambda name: -mean[name])
    line = results.lines[0]
    runs = [truth_outcome.truth.of_seed(seed)[line.architecture.name] for seed in (0, 1)]
    assert line.test.mean == pytest.approx(sum(runs) / 2) and line.test.std == pytest.approx(abs(runs[0] - runs[1]) / 2)
    assert line.validation.mean == pytest.approx(line.test.mean - 0.02) and line.seconds.mean == 1.5
    assert results.seconds == 72 * 3
    assert results.deviation == pytest.approx(sum(line.test.std for line in results.lines) / 72)


def test_seeds_are_compared_over_all_and_within_each_group(results, truth_outcome, architectures):
    groups = {each.name: each for each in results.groups}
    assert {"all", "true top 5 %", "true top 20 %", "norm batch", "activation relu", "depth 3"} < set(groups)
    relu = [each.name for each in architectures if each.traits["activation"] == "relu"]
    assert groups["activation relu"].number == 36
    assert groups["activation relu"].floor.value == pytest.approx(rho(truth_outcome, relu))
    assert groups["all"].floor.value == pytest.approx(rho(truth_outcome, [each.name for each in architectures]))
    assert groups["activation relu"].mean > 0.6 > groups["activation sigmoid"].best
    assert groups["all"].best == results.lines[0].test.mean


def test_a_seed_that_is_not_finished_is_compared_by_what_it_has(truth_outcome, architectures):
    names = [each.name for each in architectures]
    begun = TruthResults.of(cut(truth_outcome, lambda row: row.seed == 0 or row.architecture in names[20:50]))
    assert len(begun.lines) == 72 and len(begun.paired.outcome.architectures) == 30
    groups = {each.name: each for each in begun.groups}
    assert groups["all"].number == 72 and groups["all"].floor.number == 30
    assert groups["all"].floor.value == pytest.approx(rho(truth_outcome, names[20:50]))
    assert begun.paired.floor.value == groups["all"].floor.value


def test_groups_are_the_same_from_memory_and_from_the_file(truth_outcome, tmp_path):
    """Accuracies of 710 images, many of which tie."""
    rows = tuple(replace(row, test=int(20 * row.test) * 35 / 710) for row in truth_outcome.truth.rows)
    outcome = replace(truth_outcome, truth=replace(truth_outcome.truth, rows=rows))
    TruthResults.of(outcome).save(tmp_path)
    again = TruthResults.of(replace(outcome, truth=read_truth(tmp_path / TABLE)))
    assert again.groups == TruthResults.of(outcome).groups


@pytest.mark.parametrize(("right", "is_said"), [(36, True), (46, True), (47, False)])
def test_what_is_no_better_than_chance_is_said(truth_outcome, right, is_said):
    """A tenth of 355 images and two deviations are 46.8 images."""
    rows = tuple(replace(row, test=right / 355) for row in truth_outcome.truth.rows)
    for notes, said in (({"test": "355", "classes": "10"}, is_said), ({"test": "355"}, False)):
        outcome = replace(truth_outcome, truth=replace(truth_outcome.truth, rows=rows, notes=notes))
        assert bool(TruthResults.of(outcome).chance) is said


def test_one_seed_says_nothing_of_another(truth_outcome):
    one = TruthResults.of(cut(truth_outcome, lambda row: row.seed == 0))
    assert one.deviation is None and one.paired.floor.value is None
    assert {each.floor.reason for each in one.groups} == {"the table of truth has one seed"}


def test_best_groups_are_of_three_or_more(truth_outcome, architectures):
    few = {each.name for each in architectures[:16]}
    names = [each.name for each in TruthResults.of(cut(truth_outcome, lambda row: row.architecture in few)).groups]
    assert "true top 20 %" in names and "true top 5 %" not in names and "true top 10 %" not in names


def test_what_is_not_trained_is_left_out(truth_outcome, architectures, tmp_path):
    none = TruthResults.of(cut(truth_outcome, lambda row: False))
    assert none.lines == [] and none.groups == [] and none.deviation is None
    none.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_files(results, truth_outcome, tmp_path):
    results.save(tmp_path)
    scores = table(tmp_path / "scores.csv")
    assert len(scores) == 72 and scores[0]["architecture"] == results.lines[0].architecture.name
    first = results.lines[0]
    for name, value in (
        ("accuracy", first.test.mean),
        ("accuracy of seed 1", first.runs[1].test),
        ("parameter_count", first.cost.parameters),
        ("seconds", 1.5),
    ):
        assert float(scores[0][name]) == value
    assert scores[0]["norm"] == first.architecture.traits["norm"]
    groups = table(tmp_path / "groups.csv")
    assert groups[0]["group"] == "all" and float(groups[0]["spearman_of_seeds"]) == results.floor.value
    assert len(read_truth(tmp_path / TABLE).rows) == 144


def test_a_table_that_lacks_trainings_is_written_at_the_end_only(truth_outcome, tmp_path):
    begun = cut(truth_outcome, lambda row: row.seed == 0)
    TruthResults.of(begun).save(tmp_path)
    assert not (tmp_path / TABLE).exists()
    TruthResults.of(replace(begun, failed=["x"] * 72)).save(tmp_path)
    assert len(read_truth(tmp_path / TABLE).rows) == 72
