"""``limbeck compare`` from what is typed to what lies in the folder, and its table on a terminal."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from limbeck.cli import compare_screen
from limbeck.cli.compare import compare
from limbeck.cli.compare_screen import LEGEND, CompareScreen, drawn
from limbeck.compare import WHOLE, Asked, Line, Outcome, Place, Row, Table
from limbeck.evaluation import Evaluation, Recipe

TINY = (
    "compare", "--profile", "small", "--network", "convnet-d1-w4-in", "--max-per-class", 10, "--device", "cpu",
    "--steps", 2, "--networks", 1, "--set", "data.batch_real=4", "--set", "evaluation.protocol.epochs=1",
)  # fmt: skip


@pytest.fixture
def no_pages(monkeypatch, no_report):
    """Leave out the pages, which cost more than everything else."""
    monkeypatch.setattr("limbeck.report.comparison.write_comparison", lambda folder, outcome: None)


# What is typed


@pytest.mark.usefixtures("no_pages")
def test_a_comparison_is_measured_and_a_second_one_finds_it_finished(limbeck):
    line = [*TINY, "--methods", "dm", "--out", "it"]
    status, out, err = limbeck(*line)
    assert (status, err) == (0, "")
    assert "comparing random, dm on digits at ipc 1\n" in out
    assert "all with network convnet-d1-w4-in, protocol dc epochs=1 augmentation=dsa\n" in out
    assert "\nrow 2 of 3: dm, ipc 1, seed 0" in out
    assert {path.name for path in Path("it").iterdir()} >= {"rows.jsonl", "rows.csv", "table.csv", "comparison.json"}
    before = Path("it/rows.jsonl").read_bytes()
    status, out, _ = limbeck(*line)
    assert status == 0 and "3 rows, 3 of them finished already\n" in out and "row 1 of" not in out
    assert Path("it/rows.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("typed", "status", "said"),
    [
        (["--methods", "dmm"], 2, "unknown method 'dmm'. Did you mean 'dm'?"),
        (["--methods", "dm,,dc"], 2, "--methods 'dm,,dc' has an empty name"),
        (["--methods", "dm", "--ipc", "0"], 2, "--ipc '0' is not a list of whole numbers from 1"),
        (["--methods", "dm", "--ipc", "1,ten"], 2, "--ipc '1,ten' is not"),
        (["--methods", "dm", "--data", "digit"], 2, "unknown dataset 'digit'. Did you mean 'digits'?"),
        (["--methods", "dm", "--ipc", "11"], 2, "11"),
        (["--methods", "dm", "--set", "evaluation.protocol.augmentation=null"], 2, "--own-recipes"),
        (["--methods", "dm", "--seconds", "-1"], 2, "seconds"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_written(refused, typed, status, said):
    found, err = refused(*TINY, *typed, "--out", "it")
    assert found == status and said in err
    assert not Path("it").exists()


@pytest.mark.usefixtures("no_pages")
def test_one_method_that_diverges_is_told_and_the_status_is_one(limbeck, plugin, loose):
    method = loose(
        """
        from limbeck import hookimpl

        @hookimpl
        def register_methods(register):
            register("bad", {"title": "t", "summary": "s", "settings": {
                "matcher": "diverges", "source": "fresh", "network": "convnet-d1-w4", "budget": {"steps": 3},
                "evaluation": {"networks": 1, "protocol": "dc"}}, "profiles": {"small": []}})
        """,
        "method.py",
    )
    status, out, err = limbeck("-p", plugin, "-p", method, *TINY, "--methods", "bad", "--out", "it")
    assert (status, err) == (1, "")
    assert "\n  bad, ipc 1, seed 0 came to nothing: " in out
    assert "\nmissing: bad, ipc 1, seed 0: " in out
    assert "\nrandom " in out and "\n(all images) " in out
    assert f'"command": "limbeck -p {plugin} -p {method} compare ' in Path("it/comparison.json").read_text()


@pytest.mark.usefixtures("no_pages")
def test_ctrl_c_says_in_one_line_how_to_continue(limbeck, monkeypatch):
    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("limbeck.continued.run", stop)
    status, _, err = limbeck(*TINY, "--methods", "dm", "--out", "it")
    assert status == 130
    assert err == (
        "limbeck: error: stopped in row 1 (random, ipc 1, seed 0); 0 of 3 rows are finished and nothing is lost. "
        "Continue: type the same command again, with --out it.\n"
    )


def test_the_page_is_written_again_without_running_anything(limbeck, no_report, monkeypatch):
    limbeck(*TINY, "--methods", "random", "--out", "it")
    page = Path("it/compare.html").read_text()
    for name in ("compare.html", "table.csv", "rows.csv"):
        Path("it", name).unlink()
    monkeypatch.setattr("limbeck.runs.run", None)
    status, out, _ = limbeck("report", "it")
    assert (status, out) == (0, "it/compare.html\n")
    assert Path("it/compare.html").read_text() == page
    assert Path("it/table.csv").exists() and Path("it/rows.csv").exists()


def test_help_shows_examples_whose_options_exist():
    options = {name for parameter in compare.params for name in parameter.opts}
    words = compare.epilog.replace("\\\n", " ").split()
    used = {word for word in words if word.startswith("--") and word.strip("-")}
    assert {"--methods", "--ipc", "--seconds"} <= used <= options


# The table


def line_of(method, ipc=1, accuracies=(0.5, 0.75), *, seconds=60.1, steps=357, growth=91 * 2**20, features=0.0, **more):
    recipe = Recipe(network="convnet-d3-w32-in", epochs=2).to_dict()
    measured = Evaluation("synthetic", "dc", recipe, list(accuracies), [], 31370, 10, 1.0).to_dict()
    cost = {"seconds": seconds, "steps": steps, "growth": growth, "features": features, "evaluating": 1.0}
    return Line(method, ipc, (Row("k", method, ipc, 0, "run", measured, "n", cost=cost),), 1, **more)


LINES = (
    line_of("random", 10, seconds=0.001, steps=0, growth=2**20, lrs=0.181, over_random=0.0),
    line_of("distribution_matching", 10, lrs=0.256, over_random=20.004),
    line_of("herding", 10, seconds=0.24, steps=0, features=12.3, lrs=0.2, over_random=-3.21),
    line_of(WHOLE, 0, (0.9915,) * 5, seconds=0, steps=0, growth=None),
)
TABLE = Table(Asked("digits", (Place("random", 1, 0, "k"),)), LINES, ())


def shown(width, table=TABLE):
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None, soft_wrap=True).print(drawn(table, width))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("width", [60, 70, 80, 90, 100, 120, 200])
def test_every_row_is_one_line_and_no_cell_is_cut(width):
    lines = shown(width)
    assert len(lines) == len(LINES) + 2
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    assert {"method", "ipc", "acc. %", "time s"} <= {word.strip() for word in lines[0].split("  ")}
    assert "62.50 ± 12.50" in lines[2] and "0.2 + 12.3" in lines[4]


def test_a_wide_terminal_shows_every_column_and_80_letters_spare_the_least():
    def columns(width):
        return [word.strip() for word in shown(width)[0].split("  ") if word.strip()]

    every = ["method", "ipc", "acc. %", "n", "over random", "LRS", "time s", "ms/step", "+MiB", "KiB"]
    assert columns(120) == every
    assert columns(80) == [name for name in every if name not in ("over random", "ms/step")]
    assert columns(66) == ["method", "ipc", "acc. %", "n", "LRS", "time s"]
    assert columns(55) == ["method", "ipc", "acc. %", "time s"]


def test_numbers_are_in_the_units_of_their_columns():
    random, matching, herding, whole = shown(120)[2:]
    assert matching.split() == [
        *("distribution_matching", "10", "62.50", "±", "12.50", "2"),
        *("+20.00", "0.256", "60.1", "168", "91.0", "30.6"),
    ]
    assert random.split() == ["random", "10", "62.50", "±", "12.50", "2", "0.181", "0.0", "1.0", "30.6"]
    assert "-3.21" in herding
    assert whole.split() == ["(all", "images)", "99.15", "±", "0.00", "5", "30.6"]


def test_columns_of_nothing_are_left_out():
    bare = replace(TABLE, lines=(line_of("random", seconds=1.0, steps=0, growth=None, accuracies=(0.5,)),))
    assert shown(120, bare)[0].split("  ")[0] == "method"
    assert not {"LRS", "+MiB", "ms/step"} & set(shown(120, bare)[0].split())
    assert "50.00" in shown(120, bare)[2] and "±" not in shown(120, bare)[2]


@pytest.mark.parametrize("terminal", [False, True])
def test_what_is_told_fits_80_letters(terminal):
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=terminal, color_system=None, markup=False, soft_wrap=True)
    CompareScreen(Path("it"), console).done(Outcome(TABLE, {"dc, ipc 1, seed 0": "its loss."}), 61)
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "missing: dc, ipc 1, seed 0: its loss." in lines
    assert lines[-1] == "done in 1 min 01 s; open it/compare.html to see the images"
    assert [line for line in lines if line in LEGEND] == list(LEGEND)


def test_widths_are_counted_in_letters_as_shown():
    """What a terminal shows in two columns counts twice."""
    assert compare_screen._width({"方法": ["x"], "a": ["bb"]}) == 4 + 2 + 2
