"""Searches in full, by lot and by evolution: what they ask for, on a small space with a made-up score."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import optuna
import pytest
import torch

from limbeck.errors import UsageError
from limbeck.plugins import registry
from limbeck.seeding import generator
from limbeck_applications.nas.searcher import Plan, Trial
from limbeck_applications.nas.searchers.draws import Draws
from limbeck_applications.nas.searchers.eeea import Eeea
from limbeck_applications.nas.searchers.pareto import OBJECTIVES, dominates, point_of
from limbeck_applications.nas.testing.cases import SPACE, tiny_problem, tiny_space

LARGER = {"name": "chains", "widths": [2, 4, 6], "norms": ["none", "batch"], "stages": 2, "layers": 2}
"""288 networks."""

KNOWN: dict[str, object] = {}
"""Costs, which are the same in all tests."""


class Lab:
    """A lab that makes up a score in place of computing one: the nearer to a genome the better."""

    def __init__(self, evaluations, *, space=LARGER, seed=0, fails=(), spec=None):
        self.space, self.evaluations, self.seed, self.fails = tiny_space(space), evaluations, seed, fails
        self.spec = spec or tiny_problem().spec
        self.problem = SimpleNamespace(spec=self.spec)
        self.trials, self.calls, self.by = [], [], {}

    @property
    def remaining(self):
        return self.evaluations - len(self.trials)

    def generator(self, *owner):
        return generator(self.seed, *owner)

    def sample(self, chance):
        return self.space.sample(chance, self.spec)

    def cost(self, architecture):
        key = f"{self.spec.shape}{architecture.name}"
        if key not in KNOWN:
            KNOWN[key] = self.space.cost(architecture, self.spec)
        return KNOWN[key]

    def score(self, architectures, **notes):
        new = list({each.genome: each for each in architectures if each.genome not in self.by}.values())
        assert len(new) <= self.remaining
        self.calls.append([each.name for each in new])
        for each in new:
            number = len(self.trials)
            failed = "diverged" if number in self.fails else ""
            value = -math.inf if failed else float(-sum((own - 1) ** 2 for own in each.genome))
            trial = Trial(number, each, value, self.cost(each), 0.0, notes, failed=failed)
            self.trials.append(trial)
            self.by[each.genome] = trial
        return [self.by[each.genome] for each in architectures]


def checked(lab, name="eeea", **options):
    searcher = registry().create("nas_searchers", {"name": name, **options})
    searcher.check(Plan(lab.space, lab.problem, registry().create("nas_proxies", "parameters"), lab.evaluations))
    return searcher


def search(lab, name="eeea", **options):
    checked(lab, name, **options).search(lab)
    return lab


def names(lab):
    return [trial.architecture.name for trial in lab.trials]


def test_exhaustive_scores_every_architecture_once_in_one_call():
    lab = search(Lab(12, space=SPACE), "exhaustive")
    assert names(lab) == [each.name for each in lab.space.all()]
    assert len(lab.calls) == 1 and lab.remaining == 0


def test_exhaustive_says_that_there_are_more_than_may_be_scored_before_anything_is_computed():
    lab = Lab(11, space=SPACE)
    with pytest.raises(UsageError, match=r"which has 12, but only 11 may be scored: give --evaluations 12, or") as said:
        checked(lab, "exhaustive")
    assert "\n" not in str(said.value)
    with pytest.raises(UsageError, match="which has 12, but only 11 may be scored"):
        registry().create("nas_searchers", "exhaustive").search(lab)
    assert lab.calls == []


def test_exhaustive_refuses_a_space_that_is_too_large_before_anything_is_computed():
    lab = Lab(10, space={"name": "chains"})
    with pytest.raises(UsageError, match="too many to go through"):
        search(lab, "exhaustive")
    assert lab.calls == []


@pytest.mark.parametrize("name", ["exhaustive", "random", "eeea"])
def test_what_does_not_fit_the_images_is_left_out(name):
    """Networks of three and more poolings do not fit images of six pixels."""
    spec = replace(tiny_problem().spec, shape=(1, 6, 6))
    lab = search(Lab(48, space={"name": "convnet72"}, spec=spec), name)
    assert {trial.architecture.traits["depth"] for trial in lab.trials} == {"1", "2"}
    assert len(set(names(lab))) == 48


@pytest.mark.parametrize("name", ["exhaustive", "random", "eeea"])
def test_nothing_that_fits_is_said_in_one_line(name):
    spec = replace(tiny_problem().spec, shape=(1, 1, 1))
    with pytest.raises(UsageError, match=r"does not fit images of 1x1x1") as refused:
        search(Lab(5, space=SPACE, spec=spec), name)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["random", "eeea"])
def test_no_evaluation_is_spent_twice_and_a_small_space_is_exhausted(name):
    lab = search(Lab(20, space=SPACE), name)
    assert sorted(names(lab)) == sorted(each.name for each in lab.space.all())


@pytest.mark.parametrize("name", ["random", "eeea"])
def test_the_seed_decides(name):
    one, again, other = (search(Lab(20, seed=seed), name) for seed in (3, 3, 4))
    assert one.calls == again.calls
    assert names(one) != names(other)


def test_random_asks_once_so_that_equal_structures_can_be_trained_together():
    lab = search(Lab(15), "random")
    assert [len(call) for call in lab.calls] == [15]


def test_a_generation_is_one_call_and_the_last_one_takes_what_remains():
    lab = search(Lab(28), population=10)
    assert [len(call) for call in lab.calls] == [10, 10, 8]
    assert [trial.notes["generation"] for trial in lab.trials] == [0] * 10 + [1] * 10 + [2] * 8


def test_a_generation_is_filled_up_where_individuals_come_to_nothing():
    lab = search(Lab(23, fails=(1, 2, 12)), population=10)
    assert [len(call) for call in lab.calls] == [10, 2, 10, 1]
    assert [trial.notes["generation"] for trial in lab.trials] == [0] * 12 + [1] * 11


def test_a_search_in_which_everything_fails_ends():
    lab = search(Lab(12, fails=range(12)), population=4)
    assert lab.remaining == 0


def test_the_second_generation_is_bred_from_the_first():
    """Without mutation and with crossover, each gene of a child is a gene of a parent at the same place."""
    lab = search(Lab(12), population=6, mutation=0.0)
    pools = [set(column) for column in zip(*(trial.architecture.genome for trial in lab.trials[:6]), strict=True)]
    children = [trial.architecture.genome for trial in lab.trials[6:]]
    inside = [all(own in pool for own, pool in zip(child, pools, strict=True)) for child in children]
    assert sum(inside) >= 5  # one that was known already may have been mutated until it was new


def test_evolution_is_led_by_the_score():
    """Bred individuals are on average better than those of the first population, and one of them is the best."""
    evolved = [search(Lab(60, seed=seed), population=10, objectives=("score",)) for seed in range(3)]
    for lab in evolved:
        first, last = lab.trials[:10], lab.trials[-20:]
        assert sum(t.value for t in last) / 20 > sum(t.value for t in first) / 10
        assert max(lab.trials, key=lambda trial: trial.value).notes["generation"] > 0


def test_parents_are_never_worse_in_everything_than_something_that_was_scored(monkeypatch):
    """What a generation is bred from holds no point that a lost one dominates, at every generation of a search."""
    from limbeck_applications.nas.searchers import eeea

    chosen, plain = [], eeea.survivors
    monkeypatch.setattr(eeea, "survivors", lambda pts, n: chosen.append((list(pts), plain(pts, n))) or chosen[-1][1])
    lab = search(Lab(50), population=6)
    assert len(chosen) == 8
    for number, (points, places) in enumerate(chosen, 1):
        assert points == [point_of(trial, OBJECTIVES) for trial in lab.trials[: 6 * number]]
        kept = [points[place] for place in places]
        assert not any(dominates(own, parent) for own in points for parent in kept if own not in kept)


@pytest.mark.parametrize(
    "budget", [{"most_parameters": 500}, {"most_flops": 12000}, {"most_parameters": 600, "most_flops": 12000}]
)
def test_the_whole_first_population_obeys_the_budget(budget):
    lab = search(Lab(8), population=8, **budget)
    costs = [trial.cost for trial in lab.trials]
    assert all(cost.parameters <= budget.get("most_parameters", math.inf) for cost in costs)
    assert all(cost.flops <= budget.get("most_flops", math.inf) for cost in costs)
    free = search(Lab(8), population=8)
    assert any(
        t.cost.parameters > budget.get("most_parameters", math.inf) or t.cost.flops > budget.get("most_flops", math.inf)
        for t in free.trials
    )


def test_children_obey_the_budget_only_where_that_is_asked_for():
    free = search(Lab(40), population=6, objectives=("score",), most_parameters=500)
    bound = search(Lab(40), population=6, objectives=("score",), most_parameters=500, always=True)
    assert max(trial.cost.parameters for trial in free.trials) > 500
    assert max(trial.cost.parameters for trial in bound.trials) <= 500


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("name", ["random", "eeea"])
def test_a_budget_that_no_architecture_meets_names_the_smallest(name, early):
    """The check knows it, and so does a search that nobody checked."""
    lab = Lab(10, space=SPACE)
    least = min(lab.cost(each).parameters for each in lab.space.all())
    with pytest.raises(UsageError) as refused:
        if early:
            checked(lab, name, most_parameters=least - 1)
        else:
            registry().create("nas_searchers", {"name": name, "most_parameters": least - 1}).search(lab)
    assert str(refused.value) == (
        f"no architecture drawn from chains has at most {least - 1:,} parameters; the smallest refused has {least:,} "
        "parameters: raise most_parameters."
    )
    assert lab.calls == []
    checked(Lab(1, space=SPACE), name, most_parameters=least)


def test_a_budget_that_too_few_individuals_meet_is_refused_at_once():
    lab = Lab(12, space=SPACE)
    few = sorted(lab.cost(each).parameters for each in lab.space.all())[2]
    with pytest.raises(UsageError, match=r"only 3 of the 10 architectures of a population were found in chains with"):
        checked(lab, most_parameters=few)
    checked(lab, most_parameters=few, population=3)
    checked(Lab(3, space=SPACE), most_parameters=few)


def test_a_large_space_is_left_to_the_search_whose_draws_may_find_what_others_do_not(monkeypatch):
    lab = Lab(2, space=SPACE)
    with pytest.raises(UsageError, match="no architecture drawn from chains has at most 1 FLOPs; the smallest "):
        checked(lab, "random", most_flops=1)
    monkeypatch.setattr("limbeck_applications.nas.searchers.budget.SMALL", lab.space.size - 1)
    checked(lab, "random", most_flops=1)
    with pytest.raises(UsageError, match="no architecture drawn from chains has at most 1 FLOPs; the smallest "):
        registry().create("nas_searchers", {"name": "random", "most_flops": 1}).search(lab)
    assert lab.calls == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"population": 1}, "population"),
        ({"objectives": ["parameters"]}, "score must be among the objectives"),
        ({"objectives": ["score", "score"]}, "each objective once"),
        ({"objectives": ["score", "speed"]}, "objectives"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        registry().create("nas_searchers", {"name": "eeea", **options})


def test_optuna_is_left_as_talkative_as_it_was():
    before = optuna.logging.get_verbosity()
    search(Lab(4), population=2)
    assert optuna.logging.get_verbosity() == before


def test_a_mutated_architecture_is_new_and_the_known_one_is_not_handed_out_again():
    lab = Lab(10, space=SPACE)
    draws, chance = Draws(lab), torch.Generator().manual_seed(0)
    first = draws.new(chance)
    assert not draws.take(first)
    found = [draws.near(first, chance) for _ in range(11)]
    assert len({each.genome for each in [first, *found]}) == 12
    assert draws.near(first, chance) is None and draws.new(chance) is None


def test_defaults_are_the_published_algorithm_at_a_small_size():
    options = Eeea.Options()
    assert (options.population, options.objectives, options.always) == (10, OBJECTIVES, False)
