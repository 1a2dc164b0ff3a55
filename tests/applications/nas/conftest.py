"""Outcomes of studies, made by hand: what tables and pages show must follow from them alone."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from limbeck.plugins import registry
from limbeck_applications.nas.cost import Cost
from limbeck_applications.nas.study.asked import RankSettings, SearchSettings, TruthSettings
from limbeck_applications.nas.study.rows import (
    Found,
    Made,
    Ranking,
    RankOutcome,
    Scored,
    Searched,
    SearchOutcome,
    TruthOutcome,
)
from limbeck_applications.nas.truth import Measured, Truth


@pytest.fixture(scope="session")
def space():
    return registry().create("nas_spaces", "convnet72")


@pytest.fixture(scope="session")
def architectures(space):
    return list(space.all())


@pytest.fixture(scope="session")
def worth(architectures):
    """Accuracies of full training: ReLU far above sigmoid, and every architecture different."""
    return {
        each.name: 0.1 + 0.6 * (each.traits["activation"] == "relu") + 0.002 * place
        for place, each in enumerate(architectures)
    }


@pytest.fixture(scope="session")
def costs(architectures):
    return {
        each.name: Cost(1000 * int(each.traits["width"]) * int(each.traits["depth"]), 7 * place + 1, "s")
        for place, each in enumerate(architectures)
    }


@pytest.fixture(scope="session")
def rank_outcome(architectures, worth, costs):
    """A perfect proxy, one silent on sigmoid, parameters, one of two opposite seeds, and a broken one."""

    def ranking(proxy, seed, score, seconds=1.0, made=None):
        return Ranking(proxy, seed, made or Made(), {each.name: score(each, seconds) for each in architectures})

    def silent(each, seconds):
        if each.traits["activation"] == "sigmoid":
            return Scored(None, seconds, {}, "it has no ReLU")
        return Scored(worth[each.name], seconds)

    truth = Truth(
        tuple(
            Measured(each.name, seed, worth[each.name] + 0.01 * (math.sin(99 * place + seed)))
            for seed in (0, 1)
            for place, each in enumerate(architectures)
        ),
        {"command": "limbeck nas truth --space convnet72"},
    )
    rankings = [
        ranking("distilled [dm]", 0, lambda each, s: Scored(worth[each.name], s), made=Made(28.0, 100, 31400)),
        ranking("nwot", 0, silent),
        ranking("parameters", 0, lambda each, s: Scored(float(costs[each.name].parameters), s), 0.001),
        ranking("random", 0, lambda each, s: Scored(worth[each.name], s)),
        ranking("random", 1, lambda each, s: Scored(-worth[each.name], s), 3.0),
        Ranking("snip", 0, None, {}, "a batch of one image: give batch=2 or more."),
    ]
    names = ["distilled", "nwot", "parameters", "random", "snip"]
    settings = RankSettings.model_validate({"proxies": names, "seeds": 2, "images": 500})
    return RankOutcome(settings, architectures, costs, rankings, truth, "truth.csv", "limbeck nas rank --out <x>")


@pytest.fixture(scope="session")
def search_outcome(architectures, costs):
    """Two searchers of two seeds: a trial without a score, a broken search, an architecture that was retrained."""

    def found(number, place, value):
        cost = costs[architectures[place].name]
        failed = "" if value is not None else "diverged"
        return Found(number, architectures[place], value, cost.parameters, cost.flops, 2.0, {"generation": 0}, failed)

    searches = [
        Searched("random", 0, [found(0, 3, 0.5), found(1, 9, 0.25), found(2, 70, 0.75)], 6.0, True),
        Searched("eeea [population=4]", 0, [found(0, 3, 0.5), found(1, 60, None), found(2, 0, 0.875)], 6.0, True),
        Searched("random", 1, [found(0, 9, 0.25), found(1, 3, 0.5)], 4.0),
        Searched("eeea [population=4]", 1, [], 0.0, False, "the budget cannot be met."),
    ]
    best = Measured(architectures[0].name, 0, 0.91, 0.9, 12.0)
    searches[1] = replace(searches[1], retrained=[best])
    settings = SearchSettings.model_validate(
        {"searchers": ["random", {"name": "eeea", "population": 4}], "evaluations": 3, "seeds": 2}
    )
    return SearchOutcome(settings, "distilled [dm]", Made(28.0, 100, 31400), searches, None, "", "limbeck nas search")


@pytest.fixture(scope="session")
def truth_outcome(rank_outcome):
    """All 72 trained from two seeds, the training of one a second and from seed 1 two."""
    rows = tuple(replace(row, validation=row.test - 0.02, seconds=1.0 + row.seed) for row in rank_outcome.truth.rows)
    settings = TruthSettings.model_validate({"images": 500, "validation": 200})
    notes = {"command": "limbeck nas truth --out <x>", "images": "500", "test": "355"}
    own = Truth(rows, notes)
    return TruthOutcome(
        settings, rank_outcome.architectures, rank_outcome.costs, own, "truth.csv", notes["command"], 500
    )
