"""Correlations of ranks against hand cases, SciPy, and their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr, weightedtau

from limbeck_applications.nas.tables import resampling, statistics
from limbeck_applications.nas.tables.resampling import resamples
from limbeck_applications.nas.tables.statistics import (
    Estimate,
    ceiling,
    difference,
    kendall,
    noise_floor,
    spearman,
    usable,
    weighted,
)

FEW = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=14)


def array(*values):
    return np.array(values, dtype=np.float64)


def varied(pairs):
    scores, truth = (np.array(side, dtype=np.float64) for side in zip(*pairs, strict=True))
    return scores, truth, len(set(scores)) > 1 and len(set(truth)) > 1


def test_hand_cases():
    truth = array(1, 2, 3, 4)
    assert spearman([array(1, 2, 4, 3)], truth).value == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert kendall([array(1, 2, 4, 3)], truth).value == pytest.approx((5 - 1) / 6)
    assert kendall([array(1, 1, 2, 3)], truth).value == pytest.approx(5 / math.sqrt(5 * 6))
    # The best and the second change places: of their pair weighs 1 + 1/2, of all pairs 3 (1 + 1/2 + 1/3 + 1/4).
    assert weighted([array(1, 2, 4, 3)], truth).value == pytest.approx(1 - 2 * 1.5 / (3 * (1 + 1 / 2 + 1 / 3 + 1 / 4)))
    for figure in (spearman, kendall, weighted):
        assert figure([truth], truth).value == pytest.approx(1)
        assert figure([-truth], truth).value == pytest.approx(-1)


@settings(max_examples=60, deadline=None)
@given(FEW)
def test_values_are_those_of_scipy(pairs):
    scores, truth, is_varied = varied(pairs)
    if is_varied:
        assert spearman([scores], truth).value == pytest.approx(spearmanr(scores, truth).statistic)
        assert kendall([scores], truth).value == pytest.approx(kendalltau(scores, truth).statistic)
        assert weighted([scores], truth).value == pytest.approx(weightedtau(scores, truth).statistic)


@settings(max_examples=30, deadline=None)
@given(FEW)
def test_resampled_figures_are_those_of_the_resample(pairs):
    scores, truth, _ = varied(pairs)
    counts = resamples(len(truth), 5)
    for many, single in (
        (resampling.rhos, spearmanr),
        (resampling.taus, kendalltau),
        (resampling.weighted_taus, weightedtau),
    ):
        for found, own in zip(many(scores, truth, counts), counts, strict=True):
            places = np.repeat(np.arange(len(truth)), own.astype(int))
            one, other = scores[places], truth[places]
            if len(set(one)) > 1 and len(set(other)) > 1:
                assert found == pytest.approx(single(one, other).statistic, abs=1e-12)
            else:
                assert math.isnan(found)


def test_resamples_are_with_replacement_and_always_the_same():
    counts = resamples(30)
    assert counts.shape == (1000, 30) and (counts.sum(1) == 30).all() and counts.max() > 1
    assert abs(counts.mean() - 1) < 1e-12 and abs((counts == 0).mean() - (29 / 30) ** 30) < 0.01
    assert (counts == resamples(30)).all()


def test_intervals_hold_the_value_and_shrink_with_more_architectures():
    chance = np.random.default_rng(0)
    widths = []
    for number in (20, 80, 320):
        truth = chance.random(number)
        scores = truth + 0.5 * chance.random(number)
        for figure in (spearman, kendall, weighted):
            found = figure([scores], truth)
            assert -1 <= found.low < found.value < found.high <= 1 and found.number == number
        widths.append(spearman([scores], truth).high - spearman([scores], truth).low)
    assert widths[0] > 1.5 * widths[1] > 1.5 * 1.5 * widths[2]


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    chance = np.random.default_rng(1)
    rho, hits, times = 0.7, 0, 150
    exact = 6 / math.pi * math.asin(rho / 2)  # Spearman's rho of two normal variables correlated by rho
    for _ in range(times):
        truth = chance.standard_normal(60)
        scores = rho * truth + math.sqrt(1 - rho * rho) * chance.standard_normal(60)
        found = spearman([scores], truth)
        hits += found.low <= exact <= found.high
    assert 0.88 <= hits / times <= 0.99


@settings(max_examples=30, deadline=None)
@given(FEW)
def test_only_ranks_count(pairs):
    scores, truth, is_varied = varied(pairs)
    if is_varied:
        for figure in (spearman, kendall, weighted):
            assert figure([np.exp(scores)], truth**3 - 5) == figure([scores], truth)


def test_what_is_not_finite_ranks_lowest_and_ties():
    found = usable([None, 1.0, math.nan, math.inf, -2.0])
    assert found.tolist() == [-math.inf, 1.0, -math.inf, -math.inf, -2.0]
    lowest = array(-9, 1, -9, -9, -2)
    for figure in (spearman, kendall, weighted):
        assert figure([found], array(3, 5, 1, 2, 4)) == figure([lowest], array(3, 5, 1, 2, 4))


@pytest.mark.parametrize("figure", [spearman, kendall, weighted])
def test_constants_are_undefined_and_said(figure):
    truth = array(1, 2, 3, 4)
    assert figure([np.ones(4)], truth) == Estimate(None, number=4, reason="all scores are equal")
    assert figure([usable([None] * 4)], truth).reason == "all scores are equal"
    assert figure([truth], np.ones(4)).reason == "all accuracies are equal"
    assert figure([truth, np.ones(4)], truth).value is None
    assert figure([truth[:2]], truth[:2]).reason == "fewer than 3 architectures"
    assert figure([], truth).value is None


def test_an_interval_that_most_resamples_do_not_have_is_left_out():
    truth, scores = array(*range(40)), np.zeros(40)
    scores[:1] = 1
    found = spearman([scores], truth)
    assert found.value is not None and found.low is not None  # two thirds hold the one that differs
    assert statistics._interval(np.array([0.5, np.nan, np.nan]), 40) == (None, None)


def test_seeds_are_averaged():
    chance = np.random.default_rng(2)
    truth = chance.random(25)
    one, other = truth + 0.2 * chance.random(25), truth + 2 * chance.random(25)
    both = spearman([one, other], truth)
    assert both.value == pytest.approx((spearman([one], truth).value + spearman([other], truth).value) / 2)
    assert spearman([other], truth).low < both.low and both.high < spearman([one], truth).high


def test_a_difference_is_paired():
    chance = np.random.default_rng(3)
    truth = chance.random(50)
    one = truth + 0.4 * chance.random(50)
    near = one + 0.01 * chance.random(50)
    found = difference([one], [near], truth)
    assert found.value == pytest.approx(spearman([one], truth).value - spearman([near], truth).value)
    own = spearman([one], truth)
    assert found.high - found.low < 0.3 * (own.high - own.low)
    same = difference([one], [one], truth)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    turned = difference([near], [one], truth)
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low))
    assert difference([one], [np.ones(50)], truth).reason == "all scores are equal"


def test_the_noise_floor_is_the_mean_over_pairs_of_seeds():
    chance = np.random.default_rng(4)
    base = chance.random(30)
    seeds = [base + 0.3 * chance.random(30) for _ in range(3)]
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = np.mean([spearmanr(seeds[i], seeds[j]).statistic for i, j in pairs])
    found = noise_floor(seeds)
    assert found.value == pytest.approx(expected) and found.low < found.value < found.high
    assert noise_floor(seeds[:1]) == Estimate(None, number=30, reason="the table of truth has one seed")
    assert noise_floor([seeds[0], np.ones(30)]).value is None


def test_tau_has_no_interval_where_pairs_are_too_many(monkeypatch):
    monkeypatch.setattr(statistics, "PAIRS", 9)
    truth = array(*range(10))
    for figure in (kendall, weighted):
        found = figure([truth], truth)
        assert (found.value, found.low) == (pytest.approx(1), None)
        assert figure([truth[:9]], truth[:9]).low is not None
        assert figure([truth[:9]], truth[:9], interval=False).low is None
    assert spearman([truth], truth).low == pytest.approx(1)


def test_there_is_no_interval_of_fewer_than_eight():
    chance = np.random.default_rng(3)
    scores, truth = chance.permutation(8).astype(float), chance.permutation(8).astype(float)
    for figure in (spearman, kendall, weighted):
        assert figure([scores], truth).low is not None and figure([scores[:7]], truth[:7]).low is None
    assert difference([scores], [-scores], truth).low is not None
    assert difference([scores[:7]], [-scores[:7]], truth[:7]).low is None
    assert noise_floor([scores[:7], truth[:7]]).low is None


def test_the_ceiling_is_what_the_mean_of_seeds_agrees_to_with_what_is_behind_them():
    assert ceiling(1, 2) == 1 and ceiling(0.5, 1) == pytest.approx(math.sqrt(0.5)) and ceiling(-0.4, 2) is None
    chance = np.random.default_rng(0)
    behind, *noise = chance.normal(size=(4, 20000))
    seeds = [behind + each for each in noise]
    floor = np.corrcoef(seeds[0], seeds[1])[0, 1]
    assert ceiling(floor, 3) == pytest.approx(np.corrcoef(behind, sum(seeds))[0, 1], abs=0.01)
