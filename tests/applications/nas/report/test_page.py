"""The pages of rankings, searches and full training, read as text and looked at in a real browser."""

from __future__ import annotations

import html
import importlib.util
import json
import re
import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from limbeck_applications.nas.report import trained as trained_page
from limbeck_applications.nas.report.page import FILE, publish, render, results_of
from limbeck_applications.nas.truth import Measured, Truth

WIDTHS = (400, 1400)
PLACE = Path(__file__).parents[4] / "docs" / "screenshots.py"
SPEC = importlib.util.spec_from_file_location("screenshots", PLACE)
screenshots = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(screenshots)


def page(outcome):
    return render(results_of(outcome))


def words(text):
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


@pytest.fixture(scope="module")
def ranked(rank_outcome):
    return page(rank_outcome)


@pytest.fixture(scope="module")
def searched(search_outcome):
    return page(search_outcome)


@pytest.fixture(scope="module")
def trained(truth_outcome):
    return page(truth_outcome)


def test_a_ranking_shows_a_row_and_a_panel_for_each_proxy(ranked):
    heads = [html.unescape(head) for head in re.findall(r'<th scope="row" data-sort="(.*?)"', ranked)]
    assert heads == ["distilled [dm]", "nwot", "parameters", "random"]
    assert ranked.count("<svg") == 2 + 4 + 2
    panels = re.findall(r'aria-label="Accuracy of 72 architectures against the score of (.*?)"', ranked)
    assert panels == ["distilled [dm]", "nwot, 36 without a score", "parameters", "random"]


def test_a_ranking_says_what_is_best_what_is_missing_and_how_noisy_full_training_is(ranked):
    said = words(ranked)
    assert "distilled [dm] ranks best: Spearman 0.9" in said and "in 100 s, +" in said
    assert "above the parameter count" in said and "above the second, parameters." in said
    assert "Not told apart" not in said and "agrees with that from another to 0.99" in said
    assert "held against the mean of 2 seeds, so even one without any error would reach about 0.99" in said
    assert said.count("full training, another seed") == said.count("Proxy") - 2 and "too few" in said
    assert "snip, seed 0 is missing: a batch of one image: give batch=2 or more." in said
    assert "nwot has no score for 36 of 72 architectures: it has no ReLU. What is marked counts them" in said
    assert re.search(r"nwot 0\.\d+\* \[.*?\] 0\.99\d \[0\.9\d, 1\.00\] of the 36 scored", said)
    assert "Among the 36 that it scores its ρ is 0.99" in said
    assert "limbeck nas rank --out <x>" in said and "limbeck nas truth --space convnet72" in said


def test_a_best_that_is_not_told_from_the_second_is_said_to_be(rank_outcome):
    first = rank_outcome.rankings[0]
    said = words(page(replace(rank_outcome, rankings=[first, replace(first, proxy="twin")])))
    assert "Not told apart from twin : +0.000 [+0.00, +0.00] above the second, twin." in said


def test_a_ranking_colours_by_norm_and_lists_groups(ranked):
    said = words(ranked)
    assert "By norm: none instance batch" in said
    for title in ("Best by full training", "Best by the proxy itself", "Norm", "Activation", "Depth"):
        assert f'<h3 class="above">{title}</h3>' in ranked
    assert '<abbr title="all scores are equal">–</abbr>' in ranked and 'class="won"' in ranked


def test_the_best_are_drawn_with_their_layers(ranked, worth):
    best = max(worth, key=worth.get)
    drawn = re.findall(r'<div class="portrait">\s*<h3>(.*?)</h3>', ranked)
    assert drawn[0] == best and len(drawn) in (3, 4)
    layers = re.search(r'<ol class="layers".*?</ol>', ranked)[0]
    assert words(layers).startswith("image conv 3×3, 32, batch norm, ReLU") and words(layers).endswith("logits")


def test_a_ranking_without_a_table_says_how_to_get_one(rank_outcome):
    said = words(page(replace(rank_outcome, truth=None)))
    assert "There is no table of full training for these images" in said and "limbeck nas truth" in said
    assert "Rank by distilled [dm]" in said and "Noise floor" not in said


def test_what_is_undefined_is_said_and_never_nan(rank_outcome):
    first = rank_outcome.rankings[0]
    scores = {name: replace(own, value=0.5) for name, own in first.scores.items()}
    text = page(replace(rank_outcome, rankings=[replace(first, scores=scores)]))
    assert '<abbr title="all scores are equal">undefined</abbr>' in text
    assert "undefined: all scores are equal" in words(text) and not re.search(r"\bnan\b", words(text))


def test_groups_too_small_for_any_correlation_are_left_out(rank_outcome, ranked):
    few = rank_outcome.architectures[:6]
    assert "Best by full training Proxy 5 %" in words(ranked)
    own = rank_outcome.rankings[2]
    own = replace(own, scores={each.name: own.scores[each.name] for each in few})
    text = words(page(replace(rank_outcome, architectures=few, rankings=[own])))
    assert "Best by full training Proxy 5 %" not in text and "The best few" in text


def test_a_ranking_that_has_just_begun_is_shown(rank_outcome):
    begun = [replace(each, scores={}, made=None, failed="") for each in rank_outcome.rankings]
    said = words(page(replace(rank_outcome, rankings=begun)))
    assert "No proxy is finished yet." in said and "6 of 6 rankings are not finished." in said
    first = rank_outcome.rankings[0]
    some = {name: first.scores[name] for name in list(first.scores)[:12]}
    said = words(page(replace(rank_outcome, rankings=[replace(first, scores=some), *begun[1:]])))
    assert "6 of 6 rankings are not finished: distilled [dm], seed 0, 12 of 72 scored." in said


def test_a_table_of_other_images_is_warned_of(rank_outcome, search_outcome, ranked):
    table = replace(rank_outcome.truth, notes={"images": "10000"})
    warning = "The table of full training was made with 10,000 training images, and here there are 55,000"
    begun = replace(rank_outcome, rankings=rank_outcome.rankings[-1:], truth=table)
    for outcome in (begun, replace(search_outcome, truth=table)):
        assert warning in words(page(replace(outcome, images=55000)))
    for text in (page(replace(begun, images=10000)), page(begun), ranked):
        assert "was made with" not in words(text)


def test_a_search_shows_curves_fronts_and_what_was_found(searched, architectures):
    assert searched.count("<svg") == 3
    said = words(searched)
    assert "Best score so far, mean at the end: random 0.625, eeea [population=4] 0.875" in html.unescape(searched)
    assert "eeea [population=4], seed 1 is missing: the budget cannot be met." in said
    assert "random, seed 1, not finished" in said and "2 of 4 searches finished" in said
    assert f"{architectures[0].name} best by score, 0.8750, 91.00 % when trained in full" in said
    assert "In the table" not in said and "Trainings of the best" not in said
    assert "The 2 seeds vary the searcher only" in said and "all training images but those kept aside" in said


def test_times_are_written_as_a_screen_writes_them(ranked):
    times = re.findall(r'data-label="In all" data-sort=".*?"><span>(.*?)</span>', ranked)
    assert times == ["100 s", "72.0 s", "72 ms", "144 s"]


def test_figures_of_searches_have_the_same_digits_everywhere(searched):
    assert re.findall(r'data-label="Retrained" data-sort=".+?"><span>(.*?)</span>', searched) == ["91.00", "91.00 %"]
    assert not re.search(r">0\.875<|>0\.75<", searched) and ">0.8750<" in searched


@pytest.mark.parametrize(("other", "accented"), [(0.91, 0), (0.92, 1)])
def test_of_equal_retrained_accuracies_none_is_accented(search_outcome, other, accented):
    random, grown, *_ = search_outcome.searches
    again = [Measured(random.best.architecture.name, 0, other)]
    text = page(replace(search_outcome, searches=[replace(random, retrained=again), grown]))
    assert text.count('<tr data-row="best"') == accented and '<div class="portrait">' in text


def test_a_search_that_grows_networks_says_how_often_its_best_was_trained(search_outcome):
    random, grown, *_ = search_outcome.searches
    found = [replace(one, notes={"trainings": one.number + 1}) for one in grown.found]
    text = page(replace(search_outcome, searches=[random, replace(grown, found=found)]))
    cells = re.findall(r'data-label="Trainings of the best" data-sort="(.*?)"', text)
    assert cells == ["1.0", "3.0"] and "scores are not compared at equal training" in words(text)


def test_a_search_that_has_just_begun_is_shown(search_outcome):
    begun = [replace(each, found=[], retrained=[], finished=False, failed="") for each in search_outcome.searches]
    said = words(page(replace(search_outcome, searches=begun, made=None)))
    assert "No architecture is scored yet." in said and "0 of 4 searches finished" in said


def only(outcome, keep):
    return replace(outcome, truth=replace(outcome.truth, rows=tuple(filter(keep, outcome.truth.rows))))


def test_full_training_shows_accuracies_seeds_and_what_they_cost(trained, truth_outcome, architectures):
    assert trained.count("<svg") == 1 + 1 + 2
    assert "Accuracies of 72 architectures in order: the best" in trained
    assert "Accuracy of 72 architectures from seed 1 against that from 0" in trained
    said = words(trained)
    mean = truth_outcome.truth.mean()
    best, worst = max(mean, key=mean.get), min(mean, key=mean.get)
    assert f"{best} is best: {100 * mean[best]:.2f} ± " in said
    middle = 100 * statistics.median(mean.values())
    assert f"the median is {middle:.2f} %, the worst {100 * mean[worst]:.2f} %." in said
    assert "By norm: none instance batch" in said and "training time 3 min 36 s" in said
    assert "Noise floor: training from one seed ranks architectures as another does to 0.99" in said
    assert "activation relu 36" in said and "the best 20 % 15" in said
    heads = re.findall(r'<th scope="row" data-sort="(.*?)"', trained)
    assert len(heads) == 20 and heads[0] == best and heads[-1] == worst and "All 72 are in scores.csv." in said
    drawn = re.findall(r'<div class="portrait">\s*<h3>(.*?)</h3>', trained)
    assert drawn[0] == best and len(drawn) == 3
    assert "limbeck nas truth --out <x>" in said and "networks are trained" not in said and "Missing" not in said


def test_full_training_that_taught_nothing_names_no_winner(truth_outcome, trained):
    rows = tuple(replace(row, test=36 / 355) for row in truth_outcome.truth.rows)
    notes = {**truth_outcome.truth.notes, "classes": "10"}
    text = page(replace(truth_outcome, truth=Truth(rows, notes)))
    assert "The best, 10.14 %, is no better than chance (10.00 % of 10 classes)" in words(text)
    assert '<tr data-row="best"' not in text and '<tr data-row="best"' in trained and "is best" not in words(text)
    assert "than chance" not in words(trained)


def test_full_training_of_a_few_lists_all_of_them(truth_outcome, architectures):
    few = architectures[:20]
    some = replace(only(truth_outcome, lambda row: row.architecture in {one.name for one in few}), architectures=few)
    text = page(some)
    assert len(re.findall(r'<th scope="row" data-sort="(.*?)"', text)) == 20 and "All architectures" in words(text)


def test_panels_of_seeds_have_the_colours_of_the_legend(truth_outcome, architectures, monkeypatch):
    """Also where those that are trained from every seed have no group in which all of them lie."""
    drawn = []
    monkeypatch.setattr(trained_page, "seeds_svg", lambda *args: drawn.append(args[2]) or "")
    names = {each.name for each in architectures if dict(each.traits)["norm"] == "batch"}
    some = only(truth_outcome, lambda row: row.seed == 0 or row.architecture in names)
    page(some)
    assert {kind: len(places) for kind, places in drawn[0].items()} == {"none": 0, "instance": 0, "batch": len(names)}


def test_full_training_that_is_not_finished_says_how_far_it_is(truth_outcome, architectures):
    said = words(page(only(truth_outcome, lambda row: False)))
    assert "No network is trained yet. 0 of 144 networks are trained." in said
    some = only(truth_outcome, lambda row: row.seed == 0)
    said = words(page(some))
    assert "72 of 144 networks are trained." in said
    assert "How far seeds agree is not known: the table of truth has one seed." in said and "nan" not in said
    names = {each.name for each in architectures[:9]}
    begun = only(truth_outcome, lambda row: row.seed == 0 or row.architecture in names)
    said = words(page(replace(begun, failed=["d1, seed 1: out of memory"] * 7)))
    assert "over the 9 that are trained from every seed" in said
    assert said.count("Missing : d1, seed 1: out of memory") == 5 and "2 more came to nothing." in said


def test_pages_fetch_nothing_and_escape_everything(rank_outcome, truth_outcome, ranked, searched, trained):
    for text in (ranked, searched, trained):
        assert not re.findall(r'(?:href|src)="(?!data:|#)', text)
        assert "default-src 'none'" in text
    bad = [replace(each, proxy="<script>x</script>") for each in rank_outcome.rankings[:1]]
    text = page(replace(rank_outcome, rankings=bad, command="<img>"))
    assert "<script>x" not in text and "<img>" not in text
    text = page(replace(truth_outcome, failed=["<script>x</script>"], command="<img>"))
    assert "<script>x" not in text and "<img>" not in text


def test_publishing_writes_the_page_and_the_tables(rank_outcome, search_outcome, truth_outcome, tmp_path):
    for name, outcome in (("rank", rank_outcome), ("search", search_outcome), ("truth", truth_outcome)):
        path = publish(tmp_path / name, outcome)
        assert path == tmp_path / name / FILE and path.read_text().startswith("<!doctype html>")
        assert (tmp_path / name / ("truth.csv" if name == "truth" else "table.csv")).exists() and (
            tmp_path / name / "scores.csv"
        ).exists()


# In a browser

LOOK = """<!doctype html><title>look</title>
{frames}
<pre id="facts"></pre>
<script>
addEventListener("load", () => {{
  const found = [...document.querySelectorAll("iframe")].map(frame => {{
    const page = frame.contentDocument, root = page.documentElement;
    const heads = [...page.querySelectorAll(".sortable thead th")];
    heads[1].querySelector("button").click();
    const inside = page.querySelector("main").getBoundingClientRect();
    const beyond = [...page.querySelectorAll("svg, .portrait, .charts, table.sortable")].filter(
      one => one.getBoundingClientRect().right > inside.right + 1).length;
    return {{
      wider: root.scrollWidth - frame.contentWindow.innerWidth,
      beyond,
      sorted: [...page.querySelectorAll(".sortable tbody th")].map(one => one.textContent),
      colours: new Set([...page.querySelectorAll(".key i")].map(one => getComputedStyle(one).backgroundColor)).size,
    }};
  }});
  document.getElementById("facts").textContent = JSON.stringify(found);
}});
</script>
"""


@pytest.mark.skipif(screenshots.CHROMIUM is None, reason="needs Chromium")
def test_pages_fit_phones_and_desktops_and_their_tables_sort(ranked, searched, trained, tmp_path):
    frames = []
    for name, text in (("rank", ranked), ("search", searched), ("truth", trained)):
        (tmp_path / f"{name}.html").write_text(text)
        frames += [f'<iframe src="{name}.html" width="{width}" height="900"></iframe>' for width in WIDTHS]
    look = tmp_path / "look.html"
    look.write_text(LOOK.format(frames="\n".join(frames)))
    dom = screenshots.browse(look.as_uri(), "--virtual-time-budget=5000", "--dump-dom").stdout
    facts = json.loads(html.unescape(re.search(r'<pre id="facts">(.*?)</pre>', dom)[1]))
    assert len(facts) == 6
    for found in facts:
        assert found["wider"] <= 0 and found["beyond"] == 0, found
    assert [found["colours"] for found in facts] == [3, 3, 2, 2, 3, 3]
    assert facts[0]["sorted"][0] == "distilled [dm]" and facts[2]["sorted"][0] == "eeea [population=4]"
