"""What a folder says of its study beside the rows."""

from __future__ import annotations

import json

import pytest

from limbeck.errors import ArtifactError, UsageError
from limbeck.files import signed, write_json
from limbeck_applications.continual.study.asked import StudySettings
from limbeck_applications.continual.study.kept import NAME, check_folder, load_outcome, load_settings, save_outcome


@pytest.mark.parametrize("finished", [True, False])
def test_an_outcome_is_read_as_it_was_written(outcome_in, kept, tmp_path, finished):
    outcome = kept(outcome_in(tmp_path, finished=finished), tmp_path)
    again = load_outcome(tmp_path)
    assert again == outcome
    assert load_settings(tmp_path) == outcome.settings
    assert bool(again.failures) != finished


def test_a_study_that_was_moved_still_finds_its_memories(outcome_in, kept, tmp_path):
    (tmp_path / "here").mkdir()
    kept(outcome_in(tmp_path / "here"), tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    places = load_outcome(tmp_path / "there").memories["dm", 0]
    assert places and all((place / "manifest.json").exists() for place in places)


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"holds no study.*limbeck continual run --out"):
        load_outcome(tmp_path)


def test_an_altered_file_is_told(outcome_in, tmp_path):
    save_outcome(tmp_path, outcome_in(tmp_path))
    path = tmp_path / NAME
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "per_class": 999}))
    with pytest.raises(ArtifactError, match=r"study\.json is altered"):
        load_outcome(tmp_path)
    path.write_text("{")
    with pytest.raises(ArtifactError, match=r"study\.json is altered"):
        load_settings(tmp_path)
    path.write_text(json.dumps({"cells": []}))
    with pytest.raises(ArtifactError, match=r"study\.json is altered"):
        load_outcome(tmp_path)


@pytest.mark.parametrize(
    ("held", "hint"),
    [
        ({"notes.txt": ""}, "notes.txt"),
        ({"config.yaml": ""}, "limbeck distill"),
        ({"study.json": "other"}, "split_mnist"),
    ],
)
def test_a_folder_that_holds_something_else_is_refused(tmp_path, held, hint):
    for name, text in held.items():
        (tmp_path / name).write_text(text)
    if "study.json" in held:
        other = {"settings": StudySettings.model_validate({"benchmark": "split_mnist"}).model_dump(mode="json")}
        write_json(tmp_path / "study.json", signed(other))
    with pytest.raises(UsageError, match=hint):
        check_folder(tmp_path, StudySettings())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(held)


def test_a_folder_of_its_own_is_taken(tmp_path):
    check_folder(tmp_path / "new", StudySettings())
    check_folder(tmp_path, StudySettings())
    (tmp_path / ".lock").touch()
    (tmp_path / "memories").mkdir()
    check_folder(tmp_path, StudySettings())
    write_json(tmp_path / "study.json", signed({"settings": StudySettings().model_dump(mode="json")}))
    check_folder(tmp_path, StudySettings())
    (tmp_path / "study.json").write_text("cut of")
    check_folder(tmp_path, StudySettings())
