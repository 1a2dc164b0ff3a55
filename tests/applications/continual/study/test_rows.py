"""Rows on disk, whatever has happened to the file."""

from __future__ import annotations

import pytest

from limbeck_applications.continual.strategy import Row
from limbeck_applications.continual.study.rows import NAME, Cell, Rows

CELL = Cell("naive", "", 0, 0, "k")
ROWS = [Row((0.5, 0.25 * t), 1.5) for t in range(3)]


@pytest.fixture
def path(tmp_path):
    """The file of three rows of one cell."""
    rows = Rows(tmp_path)
    for position, row in enumerate(ROWS):
        rows.add(CELL, position, row)
    return tmp_path / NAME


def known(path):
    return Rows(path.parent).of(CELL)


def test_rows_are_read_as_they_were_written(path):
    assert known(path) == dict(enumerate(ROWS))


@pytest.mark.parametrize(
    "damage", [b"\xff" * 20, b"\x00" * 20, b"", b"[1]", b'{"key": "k"}', b"\xe2\x80\xa8", b"\x85\xff"]
)
def test_a_line_that_cannot_be_read_counts_as_absent(path, damage):
    first, _, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + damage + b"\n" + last)
    assert known(path) == {0: ROWS[0], 2: ROWS[2]}


def test_bytes_damaged_within_a_line_cost_that_line_alone(path):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b'"row"', b'"r\xffw"') + lines[2])
    assert known(path) == {0: ROWS[0], 2: ROWS[2]}


def test_after_a_cut_line_the_next_begins_on_a_line_of_its_own(path):
    path.write_bytes(path.read_bytes()[:-9] + b"\xff")
    rows = Rows(path.parent)
    assert rows.of(CELL) == {0: ROWS[0], 1: ROWS[1]}
    rows.add(CELL, 2, ROWS[2])
    assert known(path) == dict(enumerate(ROWS))
