"""The tables of a ranking, from scores that were made by hand."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from limbeck_applications.nas.tables.results import Results


@pytest.fixture(scope="module")
def results(rank_outcome):
    return Results.of(rank_outcome)


@pytest.fixture(scope="module")
def lines(results):
    return {line.proxy: line for line in results.lines}


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_a_proxy_is_a_line_once_a_seed_is_finished(results, lines):
    assert list(lines) == ["distilled [dm]", "nwot", "parameters", "random"]
    assert [len(lines[name].rankings) for name in lines] == [1, 1, 1, 2]
    assert results.baseline is lines["parameters"] and results.best is lines["distilled [dm]"]


def test_a_ranking_that_is_not_finished_is_no_line(rank_outcome):
    cut = rank_outcome.rankings[0]
    first = next(iter(cut.scores))
    begun = replace(rank_outcome, rankings=[replace(cut, scores={first: cut.scores[first]})])
    assert Results.of(begun).lines == () and Results.of(begun).best is None


def test_correlations_are_with_the_mean_of_the_table(results, lines, rank_outcome, worth):
    truth = rank_outcome.truth.mean()
    expected = spearmanr(list(worth.values()), [truth[name] for name in worth]).statistic
    assert lines["distilled [dm]"].spearman.value == pytest.approx(expected)
    assert lines["random"].spearman.value == pytest.approx(0, abs=1e-12)  # two seeds, one the other's opposite
    assert results.floor.value == pytest.approx(
        spearmanr(*([rank_outcome.truth.of_seed(seed)[name] for name in worth] for seed in (0, 1))).statistic
    )


def test_time_counts_what_is_made_first_and_is_the_mean_over_seeds(lines):
    assert lines["distilled [dm]"].seconds == pytest.approx(28 + 72) and lines["distilled [dm]"].making == 28
    assert lines["random"].seconds == pytest.approx((72 + 3 * 72) / 2)
    assert lines["distilled [dm]"].per_second == pytest.approx(lines["distilled [dm]"].spearman.value / 100)


def test_an_architecture_without_a_score_ranks_lowest_and_is_counted(lines, architectures):
    line = lines["nwot"]
    assert line.undefined == 36 and line.reason == "it has no ReLU"
    silent = np.array([each.traits["activation"] == "sigmoid" for each in architectures])
    assert line.scores[0][silent].max() == -np.inf and np.isfinite(line.scores[0][~silent]).all()
    assert line.order[silent].max() < line.order[~silent].min()


def test_a_proxy_is_not_rewarded_for_what_it_has_no_score_for(rank_outcome, architectures, tmp_path):
    """Random numbers on ReLU and a refusal of all sigmoid networks, which are the worst, tell ReLU from sigmoid."""
    lots, rankings = np.random.default_rng(0).permutation(72), {each.proxy: each for each in rank_outcome.rankings}
    silent, weak = rankings["nwot"], rankings["parameters"]
    scores = {
        each.name: replace(silent.scores[each.name], value=float(lots[place]))
        if each.traits["activation"] == "relu"
        else silent.scores[each.name]
        for place, each in enumerate(architectures)
    }
    results = Results.of(replace(rank_outcome, rankings=[replace(silent, scores=scores), weak]))
    line, baseline = results.lines
    assert line.spearman.value > 0.7 > abs(line.within(line.scored).value) + 0.3
    assert not line.whole and line.per_second is None and "36 of 72" in line.over(baseline).reason
    assert results.best is baseline and results.ordered == [baseline]
    assert results.above(line).value == pytest.approx(
        line.within(line.scored).value - baseline.within(line.scored).value
    )
    results.save(tmp_path)
    row = table(tmp_path / "table.csv")[0]
    assert row["spearman"] and not row["above_parameters"] and not row["spearman_per_second"]
    assert float(row["spearman_of_scored"]) == pytest.approx(line.within(line.scored).value)
    assert float(row["above_parameters_of_scored"]) == pytest.approx(results.above(line).value)


def test_the_best_is_only_called_so_with_the_interval_of_its_lead(rank_outcome, lines):
    """The one proxy is the other with two architectures changed: the greater rho is not told from the smaller."""
    perfect, *_, weak = [each for each in rank_outcome.rankings if each.proxy in ("distilled [dm]", "parameters")]
    names = list(perfect.scores)
    changed = dict(perfect.scores)
    changed[names[4]], changed[names[7]] = changed[names[7]], changed[names[4]]
    near = replace(perfect, proxy="random", scores=changed)
    results = Results.of(replace(rank_outcome, rankings=[near, perfect, weak]))
    second, lead = results.lead
    assert lead.value == pytest.approx(results.ordered[0].spearman.value - second.spearman.value)
    assert {results.best.proxy, second.proxy} == {"random", "distilled [dm]"}
    assert lead.value >= 0 >= lead.low and results.alike == [second]
    apart = Results.of(replace(rank_outcome, rankings=[perfect, weak]))
    assert apart.lead[0].proxy == "parameters" and apart.lead[1].low > 0 and apart.alike == []
    assert Results.of(replace(rank_outcome, rankings=[perfect])).lead is None


def test_groups_are_the_best_and_the_traits(results, lines, architectures):
    groups = results.groups(lines["distilled [dm]"])
    assert [name for name in groups if "top" in name] == [
        f"{whose} top {share} %" for whose in ("true", "own") for share in (5, 10, 20)
    ]
    assert [len(groups[f"true top {share} %"]) for share in (5, 10, 20)] == [4, 8, 15]
    assert {name for name in groups if name.startswith("norm")} == {"norm none", "norm instance", "norm batch"}
    assert all(architectures[place].traits["activation"] == "relu" for place in groups["activation relu"])
    assert sum(len(groups[f"norm {norm}"]) for norm in ("none", "instance", "batch")) == 72
    own = results.groups(lines["parameters"])["own top 5 %"]
    assert {architectures[place].traits["depth"] for place in own} == {"3"} and len(own) == 12  # all that tie


def test_within_a_group_only_its_architectures_count(results, lines, rank_outcome, worth, architectures):
    line, places = lines["nwot"], results.groups(lines["nwot"])["activation relu"]
    names = [architectures[place].name for place in places]
    truth = rank_outcome.truth.mean()
    expected = spearmanr([worth[name] for name in names], [truth[name] for name in names]).statistic
    assert line.within(places).value == pytest.approx(expected)
    assert line.within(results.groups(line)["activation sigmoid"]).reason == "all scores are equal"
    over = line.within(places, lines["parameters"])
    assert over.value == pytest.approx(expected - lines["parameters"].within(places).value)
    assert over.low < over.value < over.high


def test_numbers_are_shares_and_what_was_asked(rank_outcome):
    asked = replace(rank_outcome, settings=rank_outcome.settings.model_copy(update={"top": (3, 8)}))
    assert Results.of(rank_outcome).numbers == [4, 8, 15] and Results.of(asked).numbers == [3, 4, 8, 15]


def test_the_best_by_a_perfect_proxy_are_the_best(results, lines, worth):
    line = lines["distilled [dm]"]
    chosen = [each.name for each in results.chosen(line, 3)]
    assert chosen == sorted(worth, key=worth.get)[::-1][:3]
    assert lines["random"].top(8).precision < line.top(8).precision


def test_without_a_table_there_are_scores_and_seconds_only(rank_outcome, tmp_path):
    results = Results.of(replace(rank_outcome, truth=None))
    assert results.floor is None and results.truth is None and results.best is results.lines[0]
    line = results.lines[0]
    assert (line.spearman, line.kendall, line.weighted, line.per_second, line.top(3)) == (None,) * 5
    results.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores.csv", "table.csv"]
    assert table(tmp_path / "table.csv")[0]["spearman"] == ""


def test_tables_hold_every_figure(results, lines, rank_outcome, tmp_path):
    results.save(tmp_path)
    first, silent, _, random = table(tmp_path / "table.csv")
    assert (first["proxy"], first["seconds"], first["making_seconds"], first["images"]) == (
        "distilled [dm]", "100.0", "28.0", "100",
    )  # fmt: skip
    assert float(first["spearman_low"]) < float(first["spearman"]) < float(first["spearman_high"])
    assert float(first["above_parameters"]) == pytest.approx(
        lines["distilled [dm]"].spearman.value - lines["parameters"].spearman.value
    )
    assert silent["without_score"] == "36" and random["seeds"] == "2"
    assert {"precision_at_4", "regret_at_8", "best_rank_at_15"} <= set(first)
    groups = table(tmp_path / "groups.csv")
    assert len(groups) == 5 * len(results.groups(results.lines[0]))
    undefined = [row for row in groups if row["proxy"] == "nwot" and row["group"] == "activation sigmoid"]
    assert [(row["spearman"], row["undefined"]) for row in undefined] == [("", "all scores are equal")]
    scores = table(tmp_path / "scores.csv")
    assert [row["architecture"] for row in scores] == [each.name for each in rank_outcome.architectures]
    assert scores[0]["norm"] == "none" and float(scores[0]["accuracy"]) == pytest.approx(results.truth[0])
    assert scores[0]["score of random, seed 1"] and not scores[0]["score of snip, seed 0"]
    assert "nan" not in "".join(path.read_text() for path in tmp_path.iterdir())


def test_the_noise_of_full_training_is_known_in_every_group(results, lines, rank_outcome, tmp_path):
    """Full training tells ReLU from sigmoid, but not the best from each other."""
    zero, one = (np.array(list(rank_outcome.truth.of_seed(seed).values())) for seed in (0, 1))
    places = results.groups(lines["nwot"])["true top 10 %"]
    assert results.floors["true top 10 %"].value == pytest.approx(spearmanr(zero[places], one[places]).statistic)
    assert results.floors["all"] == results.floor and results.floor.value > results.floors["true top 10 %"].value
    own = [
        spearmanr(a[best], b[best]).statistic for a, b in ((zero, one), (one, zero)) for best in [np.argsort(-a)[:8]]
    ]
    assert results.floors["own top 10 %"].value == pytest.approx(np.mean(own))
    assert results.floor.value < results.ceiling < 1
    results.save(tmp_path)
    last = [row for row in table(tmp_path / "groups.csv") if row["proxy"] == "full training, another seed"]
    assert {row["group"] for row in last} == set(results.groups(lines["nwot"]))
    assert float(last[0]["spearman"]) == pytest.approx(results.floor.value) and last[0]["kendall_tau_b"] == ""


@pytest.mark.parametrize("same", ["scores", "accuracies"])
def test_constants_are_written_as_nothing(rank_outcome, tmp_path, same):
    first = rank_outcome.rankings[0]
    if same == "scores":
        scores = {name: replace(own, value=0.5) for name, own in first.scores.items()}
        outcome = replace(rank_outcome, rankings=[replace(first, scores=scores)])
    else:
        rows = tuple(replace(row, test=0.5) for row in rank_outcome.truth.rows)
        outcome = replace(rank_outcome, rankings=[first], truth=replace(rank_outcome.truth, rows=rows))
    results = Results.of(outcome)
    assert results.lines[0].spearman.reason == f"all {same} are equal"
    results.save(tmp_path)
    assert table(tmp_path / "table.csv")[0]["spearman"] == ""
    assert (results.floor.value is None) == (same == "accuracies")
