"""Where searchers work: what is counted, what is free, and what the same search gets the next time."""

from __future__ import annotations

import time

import pytest
import torch

from limbeck.errors import UsageError
from limbeck_applications.nas.candidates.lab import SECONDS
from limbeck_applications.nas.proxies.distilled import RandomSubset
from limbeck_applications.nas.searcher import Child


@pytest.fixture
def find(images):
    return images().space.find


def test_evaluations_are_counted_and_what_is_known_is_free(lab, find):
    told = []
    one = lab(3, told=told.append)
    first, second = one.score([find("2_nonorm"), find("4_nonorm")], generation=0)
    assert one.remaining == 1 and [each.number for each in one.trials] == [0, 1]
    again = one.score([find("4_nonorm"), find("2_nonorm"), find("2-2_nonorm"), find("2_nonorm")], generation=1)
    assert again[:2] == [second, first] and again[3] is first and one.remaining == 0
    assert [each.notes for each in one.trials] == [{"generation": 0}, {"generation": 0}, {"generation": 1}]
    assert told == one.trials and sum(len(job.config["candidates"]) for job in one.scorer.jobs) == 3
    assert one.score([find("2_nonorm")]) == [first] and one.remaining == 0


def test_what_another_search_scored_counts_but_is_not_computed(lab, find):
    one = lab(2)
    one.score([find("2_nonorm")])
    other = lab(2, seed=1)
    assert [each.value for each in other.score([find("2_nonorm")])] == [one.trials[0].value]
    assert other.remaining == 1 and other.scorer.jobs == []


def test_more_than_remain_are_refused_and_nothing_is_spent(lab, find):
    one = lab(2)
    one.score([find("2_nonorm")])
    state = one.state(one.trials[0])
    with pytest.raises(UsageError, match="asked for 2 new architectures, but 1 of 2 evaluations remain"):
        one.score([find("4_nonorm"), find("2_nonorm"), find("2-2_nonorm")])
    with pytest.raises(UsageError, match="asked for 2 new architectures, but 1 of 2 evaluations remain"):
        one.grow([Child(find("2_nonorm"), state), Child(find("2_nonorm"), state)])
    assert one.remaining == 1 and len(one.scorer.jobs) == 1


def test_every_child_is_counted(lab, find):
    one = lab(4)
    (parent,) = one.score([find("2_nonorm")])
    state = one.state(parent)
    grown = one.grow([Child(find("2_nonorm"), state, {"parent": 0}), Child(find("2_nonorm"), state, {"parent": 1})])
    assert one.remaining == 1 and [each.number for each in grown] == [1, 2]
    assert [each.notes for each in grown] == [{"parent": 0}, {"parent": 1}]
    assert grown[0].key != parent.key and grown[0].value == grown[1].value
    assert any(not torch.equal(one.state(grown[0])[name], value) for name, value in state.items())
    assert one.score([find("2_nonorm")]) == [parent] and one.remaining == 1
    with pytest.raises(UsageError, match="'parameters' trains no networks"):
        lab(proxy={"name": "parameters"}).grow([Child(find("2_nonorm"), state)])


def test_the_same_requests_are_the_same_answers_from_disk(lab, find, tmp_path):
    def search(one):
        (parent,) = one.score([find("2_nonorm")])
        one.grow([Child(find("2_nonorm"), one.state(parent))])
        return one

    first, again, elsewhere = search(lab()), search(lab()), search(lab(folder=tmp_path / "elsewhere"))
    assert again.trials == first.trials and again.scorer.jobs == [] and len(first.scorer.jobs) == 2
    assert [each.value for each in elsewhere.trials] == [each.value for each in first.trials]
    assert again.cost(find("4_nonorm")) == first.cost(find("4_nonorm"))


def test_a_failure_is_a_trial_that_counts_and_has_no_weights(lab, find, monkeypatch):
    def failing(self, candidates, material):
        raise UsageError("it cannot be.")

    one = lab(2)
    with monkeypatch.context() as patch:
        patch.setattr(RandomSubset, "score", failing)
        (trial,) = one.score([find("2_nonorm")])
    assert (trial.value, trial.failed, trial.key) == (float("-inf"), "it cannot be.", "") and one.remaining == 1
    with pytest.raises(UsageError, match=r"'2_nonorm' has no trained weights: it cannot be\."):
        one.state(trial)
    assert one.score([find("2_nonorm")]) == [trial]
    (again,) = lab(2).score([find("2_nonorm")])
    assert again.value > 0 and not again.failed


def test_trials_are_numbered_as_they_were_asked_for(lab, find):
    told = []
    one = lab(told=told.append)

    def backwards(jobs, report):
        for place in reversed(range(len(jobs))):
            report(place, jobs[place].run())

    one.scorer.executor.execute = backwards
    names = ["2_nonorm", "4_nonorm", "2-2_nonorm"]
    found = one.score([find(name) for name in names])
    assert [each.architecture.name for each in found] == names
    assert told == found == one.trials and [each.number for each in found] == [0, 1, 2]


def test_what_a_searcher_keeps_is_its_own(lab):
    state = {"weight": torch.arange(4.0), "step": torch.tensor(3)}
    lab().keep("net", state)
    found = lab().kept("net")
    assert found.keys() == state.keys() and all(torch.equal(found[name], state[name]) for name in state)
    others = [lab(seed=1), lab(5), lab(searcher="own [lr=1]"), lab(proxy={"name": "parameters"})]
    assert [each.kept("net") for each in others] == [None] * 4 and lab().kept("other") is None
    path = next(lab().scorer.folder.glob("searchers/*"))
    path.write_bytes(path.read_bytes()[:20])
    assert lab().kept("net") is None


def test_a_searchers_own_seconds_go_on_where_they_were_kept(lab, find, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    one = lab()
    now[0] += 7
    assert one.own_seconds == 7
    one.scorer.score = lambda asked, told: now.__setitem__(0, now[0] + 50)
    one._score([], [])
    assert one.own_seconds == 7
    one.keep("net", {})
    now[0] += 1000
    again = lab()
    assert again.own_seconds == 0
    assert SECONDS not in again.kept("net")
    now[0] += 2
    assert again.own_seconds == 9
    assert again.kept("net") == {} and again.own_seconds == 9


def test_draws_belong_to_the_search_and_its_owner(lab):
    def drawn(one, *owner):
        return torch.rand(3, generator=one.generator(*owner)).tolist()

    assert drawn(lab(), "a") == drawn(lab(), "a")
    assert len({tuple(each) for each in (drawn(lab(), "a"), drawn(lab(), "b"), drawn(lab(seed=1), "a"))}) == 3


def test_long_work_is_told(lab):
    told = []
    lab(works=lambda *what: told.append(what)).tell(2, 5, "supernet")
    lab().tell(1, 5, "to nobody")
    assert told == [(2, 5, "supernet")]
