"""A study's file: what is read is what was written, in the order it was written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limbeck.errors import UsageError
from limbeck_applications.nas.study.kept import check_folder, load_outcome, load_settings, save_outcome, title_of
from limbeck_applications.nas.study.rows import Made


@pytest.mark.parametrize("kind", ["rank", "search"])
def test_an_outcome_is_read_as_it_was_written(rank_outcome, search_outcome, tmp_path, kind):
    outcome = {"rank": rank_outcome, "search": search_outcome}[kind]
    save_outcome(tmp_path, outcome)
    found = load_outcome(tmp_path)
    assert found == outcome and load_settings(tmp_path) == outcome.settings
    if kind == "rank":
        for own, other in zip(found.architectures, outcome.architectures, strict=True):
            assert list(own.traits.items()) == list(other.traits.items())


def test_what_a_proxy_made_is_found_wherever_the_study_is_moved(search_outcome, tmp_path):
    made = Made(1.0, 10, 100, tmp_path / "one" / "prepared" / "set")
    save_outcome(tmp_path / "one", replace(search_outcome, made=made))
    (tmp_path / "one").rename(tmp_path / "other")
    assert load_outcome(tmp_path / "other").made.folder == tmp_path / "other" / "prepared" / "set"


def test_a_folder_of_something_else_is_refused(rank_outcome, search_outcome, tmp_path):
    save_outcome(tmp_path, rank_outcome)
    check_folder(tmp_path, rank_outcome.settings)
    for settings, said in (
        (search_outcome.settings, "a study of another kind"),
        (rank_outcome.settings.model_copy(update={"data": "mnist"}), "a study on digits"),
    ):
        with pytest.raises(UsageError, match=f"holds {said}. Choose another folder with --out"):
            check_folder(tmp_path, settings)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("")
    with pytest.raises(UsageError, match=r"holds other files \(mine\.txt\)"):
        check_folder(tmp_path / "other", rank_outcome.settings)


def test_titles_name_the_method_and_what_is_not_the_default(rank_outcome):
    spec = type(rank_outcome.settings.proxies[0])
    for text, title in (
        ({"name": "distilled"}, "distilled [dm]"),
        ({"name": "distilled", "method": "dc", "ipc": 1}, "distilled [dc, ipc=1]"),
        ({"name": "random", "ipc": 1}, "random [ipc=1]"),
        ({"name": "parameters"}, "parameters"),
    ):
        assert title_of("nas_proxies", spec.model_validate(text)) == title
