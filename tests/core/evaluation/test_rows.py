"""Rows: what they state, and the file that holds them."""

import json
import math

import pytest

from limbeck.errors import ArtifactError
from limbeck.evaluation import Evaluation, load_rows, save_rows


@pytest.fixture
def row(recipe):
    return Evaluation(
        label="synthetic",
        protocol="dc",
        recipe=recipe.with_(augmentation={"name": "dsa", "scale": 1.1}).to_dict(),
        accuracies=[0.25, 0.5, 0.75],
        per_class=[0.125, math.nan, 0.875],
        bytes=640,
        images=10,
        seconds=1.5,
    )


def test_figures_are_the_mean_the_population_deviation_and_the_standard_error(row):
    assert row.networks == 3
    assert row.mean == 0.5
    assert row.std == pytest.approx(math.sqrt((0.25**2 + 0 + 0.25**2) / 3))
    assert row.standard_error == pytest.approx(row.std / math.sqrt(2))


def test_one_network_has_no_standard_error(row):
    single = Evaluation(**{**vars(row), "accuracies": [0.25]})
    assert (single.mean, single.std) == (0.25, 0.0)
    assert math.isnan(single.standard_error)


def test_a_row_says_how_it_was_measured(row):
    stated = row.to_dict()
    assert {key: stated[key] for key in ("labels", "label_kind", "augmentation", "selection", "networks")} == {
        "labels": "hard",
        "label_kind": "hard",
        "augmentation": "dsa",
        "selection": "last",
        "networks": 3,
    }
    plain = Evaluation(**{**vars(row), "recipe": {**row.recipe, "augmentation": None}})
    assert plain.augmentation == "none"


def test_rows_survive_the_file_which_is_strict_json(row, tmp_path):
    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    save_rows(tmp_path, [row, row])
    text = (tmp_path / "evaluation.json").read_text()
    assert json.loads(text, parse_constant=refuse)["rows"][0]["per_class"] == [0.125, None, 0.875]
    found = load_rows(tmp_path)
    assert [each.to_dict() for each in found] == [row.to_dict()] * 2
    assert math.isnan(found[0].per_class[1])


def test_a_folder_without_the_file_has_no_rows(tmp_path):
    assert load_rows(tmp_path) == []


@pytest.mark.parametrize("content", ['{"rows": [{"label"', '{"rows": [{"label": "x"}]}', "[]", '{"rows": 3}'])
def test_a_damaged_file_is_one_line(content, tmp_path):
    (tmp_path / "evaluation.json").write_text(content)
    with pytest.raises(ArtifactError, match=r"evaluation.json is truncated or altered\. Delete it") as caught:
        load_rows(tmp_path)
    assert "\n" not in str(caught.value)
