"""Scores do not depend on how many are asked for at once, where they are computed, or what interrupts them."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from limbeck.distillation.run import Interrupted
from limbeck.errors import UsageError
from limbeck.networks import FunctionalNetwork
from limbeck.plugins import registry
from limbeck.seeding import generator
from limbeck.testing.randomness import moved_generators
from limbeck_applications.nas.candidates import job, scoring
from limbeck_applications.nas.candidates.job import network_of
from limbeck_applications.nas.candidates.kept import NAME
from limbeck_applications.nas.candidates.scoring import WEIGHTS, Asked
from limbeck_applications.nas.problem import problem_of
from limbeck_applications.nas.proxies.distilled import RandomSubset
from limbeck_applications.nas.proxy import Score
from limbeck_applications.nas.spaces.chains import Chains

CPU = torch.device("cpu")
LAST = "classifier.weight"
TRAINED = {"ipc": 1, "epochs": 1}


def asked_of(scorer):
    """Two fresh architectures and three of one structure that begin with different weights."""
    space = scorer.images.space
    grown = space.find("4-4_batch")
    network = network_of(space, grown, scorer.problem.spec, CPU)
    starts = [network.initial(generator(number, "test")) for number in range(3)]
    return [Asked(space.find("2_nonorm")), *(Asked(grown, start) for start in starts), Asked(space.find("4-2_batch"))]


def values(scores):
    return [(each.value, each.figures["loss"]) for each in scores]


@pytest.fixture
def together(scorer, tmp_path):
    """What one call in this process comes to: the scorer, what was asked, the scores and the weights."""
    one = scorer(tmp_path / "together")
    asked = asked_of(one)
    scores = one.score(asked)
    return one, asked, scores, [one.state(each) for each in asked]


def require_equal(scorer, asked, scores, together):
    _, _, expected, states = together
    assert [each.value for each in scores] == [each.value for each in expected]
    losses = [torch.tensor([each.figures["loss"] for each in some]) for some in (scores, expected)]
    assert torch.allclose(*losses, atol=1e-4)
    for each, state in zip(asked, states, strict=True):
        own = scorer.state(each)
        assert own.keys() == state.keys()
        assert all(torch.allclose(own[name].double(), state[name].double(), rtol=0, atol=1e-4) for name in state)


def test_equal_structures_are_one_call(together):
    one, _, scores, _ = together
    assert sorted(len(job.config["candidates"]) for job in one.jobs) == [1, 1, 3]
    assert len({each.value for each in scores}) > 1 and all(0 <= each.value <= 1 for each in scores)


@pytest.mark.parametrize("most", [1, 2])
def test_fewer_in_a_call_come_to_the_same(scorer, tmp_path, together, monkeypatch, most):
    monkeypatch.setattr(scoring, "TOGETHER", most)
    other = scorer(tmp_path / "apart")
    require_equal(other, together[1], other.score(together[1]), together)
    assert max(len(job.config["candidates"]) for job in other.jobs) == most


def test_asking_one_by_one_comes_to_the_same(scorer, tmp_path, together):
    other = scorer(tmp_path / "single")
    scores = [other.score([each])[0] for each in reversed(together[1])][::-1]
    require_equal(other, together[1], scores, together)
    assert len(other.jobs) == len(scores)


def test_processes_come_to_the_same(scorer, tmp_path, together):
    other = scorer(tmp_path / "processes", executor={"name": "processes", "workers": 1})
    require_equal(other, together[1], other.score(together[1]), together)


def test_what_is_known_is_not_computed_again(scorer, together):
    _, asked, scores, _ = together
    told = []
    again = scorer(together[0].folder)
    assert again.score(asked, lambda place, scored: told.append((place, scored))) == scores
    assert again.jobs == [] and told == list(enumerate(scores))


def test_what_is_asked_for_twice_is_scored_once_and_told_of_both(scorer):
    one, told = scorer(), []
    first, last = (Asked(one.images.space.find(name)) for name in ("2_nonorm", "4_nonorm"))
    scores = one.score([first, last, first], lambda place, scored: told.append(place))
    assert scores[0] == scores[2] and sorted(told) == [0, 1, 2]
    assert sum(len(job.config["candidates"]) for job in one.jobs) == 2
    assert len((one.folder / NAME).read_text().splitlines()) == 2


def test_a_key_changes_with_everything_that_a_score_depends_on(scorer, images, data, tmp_path):
    one = scorer()
    space, problem = one.images.space, one.problem
    asked = Asked(space.find("4-4_batch"))
    network = network_of(space, asked.architecture, problem.spec, CPU)
    start = network.initial(generator(0, "test"))
    other = {name: value + (name == LAST) for name, value in start.items()}
    proxy = {"name": "random", "ipc": 3, "epochs": 4, "lr": 0.05}
    fewer = problem_of(data, images=27, validation=30, network=problem.network)
    ranked = replace(problem, validation=problem.validation.subset(torch.arange(27)))
    keys = [
        one.key_of(asked),
        one.key_of(Asked(space.find("4-2_batch"))),
        one.key_of(Asked(asked.architecture, start)),
        one.key_of(Asked(asked.architecture, other)),
        scorer(seed=1).key_of(asked),
        scorer(proxy={**proxy, "epochs": 3}).key_of(asked),
        scorer(proxy={**proxy, "name": "herding"}).key_of(asked),
        scorer(of=images(fewer)).key_of(asked),
        scorer(of=images(ranked)).key_of(asked),
        scorer(of=images(kernels=[3, 5])).key_of(asked),
    ]
    assert len(set(keys)) == len(keys)


def test_a_key_changes_with_nothing_else(scorer, images, data, tmp_path):
    asked = Asked(images().space.find("4-4_batch"))
    assert {
        scorer().key_of(asked),
        scorer(tmp_path / "elsewhere").key_of(asked),
        scorer(executor="processes").key_of(asked),
        scorer(weights=False).key_of(asked),
        scorer(proxy={"name": "random", "ipc": 3, "epochs": 4, "lr": 0.05, "batch_size": 25}).key_of(asked),
        scorer(of=images(test=data.train)).key_of(asked),
    } == {scorer().key_of(asked)}


def test_no_job_holds_a_test_image(scorer, data):
    def of(tensors):
        return {bytes(each.numpy()) for value in tensors for each in value if value.dtype == torch.uint8}

    test = of([data.test.images]) - of([data.train.images])  # two digits of so few levels may be alike
    assert test
    for proxy in ({"name": "early_stopping", "images": 30}, {"name": "snip"}):
        one = scorer(proxy=proxy)
        one.score([Asked(one.images.space.find("2_nonorm"))])
        (job,) = one.jobs
        held = of(job.tensors.values())
        assert not held & test
        assert ("validation_images" in job.tensors) == one.proxy.validates
        if one.proxy.trains:
            assert held and held <= of([one.problem.train.images, one.problem.validation.images])


def test_a_candidate_that_fails_leaves_the_others_of_its_call(scorer, monkeypatch, together):
    asked, score = together[1], RandomSubset.score

    def failing(self, candidates, material):
        if any(each.start is not None and torch.equal(each.start[LAST], broken) for each in candidates):
            raise ValueError("no luck")
        return score(self, candidates, material)

    broken = asked[2].start[LAST]
    one = scorer(together[0].folder.with_name("failing"))
    with monkeypatch.context() as patch:
        patch.setattr(RandomSubset, "score", failing)
        scores = one.score(asked)
        assert scores[2].value is None and scores[2].failed == "ValueError: no luck. LIMBECK_STRICT=1 shows where."
        assert [each.value for place, each in enumerate(scores) if place != 2] == [
            each.value for place, each in enumerate(together[2]) if place != 2
        ]
        assert len((one.folder / NAME).read_text().splitlines()) == 4
        with pytest.raises(UsageError, match="has no weights: ValueError: no luck"):
            one.state(asked[2])
        patch.setenv("LIMBECK_STRICT", "1")
        with pytest.raises(ValueError, match="no luck"):
            one.score(asked)
    again = scorer(one.folder)
    assert [each.value for each in again.score(asked)] == [each.value for each in together[2]]
    assert [len(job.config["candidates"]) for job in again.jobs] == [1]


def test_what_the_user_stops_is_no_failure(scorer, monkeypatch):
    def stopped(self, candidates, material):
        raise Interrupted("stopped")

    monkeypatch.setattr(RandomSubset, "score", stopped)
    one = scorer()
    with pytest.raises(Interrupted, match="stopped"):
        one.score([Asked(one.images.space.find("2_nonorm"))])
    assert not (one.folder / NAME).exists()


def test_all_of_a_call_is_kept_before_who_is_told_ends_it(scorer, together, tmp_path):
    def stop(place, scored):
        raise KeyboardInterrupt

    one = scorer(tmp_path / "stopped")
    with pytest.raises(KeyboardInterrupt):
        one.score(together[1][1:4], stop)
    assert all(one.known(each) is not None for each in together[1][1:4])


def test_numbers_that_are_none_never_reach_the_disk(scorer, monkeypatch):
    def broken(self, candidates, material):
        return [Score(math.nan, 0.1, {"loss": math.inf, "std": math.nan, "own": 1.0}) for _ in candidates]

    monkeypatch.setattr(RandomSubset, "score", broken)
    one = scorer()
    (found,) = one.score([Asked(one.images.space.find("2_nonorm"))])
    assert (found.value, found.figures, found.failed) == (None, {"own": 1.0}, "")
    line = (one.folder / NAME).read_text()
    assert "NaN" not in line and "Infinity" not in line and json.loads(line)["value"] is None


def test_a_training_that_diverges_is_a_score(scorer):
    one = scorer(proxy={"name": "random", "ipc": 3, "epochs": 4, "lr": 1e30})
    (found,) = one.score([Asked(one.images.space.find("4-4_nonorm"))])
    assert found.value is not None and found.figures == {} and "NaN" not in (one.folder / NAME).read_text()


@pytest.mark.parametrize("content", [None, b"nothing"])
def test_weights_that_are_lost_or_damaged_are_trained_again(scorer, together, content):
    one, asked, scores, states = together
    for path in (one.folder / WEIGHTS).iterdir():
        path.unlink() if content is None else path.write_bytes(content)
    again = scorer(one.folder)
    for each, state in zip(asked, states, strict=True):
        own = again.state(each)
        assert all(torch.allclose(own[name].double(), state[name].double(), rtol=0, atol=1e-4) for name in state)
    assert sum(len(job.config["candidates"]) for job in again.jobs) == len(asked)
    assert [each.value for each in again.score(asked)] == [each.value for each in scores]


def test_weights_are_kept_where_they_are_asked_for_and_trained_only(scorer, tmp_path):
    for given in ({"weights": False}, {"proxy": {"name": "parameters"}}):
        one = scorer(tmp_path / str(len(given)), **given)
        asked = Asked(one.images.space.find("2_nonorm"))
        one.score([asked])
        assert not (one.folder / WEIGHTS).exists()
        with pytest.raises(UsageError, match="trains no network whose weights could be had"):
            one.state(asked)


def test_weights_are_those_that_the_proxy_measured(scorer):
    one = scorer()
    asked = Asked(one.images.space.find("4-4_batch"))
    (found,) = one.score([asked])
    network: FunctionalNetwork = network_of(one.images.space, asked.architecture, one.problem.spec, CPU)
    real = one.problem.validation
    logits = network(one.state(asked), real.take(torch.arange(len(real))), train=False)
    assert (logits.argmax(1) == real.labels).double().mean().item() == pytest.approx(found.value)


def test_global_generators_stay_as_they_were(scorer):
    one = scorer()
    with moved_generators() as moved:
        one.score(asked_of(one))
        one.cost(one.images.space.find("4-2_nonorm"))
    assert moved == []


def test_what_does_not_fit_is_refused_before_anything_runs(scorer, images):
    one = scorer(of=images(stages=4))
    with pytest.raises(UsageError, match="does not fit images of 1x8x8"):
        one.score([Asked(one.images.space.first())])
    assert one.jobs == []


def test_an_unknown_proxy_is_refused_at_once(scorer):
    with pytest.raises(UsageError, match=r"randum.*random"):
        scorer(proxy={"name": "randum"})
    assert "random" in registry().names("nas_proxies")


@pytest.mark.parametrize("kind", ["tensor", "buffer"])
def test_networks_that_differ_in_a_constant_alone_are_not_taken_for_each_other(scorer, tmp_path, monkeypatch, kind):
    build = Chains.build

    class Gated(torch.nn.Module):
        def __init__(self, inner, gate):
            super().__init__()
            self.inner = inner
            if kind == "tensor":
                self.gate = torch.tensor(gate)
            else:
                self.register_buffer("gate", torch.tensor(gate))

        def forward(self, images):
            return self.inner(images * self.gate)

    def gated(self, architecture, shape, num_classes):
        inner = build(self, self.find("2_batch"), shape, num_classes)
        return Gated(inner, 0.0 if architecture.name.startswith("2") else 1.0)

    monkeypatch.setattr(Chains, "build", gated)
    both = scorer(tmp_path / "both", weights=False)
    asked = [Asked(both.images.space.find(name)) for name in ("2_batch", "4_batch")]
    alone = [scorer(tmp_path / each.architecture.name, weights=False).score([each])[0] for each in asked]
    found = both.score(asked)
    assert [each.figures["loss"] for each in found] == [each.figures["loss"] for each in alone]
    assert found[0].figures["loss"] != found[1].figures["loss"]


def test_what_fails_costs_what_it_took(scorer, monkeypatch):
    def failing(self, candidates, material):
        clock[0] += 6
        if len(candidates) > 1 or candidates[0].start is None:
            raise RuntimeError("out of memory")
        return [Score(1.0, 6.0, {}, each.start) for each in candidates]

    clock = [0.0]
    monkeypatch.setattr(job.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(RandomSubset, "score", failing)
    one = scorer(weights=False)
    _ = one.prepared
    found = one.score(asked_of(one))
    assert [bool(each.failed) for each in found] == [True, False, False, False, True]
    assert [each.seconds for each in found] == [6, 8, 8, 8, 6]


def test_a_space_of_the_same_name_in_another_package_has_keys_of_its_own(scorer, monkeypatch):
    asked = Asked(scorer().images.space.find("4-4_batch"))
    own, entry = scorer().key_of(asked), registry().entry

    def others(kind, name):
        return replace(entry(kind, name), **({"distribution": "other"} if kind == "nas_spaces" else {}))

    monkeypatch.setattr(registry(), "entry", others)
    assert scorer().key_of(asked) != own


def test_the_network_that_sets_are_made_with_is_part_of_keys_where_one_is_made(scorer, images):
    asked = Asked(images().space.find("4-4_batch"))
    others = images(replace(images().problem, network="convnet-d1-w8-in"))
    for name, same in (("random", False), ("early_stopping", True), ("snip", True), ("parameters", True)):
        proxy = {**TRAINED, "name": name} if name == "random" else {"name": name}
        assert (scorer(proxy=proxy).key_of(asked) == scorer(proxy=proxy, of=others).key_of(asked)) is same
