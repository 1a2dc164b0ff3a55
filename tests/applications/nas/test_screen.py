"""What a terminal and a log show of studies of architectures."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from limbeck_applications.nas.screen import StudyScreen, TruthScreen
from limbeck_applications.nas.study.rows import Made, Scored
from limbeck_applications.nas.tables.columns import _spread, rank_columns, search_columns, seconds_text
from limbeck_applications.nas.tables.results import Results
from limbeck_applications.nas.tables.searches import SearchResults, Spread
from limbeck_applications.nas.truth import Measured


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=120, highlight=False, markup=False, soft_wrap=True)


def said(console):
    return console.file.getvalue()


def test_a_ranking_is_announced_and_ends_with_its_table(rank_outcome, tmp_path, console):
    with StudyScreen(tmp_path, console=console) as screen:
        screen.planned(rank_outcome)
        screen.prepares("distilled [dm]", 0)
        screen.prepared("distilled [dm]", 0, Made(28.0, 100, 31400))
        screen.scored("distilled [dm]", 0, "a", Scored(0.5, 1.0), 1, 2)
        screen.scored("distilled [dm]", 0, "b", Scored(0.5, 1.0), 2, 2)
        screen.failed("snip, seed 0", "a batch of one image")
        status = screen.done(rank_outcome, 61)
    text = said(console)
    assert status == 1
    for line in (
        "convnet72 on digits: ranked by distilled [dm], nwot, parameters, random, snip",
        f"everything goes into {tmp_path}",
        "full training: truth.csv, 2 seeds",
        "distilled [dm], seed 0: prepared (100 images) in 28 s",
        "distilled [dm], seed 0: 2 of 2 architectures scored",
        "snip, seed 0 came to nothing: a batch of one image",
        "missing: snip, seed 0: a batch of one image: give batch=2 or more.",
        f"done in 1 min 01 s; open {tmp_path}/report.html to see everything",
    ):
        assert line in text.splitlines()
    assert "full training from another seed: rho 0.99" in text
    assert "*: what has no score counts as ranked lowest" in text


def test_what_broke_is_not_counted_as_scored_and_ends_in_failure(rank_outcome, tmp_path, console):
    first = rank_outcome.rankings[0]
    name = next(iter(first.scores))
    scores = {**first.scores, name: Scored(None, 0.1, {}, "AttributeError: x.", True)}
    with StudyScreen(tmp_path, console=console) as screen:
        screen.prepares("nwot", 0)
        screen.scored("nwot", 0, "a", Scored(None, 0.1, {}, "it has no ReLU"), 1, 3)
        screen.scored("nwot", 0, "b", Scored(None, 0.1, {}, "AttributeError: x.", True), 2, 3)
        screen.scored("nwot", 0, "c", Scored(None, 0.1, {}, "AttributeError: x.", True), 3, 3)
        status = screen.done(replace(rank_outcome, rankings=[replace(first, scores=scores)]), 1)
    lines = said(console).splitlines()
    assert status == 1 and "nwot, seed 0: 1 of 3 architectures scored" in lines
    assert "missing: distilled [dm], seed 0: 1 of 72 architectures" in lines


def test_without_a_table_it_says_how_to_get_one(rank_outcome, tmp_path, console):
    outcome = replace(rank_outcome, truth=None, rankings=rank_outcome.rankings[:1])
    with StudyScreen(tmp_path, console=console) as screen:
        screen.planned(outcome)
        assert screen.done(outcome, 1) == 0
    assert "no table of full training, so no correlations: --truth FILE, or 'limbeck nas truth'" in said(console)
    assert "another seed" not in said(console) and " rho" not in said(console)


def test_a_table_of_other_images_is_warned_of(rank_outcome, tmp_path, console):
    truth = replace(rank_outcome.truth, notes={"images": "10000"})
    with StudyScreen(tmp_path, console=console) as screen:
        screen.planned(replace(rank_outcome, truth=truth, images=500))
    assert "note: the table of full training was made with 10,000 training images, and here there are 500:" in said(
        console
    )


def test_the_columns_of_a_ranking(rank_outcome):
    columns = rank_columns(Results.of(rank_outcome))
    assert columns["proxy"] == ["distilled [dm]", "nwot", "parameters", "random"]
    assert columns["rho"][0].startswith("0.99") and "[" in columns["rho"][0]
    assert columns["above params"][2] == "" and columns["above params"][0].startswith("+0.")
    assert columns["making"] == ["28.0 s", "", "", ""] and columns["time"] == ["100 s", "72.0 s", "72 ms", "144 s"]
    assert columns["no score"] == ["", "36", "", ""]
    assert [text[-1] == "*" for text in columns["rho"]] == [False, True, False, False]
    assert columns["rho of scored"][1].startswith("0.99") and not any(columns["rho of scored"][::2])


def test_ties_are_said_below_the_tables(rank_outcome, search_outcome, tmp_path, console):
    with StudyScreen(tmp_path, console=console) as screen:
        screen.done(rank_outcome, 1)
        first = search_outcome.searches[0]
        found = [replace(one, value=0.5) for one in first.found]
        screen.done(replace(search_outcome, searches=[replace(first, found=found)]), 1)
    lines = said(console).splitlines()
    assert "architectures that tie for the best score: parameters 12" in lines
    assert "random: all scores are equal: the proxy tells nothing apart" in lines
    assert "random, seed 0: all scores are equal: the proxy tells nothing apart" in lines


def test_the_legend_is_of_columns_that_are_shown(rank_outcome, tmp_path):
    console = Console(file=io.StringIO(), width=64, highlight=False, markup=False, soft_wrap=True)
    with StudyScreen(tmp_path, console=console) as screen:
        screen.done(rank_outcome, 1)
    text = said(console)
    assert "\nrho: Spearman" in text and "\nregret: " not in text and "\nmaking: " not in text
    assert f"no room here for {', '.join(['above params', 'tau-b'])}" in text and f"in {tmp_path}/table.csv" in text


def test_a_table_without_a_line_has_no_legend(rank_outcome, tmp_path, console):
    with StudyScreen(tmp_path, console=console) as screen:
        assert screen.done(replace(rank_outcome, rankings=rank_outcome.rankings[-1:]), 1) == 1
    assert "Spearman" not in said(console) and "time:" not in said(console)


@pytest.mark.parametrize(
    ("mean", "std", "text"),
    [(0.1, 0.0125, "0.1000 ± 0.0125"), (5403.9843, 12.3, "5404 ± 12"), (12.7, 0.5, "12.70 ± 0.50"),
     (0, 0, "0.0000 ± 0.0000"), (2.5e-7, 1e-8, "2.5e-07 ± 1e-08"), (-3.2e9, 1e8, "-3.2e+09 ± 1e+08")],
)  # fmt: skip
def test_scores_have_four_digits(mean, std, text):
    assert _spread(Spread(mean, std, 2), 1) == text


@pytest.mark.parametrize(("value", "text"), [(0.0071, "7.1 ms"), (12.7, "12.7 s"), (3.0, "3.00 s"), (1234, "1,234 s")])
def test_seconds_have_three_digits_and_a_unit(value, text):
    assert seconds_text(value) == text


def test_undefined_is_a_word(rank_outcome):
    first = rank_outcome.rankings[0]
    scores = {name: replace(own, value=1.0) for name, own in first.scores.items()}
    columns = rank_columns(Results.of(replace(rank_outcome, rankings=[replace(first, scores=scores)])))
    assert columns["rho"] == ["undefined"] and columns["tau-b"] == [""]


def test_searches_are_followed_and_end_with_their_table(search_outcome, tmp_path, console):
    with StudyScreen(tmp_path, console=console) as screen:
        screen.planned(search_outcome)
        for search in search_outcome.searches[:2]:
            screen.searches(search.searcher, search.seed, 3)
            for place, found in enumerate(search.found, 1):
                screen.found(search.searcher, search.seed, found, place, 3)
        screen.works(3, 3, "learning sizes")
        screen.retrained("random", 0, Measured("d1-w16", 0, 0.915))
        assert screen.done(search_outcome, 5) == 1
    text = said(console)
    for line in (
        "convnet72 on digits: searched by random, eeea [population=4], 3 evaluations each, by scores of distilled [dm]",
        "random, seed 0: 3 of 3 evaluations",
        "learning sizes: 3 of 3",
        "random, seed 0: d1-w16 reaches 91.50 % on test images",
        "missing: eeea [population=4], seed 1: the budget cannot be met.",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize(("evaluations", "number"), [(72, 0), (73, 1)])
def test_a_space_of_fewer_architectures_than_evaluations_is_said(
    search_outcome, tmp_path, console, evaluations, number
):
    settings = search_outcome.settings.model_copy(update={"evaluations": evaluations})
    with StudyScreen(tmp_path, console=console) as screen:
        screen.done(replace(search_outcome, settings=settings), 5)
    line = "convnet72 has 72 architectures, fewer than 73 evaluations"
    assert said(console).splitlines().count(line) == number


def test_the_columns_of_searches(search_outcome):
    columns = search_columns(SearchResults.of(search_outcome))
    assert columns["score"] == ["0.6250 ± 0.1250", "0.8750"]
    assert columns["retrained %"] == ["", "91.00"] and columns["n"] == ["2", "1"]


def test_a_failure_that_an_interrupt_made_is_not_told(tmp_path, console):
    screen = StudyScreen(tmp_path, [2], console)
    with pytest.raises(KeyboardInterrupt):
        screen.failed("random, seed 0", "half imported")
    assert said(console) == ""


def test_bars_are_there_on_a_terminal(rank_outcome, tmp_path):
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    with StudyScreen(tmp_path, console=console) as screen:
        screen.prepares("distilled [dm]", 0)
        screen.scored("distilled [dm]", 0, "d1-w16", Scored(0.5, 1.0), 1, 2)
        screen._bars.refresh()
        screen.done(replace(rank_outcome, rankings=rank_outcome.rankings[:1]), 1)
    assert "1/2 d1-w16" in said(console) and "of 2 architectures scored" not in said(console)


def test_full_training_that_taught_nothing_says_so(truth_outcome, tmp_path, console):
    rows = tuple(replace(row, test=36 / 355) for row in truth_outcome.truth.rows)
    truth = replace(truth_outcome.truth, rows=rows, notes={"classes": "10", "test": "355"})
    with TruthScreen(tmp_path, console=console) as screen:
        assert screen.done(replace(truth_outcome, truth=truth), 10) == 0
    assert "\nnote: the best, 10.14 %, is no better than chance (10.00 % of 10 classes): " in said(console)


def test_full_training_is_followed(truth_outcome, tmp_path, console):
    with TruthScreen(tmp_path, console=console) as screen:
        screen.planned(truth_outcome)
        screen.trained(1, 2, Measured("a", 0, 0.5))
        screen.trained(2, 2, Measured("b", 0, 0.75))
        assert screen.done(truth_outcome, 10) == 0
    lines = said(console).splitlines()
    assert lines[:2] == ["convnet72 on digits: 5 epochs, 2 seeds", f"everything goes into {tmp_path}"]
    assert "2 of 2 networks trained; b, seed 0: 75.00 %" in lines
    best = truth_outcome.truth.mean()
    name = max(best, key=best.get)
    assert lines[-4] == f"best of 72 architectures: {name}, {100 * best[name]:.2f} %"
    assert lines[-3].startswith("full training from another seed: rho 0.99")
    assert lines[-2:] == [
        f"the table is {tmp_path}/truth.csv",
        f"done in 10 s; open {tmp_path}/report.html to see everything",
    ]
