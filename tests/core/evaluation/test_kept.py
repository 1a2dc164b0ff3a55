"""What a folder keeps: the set's own rows, other rows apart, and nothing of another set."""

from __future__ import annotations

import pytest

from limbeck.errors import ArtifactError
from limbeck.evaluation import Evaluation, Recipe, load_rows
from limbeck.evaluation.cross import CrossTable, load_tables, save_table
from limbeck.evaluation.kept import OTHERS, forget, keep_other, keep_rows, load_others
from limbeck.evaluation.rows import FILE
from limbeck.synthetic import SyntheticSet

RECIPE = Recipe(network="n", epochs=1, protocol="dc")


def row(label="synthetic", accuracy=0.5):
    return Evaluation(label, "dc", RECIPE.to_dict(), [accuracy], [], 10, 2, 1.0)


def test_rows_of_a_label_are_replaced_and_others_stay(synthetic, tmp_path):
    synthetic.save(tmp_path)
    keep_rows(tmp_path, synthetic, [row("whole"), row(), row("random")])
    kept = keep_rows(tmp_path, SyntheticSet.load(tmp_path), [row("random_plain"), row(accuracy=0.75)])
    labels = ["synthetic", "random", "random_plain", "whole"]
    assert [one.label for one in kept] == labels
    assert load_rows(tmp_path) == kept and kept[0].mean == 0.75
    figures = SyntheticSet.load(tmp_path).figures
    assert sorted(figures) == sorted(labels)
    assert figures["synthetic"] == {"mean": 0.75, "std": 0.0, "networks": 1}


def test_measuring_again_mends_a_damaged_file(synthetic, tmp_path):
    (tmp_path / FILE).write_text("{")
    keep_rows(tmp_path, synthetic, [row()])
    assert load_rows(tmp_path) == [row()]


def test_other_procedures_have_files_of_their_own(tmp_path):
    other = RECIPE.with_(epochs=2)
    for recipe, data in ((RECIPE, "a"), (RECIPE, "b"), (other, "a"), (RECIPE, "a")):
        keep_other(tmp_path, recipe, data, [row()])
    keep_other(tmp_path, RECIPE, "a", [row(accuracy=0.25), row("random")])
    found = load_others(tmp_path)
    assert sorted((one.data, [each.mean for each in one.rows]) for one in found) == [
        ("a", [0.25, 0.5]), ("a", [0.5]), ("b", [0.5]),
    ]  # fmt: skip
    assert load_rows(tmp_path) == []


def test_a_procedures_file_is_named_after_it(tmp_path):
    path = keep_other(tmp_path, RECIPE.with_(network="../odd/name", protocol=""), "a", [row()])
    assert path.parent == tmp_path / OTHERS
    assert path.name.startswith("recipe-..-odd-name-")


@pytest.mark.parametrize("content", ["{", "[]", '{"data": "a", "rows": [{"label": "x"}]}'])
def test_a_damaged_file_is_named(tmp_path, content):
    path = keep_other(tmp_path, RECIPE, "a", [row()])
    path.write_text(content)
    with pytest.raises(ArtifactError, match=path.name):
        load_others(tmp_path)


def test_another_set_starts_without_figures(tmp_path, synthetic):
    keep_rows(tmp_path, synthetic, [row()])
    keep_other(tmp_path, RECIPE, "a", [row()])
    save_table(tmp_path, CrossTable("cross", None, "a"))
    forget(tmp_path)
    assert (load_rows(tmp_path), load_others(tmp_path), load_tables(tmp_path)) == ([], [], [])
