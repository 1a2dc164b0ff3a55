"""A study of searches: scores are shared, the best is trained, and whatever ends it, it goes on."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from limbeck.errors import LimbeckError
from limbeck_applications.nas.candidates import job
from limbeck_applications.nas.candidates.kept import NAME
from limbeck_applications.nas.candidates.scoring import WEIGHTS
from limbeck_applications.nas.proxies.distilled import RandomSubset
from limbeck_applications.nas.report.page import publish
from limbeck_applications.nas.searchers.budget import Budget
from limbeck_applications.nas.study import search as study
from limbeck_applications.nas.study.audience import Audience
from limbeck_applications.nas.study.kept import load_outcome, save_outcome
from limbeck_applications.nas.study.search import search
from limbeck_applications.nas.study.truth import JOBS

pytestmark = pytest.mark.usefixtures("one_thread")

FEW = {"name": "chains", "widths": [2, 4], "stages": 1, "layers": 1}
SEARCHERS = [{"name": "eas", "networks": 2, "widen": 1, "deepen": 1}, "random"]


class Stopping(Audience):
    """Ctrl-C after some trials, or after a network was trained on all the images."""

    def __init__(self, after=None):
        self.left = after

    def found(self, *what):
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

    def retrained(self, *what):
        if self.left is None:
            raise KeyboardInterrupt


def told(outcome):
    """Return what was found, but for seconds."""
    searches = []
    for each in outcome.searches:
        found = [{**asdict(one), "seconds": 0} for one in each.found]
        best = [(one.architecture, one.seed, one.test, one.validation) for one in each.retrained]
        searches.append((each.searcher, each.seed, found, each.finished, each.failed, best))
    return searches


def asked_of(folder):
    """Return what a study computed: a line a score, a file a training."""
    return [*(folder / NAME).read_text().splitlines(), *(folder / JOBS).glob("*.json")]


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory):
    """Two searchers from two seeds that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, search(settings("search", searchers=SEARCHERS, seeds=2), folder)


def test_every_searcher_searches_from_every_seed(whole):
    folder, outcome = whole
    names = [(each.searcher, each.seed) for each in outcome.searches]
    eas = "eas [networks=2, widen=1]"
    assert names == [(eas, 0), ("random", 0), (eas, 1), ("random", 1)]
    for each in outcome.searches:
        assert each.finished and not each.failed and [one.number for one in each.found] == list(range(5))
        if each.is_flat:
            assert each.best is None and each.retrained == []
            continue
        (best,) = each.retrained
        assert best.architecture == each.best.architecture.name and best.seed == each.seed and 0 < best.test <= 1
    assert not all(each.is_flat for each in outcome.searches)
    assert told(outcome)[1][2] != told(outcome)[3][2]
    assert load_outcome(folder) == outcome


def test_a_finished_study_computes_nothing_again(whole, computed):
    folder, outcome = whole
    lines = (folder / NAME).read_bytes()
    again = search(outcome.settings, folder)
    assert told(again) == told(outcome) and computed == [] and (folder / NAME).read_bytes() == lines
    assert again.searches == outcome.searches == load_outcome(folder).searches


def test_a_study_that_is_stopped_shows_what_is_found(settings, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        search(settings("search", searchers=SEARCHERS), tmp_path, audience=Stopping(7))
    first, second = load_outcome(tmp_path).searches
    assert (len(first.found), first.finished, len(second.found), second.finished) == (5, True, 2, False)


class Dying(Audience):
    """Looks into the folder before the first search, as somebody would after a kill at that time; then Ctrl-C."""

    def __init__(self, folder):
        self.folder, self.seen = folder, None

    def searches(self, *what):
        self.seen = load_outcome(self.folder)
        raise KeyboardInterrupt


def test_what_an_earlier_start_has_found_is_there_until_it_is_found_again(settings, tmp_path):
    asked = settings("search", searchers=["random"])
    (before,) = search(asked, tmp_path).searches
    told = Dying(tmp_path)
    more = settings("search", searchers=[SEARCHERS[0], "random"], retrain=2)
    with pytest.raises(KeyboardInterrupt):
        search(more, tmp_path, audience=told)
    assert told.seen.settings == more and told.seen.searches[1] == before and told.seen.searches[0].found == []
    assert load_outcome(tmp_path).searches == told.seen.searches
    with pytest.raises(KeyboardInterrupt):
        search(settings("search", searchers=["random"], training={"epochs": 2}), tmp_path, audience=told)
    (other,) = told.seen.searches
    assert other.found == before.found and other.retrained == [] and other.weights == {}
    with pytest.raises(KeyboardInterrupt):
        search(settings("search", searchers=["random"], evaluations=4), tmp_path, audience=told)
    assert told.seen.searches[0].found == []


def test_a_search_that_finds_something_else_is_another(settings, tmp_path):
    asked = settings("search", searchers=["random"], retrain=0)
    first = search(asked, tmp_path)
    (own,) = first.searches
    save_outcome(tmp_path, replace(first, searches=[replace(own, found=own.found[:4], seconds=1000.0)]))
    (again,) = search(asked, tmp_path).searches
    assert again.found == own.found and again.finished and again.seconds < 1000


@pytest.mark.parametrize("after", [1, 8, None])
def test_searches_that_are_stopped_come_to_the_same(whole, settings, tmp_path, computed, after):
    asked = settings("search", searchers=SEARCHERS, seeds=2)
    with pytest.raises(KeyboardInterrupt):
        search(asked, tmp_path, audience=Stopping(after))
    before = len(computed)
    assert told(search(asked, tmp_path)) == told(whole[1])
    assert 0 < before < len(computed) == len(asked_of(whole[0]))


@pytest.mark.parametrize("content", [None, b"nothing"])
def test_weights_that_are_lost_or_damaged_are_trained_again(whole, settings, tmp_path, computed, content):
    asked = settings("search", searchers=SEARCHERS[:1])
    first = search(asked, tmp_path)
    for path in (tmp_path / WEIGHTS).iterdir():
        path.unlink() if content is None else path.write_bytes(content)
    computed.clear()
    assert told(search(asked, tmp_path)) == told(first)
    assert computed


def test_a_cut_last_line_is_scored_again(whole, settings, tmp_path, computed):
    asked = settings("search", searchers=["random"])
    first = search(asked, tmp_path)
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:-9])
    computed.clear()
    assert told(search(asked, tmp_path)) == told(first) and len(computed) == 1


def test_a_network_that_two_searches_find_is_scored_and_trained_once(settings, tmp_path, computed):
    asked = settings("search", space=FEW, searchers=["exhaustive", "random"], evaluations=2)
    outcome = search(asked, tmp_path)
    assert [len(each.found) for each in outcome.searches] == [2, 2]
    assert len(computed) == 3 and outcome.searches[0].retrained == outcome.searches[1].retrained


def test_what_a_searcher_keeps_depends_on_all_its_options(settings, tmp_path, monkeypatch):
    made = []

    class Lab(study.KeptLab):
        def __init__(self, scorer, searcher, *rest):
            made.append(searcher)
            super().__init__(scorer, searcher, *rest)

    monkeypatch.setattr(study, "KeptLab", Lab)
    search(settings("search", searchers=["random", SEARCHERS[0]], evaluations=1, retrain=0), tmp_path)
    (name, options), (other, grown) = made
    assert options == {"most_parameters": None, "most_flops": None} and grown["lr"] == 0.01
    assert name.endswith("random") and other.endswith("eas") and name != "random"


def test_the_best_are_trained_best_first(settings, tmp_path):
    outcome = search(settings("search", retrain=3), tmp_path)
    (own,) = outcome.searches
    ranked = sorted(own.found, key=lambda each: -each.value)
    assert [each.architecture for each in own.retrained] == [each.architecture.name for each in ranked[:3]]


def test_a_budget_that_proves_too_small_in_a_search_is_told_and_leaves_the_others(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(Budget, "check", lambda *asked: None)
    searchers = [
        {"name": "eeea", "population": 2, "most_parameters": 1},
        {"name": "random", "most_parameters": 1},
        {"name": "random"},
    ]
    outcome = search(settings("search", searchers=searchers, space=FEW, evaluations=2), tmp_path)
    first, second, last = outcome.searches
    for each in (first, second):
        assert "most_parameters" in each.failed and "\n" not in each.failed and not each.finished and not each.found
    assert last.finished and len(last.found) == 2
    assert load_outcome(tmp_path) == outcome and publish(tmp_path, outcome).exists()


def test_a_candidate_that_fails_is_a_trial_and_tried_again(settings, tmp_path, monkeypatch, computed):
    score = RandomSubset.score
    asked = settings("search", searchers=["random"])
    names = []

    def failing(self, candidates, material):
        names.extend(each.architecture.name for each in candidates)
        if names[1:2] == [each.architecture.name for each in candidates]:
            raise RuntimeError("out of memory")
        return score(self, candidates, material)

    with monkeypatch.context() as patch:
        patch.setattr(RandomSubset, "score", failing)
        (own,) = search(asked, tmp_path).searches
    lost = [each for each in own.found if each.failed]
    assert [(each.architecture.name, each.value) for each in lost] == [(names[1], None)]
    assert "out of memory" in lost[0].failed and own.finished and own.best.value is not None
    computed.clear()
    (own,) = search(asked, tmp_path).searches
    assert [each.failed for each in own.found] == [""] * 5 and names[1] in computed[:1]


def test_a_search_in_which_everything_fails_trains_nothing(settings, tmp_path, monkeypatch):
    def failing(self, candidates, material):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(RandomSubset, "score", failing)
    outcome = search(settings("search", searchers=["random"]), tmp_path)
    (own,) = outcome.searches
    assert own.best is None and own.retrained == [] and not own.finished
    assert own.failed == "RuntimeError: out of memory. LIMBECK_STRICT=1 shows where."
    assert publish(tmp_path, outcome).exists()


def test_a_best_network_that_cannot_be_trained_leaves_the_others_and_is_tried_again(settings, tmp_path, monkeypatch):
    trained, asked = job.trained, settings("search", searchers=["exhaustive", "random"], space=FEW, retrain=2)
    lost, heard = [], []

    class Told(Audience):
        def failed(self, what, reason):
            heard.append(f"{what}: {reason}")

    def failing(network, *given, **named):
        lost[1:] = [*lost[1:], network.name]
        if network.name == lost[1]:
            raise RuntimeError("out of\nmemory")
        return trained(network, *given, **named)

    lost.append("")
    with monkeypatch.context() as patch:
        patch.setattr(job, "trained", failing)
        outcome = search(asked, tmp_path, audience=Told())
    first = outcome.searches[0].best.architecture.name
    assert lost[1] == first and [each.finished for each in outcome.searches] == [True, True]
    assert [[each.architecture for each in one.retrained] for one in outcome.searches] == [[lost[2]], [lost[2]]]
    assert [each.reached for each in outcome.searches] == [None, None]
    assert len(heard) == 2 and first in heard[0] and "RuntimeError: out of memory" in heard[0]
    assert len(list((tmp_path / JOBS).glob("*.json"))) == 1 and publish(tmp_path, outcome).exists()
    again = search(asked, tmp_path)
    assert [each.retrained[0].architecture for each in again.searches] == [first, first]
    assert again.searches[0].reached == again.searches[0].retrained[0].test


REFUSED = [
    ({"searchers": ["randum"]}, "random"),
    ({"searchers": ["random", "random"]}, "random was asked for twice: give each --searcher once"),
    ({"searchers": ["eas"], "space": "convnet72"}, "--space chains"),
    ({"searchers": ["eas"], "proxy": "parameters"}, "--proxy distilled"),
    ({"searchers": ["exhaustive"], "space": "cells"}, "too many to go through"),
    ({"searchers": ["exhaustive"], "space": FEW, "evaluations": 1}, "give --evaluations 2"),
    ({"searchers": ["random", "tas"], "evaluations": 4}, "give --evaluations 5 or more"),
    ({"searchers": [{"name": "tas", "flops": 0.001}]}, "no network of chains has 0.001 of the largest one's FLOPs"),
    ({"searchers": ["random", {"name": "random", "most_flops": 9}], "space": FEW}, "raise most_flops"),
    ({"searchers": [{"name": "eeea", "most_parameters": 9}], "space": FEW}, "raise most_parameters"),
    ({"searchers": ["tas"], "space": {"name": "chains", "stages": 4}}, "does not fit images of 1x8x8"),
    ({"space": {"name": "chains", "stages": 4}}, "none of 200 architectures drawn from chains fits; the last one: "),
    ({"proxy": "parametres"}, "parameters"),
    ({"proxy": {"name": "distilled", "method": "dmm"}}, "unknown method 'dmm'"),
    ({"validation": 2000}, "ask for fewer with --validation or --images"),
]


@pytest.mark.parametrize(("changes", "said"), REFUSED, ids=[said[:30] for _, said in REFUSED])
def test_what_cannot_be_done_is_refused_before_anything_is_written(settings, tmp_path, computed, changes, said):
    with pytest.raises(LimbeckError) as refused:
        search(settings("search", **changes), tmp_path / "study")
    assert said in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "study").exists() and computed == []
