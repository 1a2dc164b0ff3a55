"""A ranking: scored once, continued to the same outcome after anything, and refused in one line where it cannot be."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from limbeck.errors import LimbeckError, UsageError
from limbeck.testing.randomness import moved_generators
from limbeck_applications.nas.candidates.kept import NAME
from limbeck_applications.nas.proxies.distilled import RandomSubset
from limbeck_applications.nas.report.page import publish
from limbeck_applications.nas.study import rank as module
from limbeck_applications.nas.study.audience import Audience
from limbeck_applications.nas.study.kept import load_outcome, save_outcome
from limbeck_applications.nas.study.rank import rank
from limbeck_applications.nas.study.rows import RankOutcome
from limbeck_applications.nas.truth import Measured, Truth, write_truth

pytestmark = pytest.mark.usefixtures("one_thread")

UNDEFINED = re.compile(r"\b(nan|inf|infinity|-inf)\b", re.IGNORECASE)


class Stopping(Audience):
    """Ctrl-C after some scores."""

    def __init__(self, after):
        self.left = after

    def scored(self, *what):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


class Told(Audience):
    """What went wrong."""

    def __init__(self):
        self.reasons = []

    def failed(self, what, reason):
        self.reasons.append((what, reason))


def values(outcome):
    return {
        (each.proxy, each.seed): {name: (scored.value, scored.figures) for name, scored in each.scores.items()}
        for each in outcome.rankings
    }


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory):
    """A ranking by two proxies from two seeds that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, rank(settings("rank", seeds=2), folder)


def test_every_proxy_scores_every_architecture_from_every_seed(whole):
    folder, outcome = whole
    names = [each.name for each in outcome.architectures]
    assert len(names) == 5 and list(outcome.costs) == names
    assert [(each.proxy, each.seed) for each in outcome.rankings] == [
        ("random [epochs=1, ipc=1]", 0), ("parameters", 0), ("random [epochs=1, ipc=1]", 1), ("parameters", 1)
    ]  # fmt: skip
    assert all(list(each.scores) == names for each in outcome.rankings)
    one, counts, two, again = values(outcome).values()
    assert one != two and counts == again
    assert {name: scored[0] for name, scored in counts.items()} == {
        name: cost.parameters for name, cost in outcome.costs.items()
    }
    assert load_outcome(folder) == outcome


def test_a_finished_ranking_computes_nothing_again(whole, computed):
    folder, outcome = whole
    lines = (folder / NAME).read_bytes()
    again = rank(outcome.settings, folder)
    assert [each.scores for each in again.rankings] == [each.scores for each in outcome.rankings]
    assert computed == [] and (folder / NAME).read_bytes() == lines


@pytest.mark.parametrize("after", [1, 7, 20])
def test_a_ranking_that_is_stopped_comes_to_the_same(whole, settings, tmp_path, computed, after):
    with pytest.raises(KeyboardInterrupt):
        rank(settings("rank", seeds=2), tmp_path, audience=Stopping(after))
    assert len(computed) == after
    assert values(rank(settings("rank", seeds=2), tmp_path)) == values(whole[1])
    assert len(computed) == 20


@pytest.mark.parametrize("after", [1, 7])
def test_a_ranking_that_is_stopped_shows_what_is_scored(settings, tmp_path, after):
    with pytest.raises(KeyboardInterrupt):
        rank(settings("rank"), tmp_path, audience=Stopping(after))
    assert sum(len(each.scores) for each in load_outcome(tmp_path).rankings) == after


class Dying(Audience):
    """Looks into the folder while a proxy is made, as somebody would after a kill at that time; then Ctrl-C."""

    def __init__(self, folder, number=1):
        self.folder, self.left, self.seen = folder, number, None

    def prepares(self, proxy, seed):
        self.left -= 1
        if self.left == 0:
            self.seen = load_outcome(self.folder)
            raise KeyboardInterrupt


def test_what_an_earlier_start_has_scored_is_there_until_it_is_scored_again(whole, settings, tmp_path):
    rank(settings("rank", sample=3), tmp_path)
    told = Dying(tmp_path)
    asked = settings("rank", proxies=["flops", *settings("rank").proxies])
    with pytest.raises(KeyboardInterrupt):
        rank(asked, tmp_path, audience=told)
    new, *kept = told.seen.rankings
    assert new.scores == {} and told.seen.settings == asked and load_outcome(tmp_path) == told.seen
    for its, own in zip(kept, whole[1].rankings, strict=False):
        assert len(its.scores) == 3 and its.made is not None
        assert all(each.value == own.scores[name].value for name, each in its.scores.items())


def test_a_proxy_that_is_finished_is_there_while_the_next_is_made(settings, tmp_path):
    told = Dying(tmp_path, 2)
    with pytest.raises(KeyboardInterrupt):
        rank(settings("rank"), tmp_path, audience=told)
    assert [len(each.scores) for each in told.seen.rankings] == [5, 0]


@pytest.mark.parametrize("changes", [{"images": 80}, {"validation": 30}, {"network": "convnet-d1-w8-in"}])
def test_scores_of_another_problem_are_not_shown(settings, tmp_path, changes):
    rank(settings("rank", proxies=["parameters"]), tmp_path)
    told = Dying(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        rank(settings("rank", proxies=["parameters"], **changes), tmp_path, audience=told)
    assert [each.scores for each in told.seen.rankings] == [{}]


def test_a_cut_last_line_is_lost_alone(whole, settings, tmp_path, computed):
    rank(settings("rank", seeds=2), tmp_path)
    computed.clear()
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:-9])
    assert values(rank(settings("rank", seeds=2), tmp_path)) == values(whole[1])
    assert computed == [whole[1].architectures[-1].name]


def test_more_seeds_proxies_and_architectures_leave_what_is_there(whole, settings, tmp_path, computed):
    rank(settings("rank", sample=3, proxies=["parameters"]), tmp_path)
    rank(settings("rank", sample=3), tmp_path)
    assert len(computed) == 6
    assert values(rank(settings("rank", seeds=2), tmp_path)) == values(whole[1])
    assert len(computed) == 20


def test_test_images_change_nothing(whole, settings, tmp_path, monkeypatch):
    images_of = module.images_of

    def other(*asked, **given):
        images = images_of(*asked, **given)
        return replace(images, test=images.problem.train)

    monkeypatch.setattr(module, "images_of", other)
    assert values(rank(settings("rank", seeds=2), tmp_path)) == values(whole[1])


def test_a_candidate_that_fails_is_listed_and_tried_again(whole, settings, tmp_path, monkeypatch, computed):
    broken, score = whole[1].architectures[2].name, RandomSubset.score

    def failing(self, candidates, material):
        if any(each.architecture.name == broken for each in candidates):
            raise RuntimeError("out of memory")
        return score(self, candidates, material)

    with monkeypatch.context() as patch:
        patch.setattr(RandomSubset, "score", failing)
        outcome = rank(settings("rank", seeds=2), tmp_path)
    lost = [each.scores[broken] for each in outcome.rankings if each.proxy.startswith("random")]
    assert [(each.value, each.failed) for each in lost] == [
        (None, "RuntimeError: out of memory. LIMBECK_STRICT=1 shows where.")
    ] * 2
    assert sum(bool(s.failed) for each in outcome.rankings for s in each.scores.values()) == 2
    assert load_outcome(tmp_path) == outcome and publish(tmp_path, outcome).exists()
    computed.clear()
    assert values(rank(settings("rank", seeds=2), tmp_path)) == values(whole[1])
    assert computed == [broken] * 2


def test_a_proxy_that_cannot_be_had_leaves_the_others(whole, settings, tmp_path):
    told = Told()
    asked = settings("rank", proxies=[{"name": "distilled", "method": "mtt"}, "parameters"])
    outcome = rank(asked, tmp_path, audience=told)
    lost, counts = outcome.rankings
    assert lost.made is None and lost.scores == {} and "limbeck experts train" in lost.failed
    assert told.reasons == [("distilled [mtt], seed 0", lost.failed)] and len(counts.scores) == 5
    assert load_outcome(tmp_path) == outcome and publish(tmp_path, outcome).exists()


def test_a_proxy_that_breaks_on_everything_comes_to_nothing(settings, tmp_path, monkeypatch):
    def broken(self, candidates, material):
        raise AttributeError("no such thing")

    monkeypatch.setattr(RandomSubset, "score", broken)
    told = Told()
    outcome = rank(settings("rank"), tmp_path, audience=told)
    reason = "AttributeError: no such thing. LIMBECK_STRICT=1 shows where."
    assert [each.failed for each in outcome.rankings] == [reason, ""]
    assert told.reasons == [("random [epochs=1, ipc=1], seed 0", reason)]
    assert load_outcome(tmp_path) == outcome


def test_a_proxy_that_breaks_on_some_keeps_the_others_and_is_told_once(settings, tmp_path, monkeypatch):
    score, told = RandomSubset.score, Told()

    def broken(self, candidates, material):
        if any(each.architecture.traits["activation"] == "sigmoid" for each in candidates):
            raise AttributeError("no such thing")
        return score(self, candidates, material)

    monkeypatch.setattr(RandomSubset, "score", broken)
    outcome = rank(settings("rank", sample=8), tmp_path, audience=told)
    lost = [each for each in outcome.rankings[0].scores.values() if each.broken]
    assert 0 < len(lost) < 8 and outcome.rankings[0].failed == ""
    assert [what for what, _ in told.reasons] == [f"random [epochs=1, ipc=1], seed 0: {len(lost)} of 8 architectures"]


def test_what_a_proxy_cannot_look_at_has_a_reason(settings, tmp_path):
    told = Told()
    outcome = rank(settings("rank", proxies=["nwot"], sample=8), tmp_path, audience=told)
    (ranking,) = outcome.rankings
    assert told.reasons == [] and not any(each.broken for each in ranking.scores.values())
    for each in outcome.architectures:
        assert bool(ranking.scores[each.name].failed) == (each.traits["activation"] == "sigmoid")
    assert len({each.traits["activation"] for each in outcome.architectures}) == 2


def test_global_generators_stay_as_they_were(settings, tmp_path):
    with moved_generators() as moved:
        rank(settings("rank", proxies=["random", "synflow"], sample=2), tmp_path)
    assert moved == []


def table(folder, names, accuracy=lambda place: 0.1):
    path = folder / "truth.csv"
    rows = [Measured(name, seed, accuracy(place)) for place, name in enumerate(names) for seed in (0, 1)]
    write_truth(path, Truth(tuple(rows)))
    return path


def test_of_constant_accuracies_a_correlation_is_undefined_and_said(whole, settings, tmp_path):
    path = table(tmp_path, [each.name for each in whole[1].architectures])
    folder = tmp_path / "study"
    page = publish(folder, rank(settings("rank", truth=str(path)), folder))
    for written in ("table.csv", "groups.csv", "scores.csv", "study.json", NAME):
        assert UNDEFINED.search((folder / written).read_text()) is None, written
    text = re.sub(r"<(script|style).*?</\1>", "", page.read_text(), flags=re.DOTALL)
    assert UNDEFINED.search(re.sub(r"<[^>]*>", " ", text)) is None and "undefined" in text.lower()
    reasons = {line.rpartition(",")[2] for line in (folder / "groups.csv").read_text().splitlines()[1:]}
    assert reasons and all(reasons)


def test_a_table_of_a_larger_space_is_cut_to_what_was_asked(whole, settings, tmp_path, space):
    path = table(tmp_path, [each.name for each in space.all()], lambda place: place / 100)
    outcome = rank(settings("rank", truth=str(path)), tmp_path / "study")
    assert {row.architecture for row in outcome.truth.rows} == {each.name for each in outcome.architectures}
    assert len(outcome.truth.rows) == 10 and outcome.truth_name == "truth.csv"


def test_a_table_that_lacks_architectures_names_one(whole, settings, tmp_path):
    names = [each.name for each in whole[1].architectures]
    path = table(tmp_path, names[:3])
    said = rf"truth\.csv has no line for 2 of 5 architectures, '{names[3]}' among them"
    with pytest.raises(UsageError, match=said):
        rank(settings("rank", truth=str(path)), tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_a_folder_that_is_in_use_is_said(settings, tmp_path):
    class Second(Audience):
        def planned(self, outcome):
            with pytest.raises(UsageError, match="in use by another run"):
                rank(settings("rank"), tmp_path)

    rank(settings("rank", proxies=["parameters"]), tmp_path, audience=Second())


REFUSED = [
    ({"proxies": []}, "no proxy was asked for: name one or more with --proxy"),
    ({"proxies": ["randum"]}, "random"),
    ({"proxies": ["parameters", "parameters"]}, "parameters was asked for twice: give each --proxy once"),
    ({"proxies": ["random", {"name": "random", "ipc": 20}]}, "random was asked for twice"),
    ({"proxies": [{"name": "random", "ipq": 2}]}, "ipc"),
    ({"proxies": [{"name": "distilled", "method": "dmm"}]}, "unknown method 'dmm'"),
    ({"proxies": [{"name": "random", "network": "convnett"}]}, "convnet"),
    ({"space": "convnet73"}, "convnet72"),
    ({"data": "digitz"}, "digits"),
    ({"network": "convnett"}, "convnet"),
    ({"executor": "process"}, "processes"),
    ({"sample": 73}, "a sample of 73 was asked for, but convnet72 has 72 architectures: leave --sample out"),
    ({"sample": None, "space": {"name": "cells"}}, "--sample"),
    ({"top": [6]}, "the best 6 of 5 architectures were asked for: give 1 to 5"),
    ({"validation": 2000}, "ask for fewer with --validation or --images"),
    ({"images": 2000}, "ask for fewer with --validation or --images"),
    ({"validation": 9}, "validation is 9, but there are 10 classes: give 10 or more"),
    ({"space": {"name": "chains", "stages": 4}}, "does not fit images of 1x8x8 (channels x height x width)"),
    ({"truth": "absent.csv"}, "the truth table absent.csv cannot be read"),
]


@pytest.mark.parametrize(("changes", "said"), REFUSED, ids=[said[:30] for _, said in REFUSED])
def test_what_cannot_be_done_is_refused_before_anything_is_written(settings, tmp_path, computed, changes, said):
    with pytest.raises(LimbeckError) as refused:
        rank(settings("rank", **changes), tmp_path / "study")
    assert said in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "study").exists() and computed == []


NAMES = [
    ({"proxies": ["randum"]}, "random"),
    ({"space": "convnet73"}, "unknown nas space 'convnet73'"),
    ({"data": "digitz"}, "digits"),
    ({"network": "convnett"}, "convnet"),
    ({"truth": "absent.csv"}, "the truth table absent.csv cannot be read"),
]


@pytest.mark.parametrize(("changes", "said"), NAMES, ids=[said for _, said in NAMES])
def test_names_are_checked_before_folders_and_images(settings, tmp_path, monkeypatch, changes, said):
    folder = tmp_path / "other"
    folder.mkdir()
    save_outcome(folder, RankOutcome(settings("rank", data="mnist", space="chains"), [], {}, []))
    monkeypatch.setattr(module, "images_of", lambda *asked, **given: pytest.fail("images were loaded"))
    with pytest.raises(LimbeckError) as refused:
        rank(settings("rank", **changes), folder)
    assert said in str(refused.value) and "Choose another folder" not in str(refused.value)


def test_scores_say_what_they_are_of(whole):
    lines = [json.loads(line) for line in (Path(whole[0]) / NAME).read_text().splitlines()]
    assert {(each["proxy"], each["seed"]) for each in lines} == {
        (p, s) for p in ("random", "parameters") for s in (0, 1)
    }
    assert {each["architecture"] for each in lines} == {each.name for each in whole[1].architectures}
