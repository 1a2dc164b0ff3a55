"""Tables of full training: read as they were written, and refused in one line where they are something else."""

from __future__ import annotations

import pickle

import pytest

from limbeck.errors import DataError, UsageError
from limbeck_applications.nas.truth import (
    COLUMNS,
    Measured,
    Truth,
    covering,
    differing,
    read_truth,
    shipped,
    write_truth,
)

HEADER = ",".join(COLUMNS)


@pytest.fixture
def table(tmp_path):
    """Write a file: ``table("a line", b"bytes")``."""
    path = tmp_path / "table.csv"

    def write(*lines):
        path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines) + b"\n")
        return path

    return write


def test_a_table_is_read_as_it_was_written(tmp_path):
    rows = (
        Measured("a, with a comma", 0, 0.5, 0.25, 1.5),
        Measured("b", 0, 1.0, None, None),
        Measured("b", 1, 0.0, 0.125, 2.0),
        Measured('c "quoted"', -1, 0.1234),
    )
    notes = {"command": "limbeck nas truth --out x: y", "machine": "two\nlines"}
    write_truth(tmp_path / "it.csv", Truth(rows, notes))
    read = read_truth(tmp_path / "it.csv")
    assert read.rows == rows and read.notes == {"command": notes["command"], "machine": "two lines"}
    write_truth(tmp_path / "again.csv", read)
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "it.csv").read_bytes()


def test_what_ties_ties_in_memory_and_in_the_file(tmp_path):
    right = {"a": (478, 478), "b": (492, 464), "c": (479, 478)}
    rows = [Measured(name, seed, each / 710) for name, both in right.items() for seed, each in enumerate(both)]
    truth = Truth(tuple(rows))
    write_truth(tmp_path / "it.csv", truth)
    for each in (truth, read_truth(tmp_path / "it.csv")):
        assert each.mean()["a"] == each.mean()["b"] < each.mean()["c"]
    assert read_truth(tmp_path / "it.csv").mean() == truth.mean()


def test_means_seeds_and_seconds():
    rows = [Measured("a", 0, 0.5, seconds=1.0), Measured("a", 1, 0.7, seconds=2.0), Measured("b", 1, 0.2, seconds=3.0)]
    truth = Truth(tuple(rows))
    assert truth.mean() == {"a": pytest.approx(0.6), "b": 0.2} and truth.seeds == [0, 1]
    assert truth.of_seed(0) == {"a": 0.5} and truth.of_seed(1) == {"a": 0.7, "b": 0.2}
    assert truth.seconds() == 3.0
    assert Truth((*rows, Measured("c", 0, 0.1))).seconds() is None and Truth(()).seconds() is None


@pytest.mark.parametrize(
    "lines",
    [
        [b"\xef\xbb\xbf" + HEADER.encode(), "a,0,,0.5,"],
        ["# made: by hand", "", "test , architecture,extra", "0.5, a,x", ""],
        ["architecture,test", "a,.5"],
        [HEADER + "\r", "a,0,0.25,5e-1,3\r"],
    ],
)
def test_columns_in_any_order_and_without_those_that_are_not_needed(table, lines):
    assert read_truth(table(*lines)).mean() == {"a": 0.5}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([pickle.dumps({"acc": list(range(300))})], "is no CSV file: it holds bytes that are no text"),
        ([pickle.dumps({"acc": 1}, protocol=0)], "is no truth table: its first line has no column 'architecture'"),
        ([""], "has no column 'architecture', but nothing. Give the columns architecture,seed,validation,test,seconds"),
        (["arch,acc", "a,1"], "has no column 'architecture', but arch, acc"),
        (["architecture;test", "a;0.5"], "has no column 'architecture', but architecture;test"),
        (["architecture,seed", "a,0"], "has no column 'test', but architecture, seed"),
        ([HEADER], "holds a header and no line below it"),
        ([HEADER, "a,0,,91.5,"], "line 2: test is '91.5'; give an accuracy in [0, 1], not in per cent"),
        ([HEADER, "a,0,91,0.5,"], "line 2: validation is '91'; give an accuracy in [0, 1], not in per cent"),
        ([HEADER, "a,0,,nan,"], "line 2: test is 'nan'"),
        ([HEADER, "a,0,,,"], "line 2: test is empty"),
        ([HEADER, "a,0"], "line 2: test is empty"),
        ([HEADER, "# a note", "a,0,,-0.5,"], "line 3: test is '-0.5'"),
        ([HEADER, "a,0,,0.5,-1"], "line 2: seconds is '-1'; give 0 or more"),
        ([HEADER, "a,x,,0.5,"], "line 2: seed is 'x'; give a whole number"),
        ([HEADER, "a,--1,,0.5,"], "line 2: seed is '--1'; give a whole number"),
        ([HEADER, "a,\u00b2,,0.5,"], "line 2: seed is '\u00b2'; give a whole number"),
        ([HEADER, ",0,,0.5,"], "line 2: architecture is empty; give its name in the space"),
        (["test,architecture", "0.5"], "line 2: architecture is empty"),
        ([HEADER, "a,0,,0.5,", "b,0,,0.5,", "a,0,,0.6,"], "line 4: 'a' with seed 0 stands there twice"),
        ([HEADER, 'a,0,,0.5,"', "b,0,,0.5,"], "line 2 is no line of a CSV file"),
        ([HEADER, "a" * 200_000 + ",0,,0.5,"], "line 2 is no line of a CSV file"),
    ],
)
def test_a_file_of_another_format_is_refused_in_one_line(table, lines, said):
    path = table(*lines)
    with pytest.raises(DataError) as refused:
        read_truth(path)
    assert said in str(refused.value) and str(path) in str(refused.value) and "\n" not in str(refused.value)


def test_a_table_that_is_not_there_is_said(tmp_path):
    for path in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(UsageError, match=r"the truth table .* cannot be read: "):
            read_truth(path)


def test_a_table_must_have_what_is_asked_for():
    truth = Truth((Measured("a", 0, 0.5), Measured("a", 1, 0.75), Measured("b", 0, 0.25)))
    assert covering(truth, ["b", "a"], "it.csv") == {"b": 0.25, "a": 0.625}
    said = r"it\.csv has no line for 2 of 3 architectures, 'x' among them; it names architectures like 'a'\."
    with pytest.raises(DataError, match=said):
        covering(truth, ["a", "x", "y"], "it.csv")


def test_the_table_that_is_shipped_is_of_the_whole_space(space):
    path = shipped("convnet72", "fashion_mnist")
    truth = read_truth(path)
    assert truth.seeds == [0, 1] and len(truth.rows) == 144
    assert sorted(truth.mean()) == sorted(each.name for each in space.all())
    assert all(truth.of_seed(seed).keys() == truth.mean().keys() for seed in truth.seeds)
    assert truth.notes["command"].startswith("limbeck nas truth --space convnet72 --data fashion_mnist")
    assert [truth.notes[name] for name in ("images", "validation", "test")] == ["10000", "5000", "10000"]
    assert truth.images == 10000 and differing(truth, 10000) == differing(truth, 0) == differing(None, 500) == ""
    assert "10,000 training images, and here there are 500: give --images 10000" in differing(truth, 500)
    assert all(row.validation is not None and row.seconds for row in truth.rows)
    relu = [value for name, value in truth.mean().items() if "-relu-" in name]
    assert len(relu) == 36 and min(relu) > 0.6
    assert shipped("convnet72", "digits") is None and shipped("cells", "fashion_mnist") is None
