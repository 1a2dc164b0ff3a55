"""From rows to tables and files."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace

import pytest

from limbeck_applications.continual.matrix import METRICS
from limbeck_applications.continual.results import DEFINITIONS, Results


def read(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_a_line_is_over_all_orders_and_seeds(study):
    results = Results.of(study[0])
    assert [line.name for line in results.lines] == [
        "naive",
        "gdumb",
        "distilled_gdumb [dm]",
        "distilled_gdumb [<b>x</b>]",
    ]
    line = results.lines[2]
    values = [each.matrix.accuracy for each in line.learned]
    assert len(values) == 4 and len(set(values)) == 4
    assert line.spread("accuracy").mean == pytest.approx(sum(values) / 4)
    assert line.spread("accuracy").std == pytest.approx((sum(v**2 for v in values) / 4 - (sum(values) / 4) ** 2) ** 0.5)
    assert (line.seconds, line.distilling, line.bytes, line.images) == (4.5, 60.0, 1170, 18)
    assert [step.mean for step in line.curve][-1] == line.spread("accuracy").mean
    assert line.matrix.rows[-1][0] == pytest.approx(sum(each.matrix.rows[-1][0] for each in line.learned) / 4)


def test_the_best_keeps_something_and_no_more_than_is_allowed(study):
    results = Results.of(study[0])
    assert results.allowed == 10 * 130
    assert results.best.name == "distilled_gdumb [dm]"
    greedy = {
        cell: [replace(row, bytes=2000) for row in rows] if cell.memory == "dm" else rows
        for cell, rows in study[0].cells.items()
    }
    assert Results.of(replace(study[0], cells=greedy)).best.name == "distilled_gdumb [<b>x</b>]"
    nothing = {cell: [replace(row, bytes=0) for row in rows] for cell, rows in study[0].cells.items()}
    assert Results.of(replace(study[0], cells=nothing)).best is None


def test_of_a_domain_stream_a_class_counts_in_every_domain(study):
    same = [[["a", "b"], ["a", "b"], ["a", "b"]]] * 2
    assert Results.of(replace(study[0], experiences=same, scenario="domain")).allowed == 6 * 130
    assert Results.of(replace(study[0], experiences=same)).allowed == 2 * 130


def test_an_unfinished_cell_is_in_no_line_but_in_the_files(outcome_in, tmp_path):
    outcome = outcome_in(tmp_path, finished=False)
    results = Results.of(outcome)
    assert [(len(line.learned), line.planned) for line in results.lines] == [(4, 4)] * 3 + [(2, 4)]
    results.save(tmp_path)
    cells = read(tmp_path / "cells.csv")
    assert len(cells) == 15
    assert [cell["learned"] for cell in cells] == ["3"] * 14 + ["2"]
    assert cells[-1]["accuracy"] == "" and len(cells[-1]["accuracies"].split()) == 2
    last = json.loads((tmp_path / "matrices.json").read_text())["cells"][-1]
    assert last["metrics"] is None and len(last["matrix"]) == 2
    assert [line["cells"] for line in read(tmp_path / "table.csv")] == ["4", "4", "4", "2"]


def test_files_hold_the_numbers_to_the_last_bit(study, tmp_path):
    results = Results.of(study[0])
    results.save(tmp_path)
    table, cells = read(tmp_path / "table.csv"), read(tmp_path / "cells.csv")
    kept = json.loads((tmp_path / "matrices.json").read_text())
    assert set(kept["definitions"]) >= {"matrix", *METRICS} == set(DEFINITIONS)
    for line, record in zip(results.lines, table, strict=True):
        for metric in METRICS:
            assert float(record[metric]) == line.spread(metric).mean
            assert float(record[f"{metric}_std"]) == line.spread(metric).std
    for learned, record, stored in zip(results.learned, cells, kept["cells"], strict=True):
        assert float(record["accuracy"]) == learned.matrix.accuracy == stored["metrics"]["accuracy"]
        assert tuple(map(float, record["accuracies"].split())) == learned.matrix.accuracies
        assert tuple(map(tuple, stored["matrix"])) == learned.matrix.rows
        assert stored["experiences"] == study[0].experiences[learned.cell.order]


def test_what_was_not_measured_is_empty_and_valid_json(study, tmp_path):
    spoilt = {
        cell: [replace(row, accuracies=(math.nan, *row.accuracies[1:])) for row in rows]
        for cell, rows in study[0].cells.items()
    }
    results = Results.of(replace(study[0], cells=spoilt))
    results.save(tmp_path)

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    kept = json.loads((tmp_path / "matrices.json").read_text(), parse_constant=refuse)
    assert kept["cells"][0]["matrix"][0][0] is None and kept["cells"][0]["metrics"]["accuracy"] is None
    assert read(tmp_path / "table.csv")[0]["accuracy"] == ""
    assert results.best is not None


def test_one_experience_has_no_transfer(outcome_in, tmp_path):
    outcome = outcome_in(tmp_path, experiences=1)
    results = Results.of(outcome)
    assert results.lines[0].spread("forgetting") is None
    results.save(tmp_path)
    assert read(tmp_path / "table.csv")[0]["forgetting"] == ""
