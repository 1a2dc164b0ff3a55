"""Scores on disk, whatever has happened to the file."""

from __future__ import annotations

import json

import pytest

from limbeck_applications.nas.candidates.kept import NAME, Scores
from limbeck_applications.nas.study.rows import Scored

SCORES = {f"key{place}": Scored(0.1 * place, 1.5, {"loss": 0.25 * place}) for place in range(3)}


@pytest.fixture
def path(tmp_path):
    """The file of three scores."""
    scores = Scores(tmp_path)
    for key, scored in SCORES.items():
        scores.add(key, scored, proxy="random", architecture=f"of {key}")
    return tmp_path / NAME


def known(path):
    scores = Scores(path.parent)
    return {key: scores.get(key) for key in SCORES if scores.get(key) is not None}


def only(*places):
    return {key: scored for place, (key, scored) in enumerate(SCORES.items()) if place in places}


def test_scores_are_read_as_they_were_written(path):
    assert known(path) == SCORES
    assert [json.loads(line)["architecture"] for line in path.read_text().splitlines()] == [f"of {k}" for k in SCORES]


def test_what_has_no_value_is_known_as_well(tmp_path):
    Scores(tmp_path).add("key", Scored(None, 2.0))
    assert Scores(tmp_path).get("key") == Scored(None, 2.0) and Scores(tmp_path).get("other") is None


@pytest.mark.parametrize(
    "damage", [b"\xff" * 20, b"\x00" * 20, b"", b"[1]", b'{"key": "key1"}', b"\xe2\x80\xa8", b'{"key": [1]}']
)
def test_a_line_that_cannot_be_read_counts_as_absent(path, damage):
    first, _, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + damage + b"\n" + last)
    assert known(path) == only(0, 2)


@pytest.mark.parametrize("cut", [1, 9, 60])
def test_a_cut_last_line_is_lost_alone_and_the_next_begins_on_a_line_of_its_own(path, cut):
    path.write_bytes(path.read_bytes()[:-cut])
    whole = cut == 1  # nothing but the end of the line is gone
    scores = Scores(path.parent)
    assert known(path) == (SCORES if whole else only(0, 1))
    scores.add("key2", SCORES["key2"])
    assert known(path) == SCORES
