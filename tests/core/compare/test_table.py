"""What the rows of a comparison come to: means over all networks, gains, scores; and reading a folder again."""

from __future__ import annotations

import csv
import json
import math
import shutil
import statistics
from dataclasses import replace

import pytest

from limbeck.compare import WHOLE, Asked, Outcome, Place, Rows, compare, tabulate
from limbeck.compare.rows import Row
from limbeck.errors import ArtifactError
from limbeck.evaluation import Evaluation, Recipe
from limbeck.evaluation.scores import label_robust_score

RECIPE = Recipe(network="convnet-d1-w4-in", epochs=2, augmentation={"name": "dsa"}).to_dict()
FIGURES = {
    ("random", 1, 0): [0.25, 0.5],
    ("random", 1, 1): [0.375, 0.375],
    ("dm", 1, 0): [0.5, 0.75],
    ("dm", 1, 1): [0.625, 0.875],
    (WHOLE, 0, 0): [0.9375, 0.9375],
}


def row(method, ipc, seed, accuracies, *, labels="hard", recipe=RECIPE, beside=None, **cost):
    recipe = {**recipe, "labels": {"name": labels}}

    def measured(label, values, how):
        found = Evaluation(label, "dc", how, values, [math.nan], 650, 10 * ipc, 1.0).to_dict()
        found.pop("seconds")
        return found

    return Row(
        key=f"{method}{ipc}{seed}",
        method=method,
        ipc=ipc,
        seed=seed,
        run=f"{method}-{ipc}-{seed}",
        evaluation=measured("synthetic", accuracies, recipe),
        network=recipe["network"],
        beside={label: measured(label, values, recipe) for label, values in (beside or {}).items()},
        cost={"seconds": 2.0, "steps": 4, "growth": None, "features": 0.0, "evaluating": 3.0, **cost},
    )


def asked_of(rows, **more):
    places = tuple(Place(row.method, row.ipc, row.seed, row.key) for row in rows)
    return Asked("digits", places, **more)


@pytest.fixture
def kept(tmp_path):
    """Keep rows in a folder: ``kept(row, ...) -> (rows, folder)``."""

    def keep(*made):
        rows = Rows(tmp_path)
        for one in made:
            rows.add(one)
        return rows, tmp_path

    return keep


@pytest.fixture
def usual():
    return [row(*place, values) for place, values in FIGURES.items()]


def table_of(kept, rows, asked=None):
    return tabulate(asked or asked_of(rows), kept(*rows)[0])


def test_a_line_is_of_all_networks_of_all_seeds(kept, usual):
    line = table_of(kept, usual).lines[1]
    assert (line.method, line.planned) == ("dm", 2)
    values = [0.5, 0.75, 0.625, 0.875]
    assert line.accuracies == values
    assert line.mean == statistics.fmean(values) == 0.6875
    assert line.std == pytest.approx(math.sqrt(sum((v - 0.6875) ** 2 for v in values) / 4))
    assert line.seed_means == [0.625, 0.75]


def test_the_score_is_that_of_its_definition(kept, usual):
    random, dm, whole = table_of(kept, usual).lines
    assert dm.over_random == pytest.approx(100 * (0.6875 - 0.375))
    assert dm.lrs == label_robust_score(synthetic=0.6875, random=0.375, synthetic_hard=0.6875, whole=0.9375)
    assert random.over_random == 0
    assert (whole.lrs, whole.over_random, whole.ipc) == (None, None, 0)


def test_a_set_with_soft_labels_is_scored_by_what_stands_beside_it(kept, usual):
    beside = {"random_soft": [0.5, 0.5], "synthetic_hard": [0.25, 0.5]}
    soft = [row("soft", 1, seed, [0.75, 0.5], labels="teacher", beside=beside) for seed in (0, 1)]
    line = next(line for line in table_of(kept, [*usual[:4], *soft, usual[4]]).lines if line.method == "soft")
    assert line.lrs == label_robust_score(synthetic=0.625, random=0.5, synthetic_hard=0.375, whole=0.9375)
    assert line.over_random == pytest.approx(100 * (0.625 - 0.375))


def test_a_score_without_its_parts_is_none(kept, usual):
    soft = [row("soft", 1, 0, [0.75], labels="teacher", beside={"random_soft": [0.5]})]
    lines = {line.method: line for line in table_of(kept, [*usual, *soft]).lines}
    assert lines["soft"].lrs is None and lines["dm"].lrs is not None
    assert all(line.lrs is None for line in table_of(kept, usual[:4]).lines)


def test_what_was_trained_otherwise_is_not_set_against_the_baseline(kept, usual):
    longer = row("own", 1, 0, [0.75], recipe={**RECIPE, "epochs": 9})
    line = next(line for line in table_of(kept, [*usual, longer]).lines if line.method == "own")
    assert (line.lrs, line.over_random) == (None, None)


def test_costs_are_means_and_memory_the_most(kept):
    rows = [
        row("dm", 1, 0, [0.5], seconds=2.0, steps=4, growth=None),
        row("dm", 1, 1, [0.5], seconds=4.0, steps=8, growth=700),
        row("herding", 1, 0, [0.5], seconds=1.0, steps=0, growth=None, features=5.0),
        row(WHOLE, 0, 0, [0.5], seconds=0.0, steps=0),
    ]
    dm, herding, whole = table_of(kept, rows).lines
    assert (dm.seconds, dm.steps, dm.pace, dm.growth) == (3.0, 6.0, 0.5, 700)
    assert (herding.seconds, herding.features_seconds, herding.pace, herding.growth) == (1.0, 5.0, None, None)
    assert whole.seconds is None and whole.pace is None


def test_only_what_was_asked_is_in_the_table(kept, usual):
    table = table_of(kept, usual, asked_of(usual[2:4]))
    assert [line.method for line in table.lines] == ["dm"]
    assert len(table.rows) == 2


def test_tables_for_spreadsheets_hold_what_the_lines_do(kept, usual):
    table = table_of(kept, usual)
    folder = kept()[1]
    table.save(folder)
    lines = list(csv.DictReader((folder / "table.csv").read_text().splitlines()))
    assert [float(line["accuracy"]) for line in lines] == [line.mean for line in table.lines]
    assert [float(line["std"]) for line in lines] == [line.std for line in table.lines]
    assert lines[1]["seed_means"] == "0.625 0.75" and lines[2]["lrs"] == ""
    runs = list(csv.DictReader((folder / "rows.csv").read_text().splitlines()))
    assert [float(run["accuracy"]) for run in runs] == [statistics.fmean(values) for values in FIGURES.values()]
    assert runs[0]["accuracies"] == "0.25 0.5" and runs[0]["growth_bytes"] == ""


# A folder that is read again


def test_an_outcome_is_read_as_it_was_kept(kept, usual):
    rows, folder = kept(*usual[:4])
    outcome = Outcome(tabulate(asked_of(usual, budget={"steps": 4}, command="limbeck compare"), rows), {"x": "y"})
    outcome.save(folder)
    assert Outcome.load(folder) == outcome


def test_a_folder_that_does_not_say_what_was_asked_is_gathered_from_its_rows(kept, usual):
    later = replace(usual[0], key="later", evaluation=row("random", 1, 0, [0.5, 0.5]).evaluation)
    folder = kept(usual[4], *usual[:4], later)[1]
    table = Outcome.load(folder).table
    assert [line.method for line in table.lines] == ["random", "dm", WHOLE]
    assert table.lines[0].accuracies == [0.5, 0.5, 0.375, 0.375]
    assert not table.asked.own_recipes and table.asked.data == "unknown data"


def test_gathered_rows_that_were_trained_otherwise_have_own_recipes(kept, usual):
    folder = kept(*usual, row("own", 1, 0, [0.75], recipe={**RECIPE, "epochs": 9}))[1]
    assert Outcome.load(folder).table.asked.own_recipes


def test_runs_say_what_rows_do_not(whole, tmp_path):
    folder = tmp_path / "it"
    shutil.copytree(whole[1], folder)
    kept = Outcome.load(folder)
    (folder / "comparison.json").unlink()
    gathered = Outcome.load(folder)
    assert gathered.table.lines == kept.table.lines
    assert replace(gathered.table.asked, command=kept.table.asked.command) == kept.table.asked
    assert (gathered.table.asked.data, gathered.table.asked.budget) == ("digits", {"steps": 4})


def test_rows_written_before_the_data_was_told_are_read(whole, tmp_path):
    values = [json.loads(line) for line in (whole[1] / "rows.jsonl").read_text().splitlines()]
    assert all(value.pop("data") for value in values)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(value) + "\n" for value in values))
    assert [row.data for row in Rows(tmp_path).all()] == [""] * 4


@pytest.mark.parametrize("damage", ["{", '{"asked": {}, "failures": {}}', '{"checksum": "0", "asked": 1}'])
def test_a_damaged_file_is_said_in_one_line(kept, usual, damage):
    folder = kept(*usual)[1]
    (folder / "comparison.json").write_text(damage)
    with pytest.raises(ArtifactError, match=r"comparison\.json is altered"):
        Outcome.load(folder)


def test_a_folder_without_rows_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="no finished row"):
        Outcome.load(tmp_path)


# Soft labels, measured

SOFT = """
    from limbeck import hookimpl

    @hookimpl
    def register_methods(register):
        register("soft", {"title": "t", "summary": "s", "settings": {
            "matcher": "distribution", "source": "fresh", "network": "convnet-d1-w4", "labels": {"name": "teacher"},
            "budget": {"steps": 3}, "evaluation": {"networks": 1, "protocol": "dc"}}, "profiles": {"small": []}})
"""


def test_soft_labels_are_measured_beside_random_images_with_the_like(whole, planned, plugin_of, tmp_path):
    plugin_of(SOFT)
    folder = tmp_path / "it"
    shutil.copytree(whole[1], folder)
    outcome = compare(planned("soft"), folder)
    found = Rows(folder).all()[-1]
    assert (found.method, sorted(found.beside)) == ("soft", ["random_soft", "synthetic_hard"])
    means = {label: statistics.fmean(values["accuracies"]) for label, values in found.beside.items()}
    line = next(line for line in outcome.table.lines if line.method == "soft")
    assert line.lrs == label_robust_score(
        synthetic=line.mean,
        random=means["random_soft"],
        synthetic_hard=means["synthetic_hard"],
        whole=outcome.table.lines[-1].mean,
    )
    assert Rows(folder).all()[0].beside == {}
