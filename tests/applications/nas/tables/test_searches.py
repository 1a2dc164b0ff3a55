"""The tables of searches, from trials that were made by hand."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace

import pytest

from limbeck_applications.nas.tables.searches import SearchResults, best_so_far
from limbeck_applications.nas.truth import Measured, Truth


@pytest.fixture
def results(search_outcome):
    return SearchResults.of(search_outcome)


def test_a_searcher_is_a_line_of_the_searches_with_a_trial(results):
    random, eeea = results.lines
    assert (random.searcher, len(random.searches), random.planned, random.finished) == ("random", 2, 2, 1)
    assert (eeea.searcher, len(eeea.searches), eeea.planned) == ("eeea [population=4]", 1, 2)
    assert random.evaluations == 2.5 and random.seconds == 5.0


def test_the_best_is_the_mean_over_searches(results):
    random, eeea = results.lines
    assert (random.best.mean, random.best.std, random.best.number) == pytest.approx((0.625, 0.125, 2))
    assert eeea.best.mean == 0.875 and results.best is eeea
    assert eeea.retrained.mean == 0.91 and random.retrained is None and random.accuracy is None


def test_the_best_is_by_full_training_where_all_were_trained(search_outcome, architectures):
    random, grown, *_ = search_outcome.searches
    better = Measured(architectures[70].name, 0, 0.93)
    results = SearchResults.of(replace(search_outcome, searches=[replace(random, retrained=[better]), grown]))
    assert results.best.searcher == "random" and results.lines[1].best.mean > results.lines[0].best.mean


def test_trainings_behind_the_best_are_told(search_outcome, results, tmp_path):
    random, grown, *_ = search_outcome.searches
    found = [replace(one, notes={"trainings": one.number + 1}) for one in grown.found]
    uneven = SearchResults.of(replace(search_outcome, searches=[random, replace(grown, found=found)]))
    assert uneven.unequal and [line.trainings.mean for line in uneven.lines] == [1, 3] and not results.unequal
    uneven.save(tmp_path)
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert [row["trainings_of_best"] for row in rows] == ["1.0", "3.0"]


def test_curves_rise_and_pass_over_what_came_to_nothing(search_outcome):
    assert best_so_far(search_outcome.searches[0]) == [0.5, 0.5, 0.75]
    assert best_so_far(search_outcome.searches[1]) == [0.5, 0.5, 0.875]
    lost = replace(search_outcome.searches[1], found=search_outcome.searches[1].found[1:])
    assert best_so_far(lost) == [-math.inf, 0.875]


def test_the_front_is_of_all_searches_and_by_cost(results, costs):
    front = results.front("parameters")
    assert [one.parameters for one in front] == sorted(one.parameters for one in front)
    assert max(one.value for one in front) == 0.875
    for one in results.every:
        assert any(other.value >= one.value and other.parameters <= one.parameters for other in front)
    assert len(results.every) == 4


def test_accuracies_come_from_the_table_where_there_is_one(search_outcome, architectures):
    rows = tuple(Measured(each.name, 0, place / 100) for place, each in enumerate(architectures))
    random, eeea = SearchResults.of(replace(search_outcome, truth=Truth(rows))).lines
    assert random.accuracy.mean == pytest.approx((0.70 + 0.03) / 2) and eeea.accuracy.mean == 0.0


def equal(search_outcome, *values):
    """The first search, its scores replaced, and no other."""
    first = search_outcome.searches[0]
    found = [replace(one, value=value) for one, value in zip(first.found, values, strict=True)]
    return replace(search_outcome, searches=[replace(first, found=found)])


def test_of_equal_scores_there_is_no_best_and_no_volume(search_outcome):
    outcome = equal(search_outcome, 0.5, 0.5, 0.5)
    (own,), results = outcome.searches, SearchResults.of(outcome)
    assert own.is_flat and own.best is None and own.ties == "all scores are equal: the proxy tells nothing apart"
    assert results.best is None and results.lines[0].best is None and results.lines[0].volume is None
    one = replace(own, found=own.found[:1])
    assert not one.is_flat and one.best is own.found[0] and one.ties == ""


def test_a_tie_for_the_best_is_said(search_outcome):
    (own,) = equal(search_outcome, 0.5, 0.25, 0.5).searches
    assert own.best is own.found[0] and own.tied == 2 and own.ties.startswith("2 architectures tie")


def test_one_search_has_no_deviation_in_the_table(search_outcome, tmp_path):
    SearchResults.of(search_outcome).save(tmp_path)
    several, one = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert float(several["best_score_std"]) == 0.125
    assert all(value == "" for name, value in one.items() if name.endswith("_std"))


def test_the_volume_is_largest_for_what_finds_most(results):
    assert all(0 <= volume <= 1 for line in results.lines for volume in line.volumes)
    assert results.lines[1].volume.mean > results.lines[0].volumes[1]


def test_tables_hold_a_line_a_searcher_and_a_line_a_trial(results, tmp_path, architectures):
    results.save(tmp_path)
    random, eeea = csv.DictReader((tmp_path / "table.csv").read_text().splitlines())
    assert (random["best_score"], random["finished"], random["retrained"]) == ("0.625", "1", "")
    assert eeea["retrained"] == "0.91"
    trials = list(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines()))
    assert len(trials) == 8 and [row["number"] for row in trials[:3]] == ["0", "1", "2"]
    lost = trials[4]
    assert (lost["score"], lost["failed"], json.loads(lost["notes"])) == ("", "diverged", {"generation": 0})
    again = [row for row in trials if row["retrained"]]
    assert [row["architecture"] for row in again] == [architectures[0].name]


def test_a_study_without_a_trial_has_no_lines(search_outcome, tmp_path):
    empty = SearchResults.of(replace(search_outcome, searches=[search_outcome.searches[3]]))
    assert empty.lines == () and empty.best is None and empty.every == []
    empty.save(tmp_path)
    assert not list(tmp_path.iterdir())
