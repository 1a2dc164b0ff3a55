"""What a folder says of its study beside the scores."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from limbeck.config import Spec
from limbeck.errors import ArtifactError, UsageError
from limbeck.files import signed, write_json
from limbeck_applications.nas.study.asked import RankSettings, SearchSettings, TruthSettings
from limbeck_applications.nas.study.kept import (
    JOBS,
    NAME,
    TABLE,
    check_folder,
    check_titles,
    load_outcome,
    load_settings,
    save_outcome,
    title_of,
)
from limbeck_applications.nas.study.rows import Made


@pytest.fixture(params=["rank", "search", "truth"])
def outcome(request, rank_outcome, search_outcome, truth_outcome):
    begun = replace(truth_outcome, failed=["d1, seed 1: out of memory"])
    return {"rank": rank_outcome, "search": search_outcome, "truth": begun}[request.param]


def test_an_outcome_is_read_as_it_was_written(outcome, tmp_path):
    save_outcome(tmp_path, outcome)
    again = load_outcome(tmp_path)
    assert again == outcome and load_settings(tmp_path) == outcome.settings
    for one, other in zip(getattr(again, "architectures", []), getattr(outcome, "architectures", []), strict=True):
        assert list(one.traits.items()) == list(other.traits.items())  # equality of architectures leaves traits out


def test_a_study_that_was_moved_still_finds_what_its_proxies_made(search_outcome, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    made = Made(1.0, 10, 99, here / "prepared" / "dm")
    save_outcome(here, replace(search_outcome, made=made))
    here.rename(there)
    assert load_outcome(there).made.folder == there / "prepared" / "dm"
    assert str(here) not in (there / NAME).read_text()


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"holds no study.*limbeck nas rank', 'search' or 'truth'"):
        load_outcome(tmp_path)


@pytest.mark.parametrize("text", ["{", "[1]", "{}", '{"kind": "rank", "settings": {}}', '{"kind": "other"}'])
def test_an_altered_file_is_told(tmp_path, text):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(ArtifactError) as told:
        load_outcome(tmp_path)
    said = "is damaged or was altered. Type the whole command of the study once more with --out"
    assert str(told.value) == f"{tmp_path / NAME} {said} {tmp_path}: what is computed stays."
    (tmp_path / TABLE).touch()
    with pytest.raises(ArtifactError, match=r"the study, which truth\.csv begins with, once more with --out"):
        load_outcome(tmp_path)


def test_a_changed_number_is_told(outcome, tmp_path):
    save_outcome(tmp_path, outcome)
    values = json.loads((tmp_path / NAME).read_text())
    (tmp_path / NAME).write_text(json.dumps({**values, "truth_name": "other.csv"}))
    with pytest.raises(ArtifactError, match="was altered"):
        load_outcome(tmp_path)


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ("notes.txt", r"holds other files \(notes\.txt\)\. Give the study a folder of its own: --out"),
        (SearchSettings(), "holds a study of another kind, of 'limbeck nas search'"),
        (RankSettings(space=Spec(name="convnet720")), "holds a study of convnet720"),
        (RankSettings(data="fashion_mnist"), "holds a study on fashion_mnist"),
    ],
)
def test_a_folder_that_holds_something_else_is_refused_and_left_alone(tmp_path, held, said):
    if isinstance(held, str):
        (tmp_path / held).touch()
    else:
        kind = "rank" if isinstance(held, RankSettings) else "search"
        write_json(tmp_path / NAME, signed({"kind": kind, "settings": held.model_dump(mode="json")}))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UsageError, match=said):
        check_folder(tmp_path, RankSettings())
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_of_its_own_is_taken(tmp_path):
    check_folder(tmp_path / "new", RankSettings())
    for name in ("prepared", "weights", "searchers"):
        (tmp_path / name).mkdir()
    check_folder(tmp_path, RankSettings())
    write_json(tmp_path / NAME, signed({"kind": "rank", "settings": RankSettings().model_dump(mode="json")}))
    check_folder(tmp_path, RankSettings(images=100, proxies=(Spec(name="random"),)))
    (tmp_path / NAME).write_text("cut of")
    check_folder(tmp_path, RankSettings())


@pytest.mark.parametrize(
    ("kind", "asked", "title"),
    [
        ("nas_proxies", {"name": "parameters"}, "parameters"),
        ("nas_proxies", {"name": "random", "ipc": 20}, "random"),
        ("nas_proxies", {"name": "random", "ipc": 3, "epochs": 2}, "random [epochs=2, ipc=3]"),
        ("nas_proxies", {"name": "distilled"}, "distilled [dm]"),
        ("nas_proxies", {"name": "distilled", "method": "dsa", "steps": 3}, "distilled [dsa, steps=3]"),
        (
            "nas_proxies",
            {"name": "random", "settings": {"optimiser": {"lr_img": 2}}},
            "random [settings.optimiser={'lr_img': 2}]",
        ),
        ("nas_searchers", {"name": "eeea", "population": 4}, "eeea [population=4]"),
        ("nas_proxies", {"name": "distilled", "seconds": 30}, "distilled [dm, seconds=30]"),
        ("nas_proxies", {"name": "distilled", "seconds": 0.5, "lr": 1}, "distilled [dm, lr=1, seconds=0.5]"),
    ],
)
def test_a_component_is_called_by_what_is_not_its_default(kind, asked, title):
    assert title_of(kind, Spec.model_validate(asked)) == title


def test_what_is_asked_for_twice_is_refused():
    check_titles(["a", "a [ipc=1]"], "--proxy")
    with pytest.raises(UsageError, match=r"a was asked for twice: give each --proxy once, or with other options\."):
        check_titles(["a", "b", "a"], "--proxy")


@pytest.mark.parametrize(("name", "said"), [(TABLE, "which truth.csv begins with, "), (JOBS, "")])
def test_full_training_of_an_earlier_version_is_told_how_it_goes_on(tmp_path, name, said):
    (tmp_path / name).mkdir()
    check_folder(tmp_path, TruthSettings())
    with pytest.raises(UsageError) as refused:
        load_outcome(tmp_path)
    assert f"the whole command{', ' if said else ' '}{said}once more with --out {tmp_path}" in str(refused.value)


def test_a_table_of_full_training_is_foreign_to_rankings(tmp_path):
    (tmp_path / TABLE).touch()
    (tmp_path / JOBS).mkdir()
    with pytest.raises(UsageError, match=r"holds other files \(trained\)"):
        check_folder(tmp_path, RankSettings())
    (tmp_path / JOBS).rmdir()
    with pytest.raises(UsageError, match=r"holds other files \(truth\.csv\)"):
        check_folder(tmp_path, RankSettings())
    (tmp_path / TABLE).unlink()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"holds other files \(notes\.txt\)"):
        check_folder(tmp_path, TruthSettings())


@pytest.mark.parametrize("theirs", ["scores.csv", "table.csv", "report.html"])
@pytest.mark.parametrize("asked", [RankSettings(), SearchSettings(), TruthSettings()])
def test_tables_and_pages_of_somebody_else_are_not_written_over(tmp_path, theirs, asked):
    (tmp_path / theirs).touch()
    with pytest.raises(UsageError, match=rf"holds other files \({theirs}\)"):
        check_folder(tmp_path, asked)
