"""What a person sees while a study goes on, and its table at the end."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from limbeck.cli.compare_screen import fitted
from limbeck_applications.continual.results import Learned, Results
from limbeck_applications.continual.screen import LEGEND, SPARED, StudyScreen, columns, told


def console(width=80, terminal=False):
    return Console(
        file=io.StringIO(), width=width, force_terminal=terminal, highlight=False, markup=False, soft_wrap=True
    )


def drawn(found, width):
    out = console(width)
    out.print(fitted(columns(found), width, SPARED))
    return out.file.getvalue()


def test_the_table_says_what_every_strategy_came_to(study):
    results = Results.of(study[0])
    lines, text = results.lines, drawn(results, 160)
    head, _, *rows = text.splitlines()
    assert " ".join(head.split()) == "strategy ACC % AIA % BWT forgetting learn s distil s KiB images n"
    spread = lines[2].spread("accuracy")
    assert f"{100 * spread.mean:.2f} ± {100 * spread.std:.2f}" in rows[2]
    assert rows[2].split()[-4:] == ["60.0", "1.1", "18", "4"] and rows[0].split()[-2:] == ["4.5", "4"]


def test_who_keeps_more_than_the_others_may_is_marked(study, greedy, tmp_path):
    results = Results.of(greedy)
    assert [line.name for line in results.above] == ["gdumb"]
    firsts = [row.split("  ")[0] for row in drawn(results, 160).splitlines()[2:]]
    assert firsts == ["naive", "gdumb *", "distilled_gdumb [dm]", "distilled_gdumb [<b>x</b>]"]
    note = "*: keeps more than the 1.3 KiB of the others; nothing bounds it"
    for outcome, is_told in ((greedy, True), (study[0], False)):
        out = console(100)
        with StudyScreen(tmp_path, console=out) as screen:
            screen.done(outcome, 1)
        assert (note in out.file.getvalue()) == is_told


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_a_narrow_table_has_fewer_columns_and_no_longer_lines(study, width):
    results = Results.of(study[0])
    lines, text = results.lines, drawn(results, width)
    assert max(map(len, text.splitlines())) <= width
    assert all(line.name in text for line in lines)
    assert all(kept in text for kept in ("ACC %", "learn s", "distil s"))
    assert [name in text for name in ("forgetting", "AIA %", "KiB")] == [width >= 80, width >= 80, width >= 100]


def test_a_finished_cell_takes_a_line(study):
    learned = [Learned(cell, tuple(rows)) for cell, rows in study[0].cells.items()]
    assert told(learned[0]) == "naive, order 0, seed 0: 33.33 %, forgetting -2.5, 4 s"
    assert told(learned[8]).endswith(", 4 s + 1 min 00 s distilling")


def test_at_the_end_everything_is_said_once(outcome_in, tmp_path):
    out = console(100)
    with StudyScreen(tmp_path, console=out) as screen:
        screen.done(outcome_in(tmp_path, finished=False), 75)
    text = out.file.getvalue()
    assert all(line in text for line in LEGEND)
    assert "missing: distilled_gdumb [<b>x</b>], order 1, seed 0: its loss is <nan>." in text
    assert text.endswith(f"done in 1 min 15 s; open {tmp_path}/report.html to see everything\n")


def test_bars_are_there_on_a_terminal_and_lines_elsewhere(study, tmp_path):
    cell, rows = next(iter(study[0].cells.items()))
    texts = {}
    for terminal in (True, False):
        out = console(100, terminal)
        with StudyScreen(tmp_path, console=out) as screen:
            screen._experiences, screen._rows = 3, 3
            screen.distils("dm", 0, 0)
            screen.distilled("dm", 0, 0, 12.0)
            screen._bars.refresh()
            screen.begins([cell])
            for position, row in enumerate(rows):
                screen.row(cell, position, row)
        texts[terminal] = out.file.getvalue()
    assert "distilled 1 of 1 (dm, order 0, experience 1: 12 s)\n" in texts[False]
    assert "distilled 1 of 1" not in texts[True]
    assert "1/1 pieces" in texts[True] and "1/1 pieces" not in texts[False]
    assert all(told(Learned(cell, tuple(rows))) in text for text in texts.values())
