"""What a proxy promises: a finite number for each architecture, from its seed and what it is given alone."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import torch

from limbeck.data import RealData
from limbeck.errors import UsageError
from limbeck.testing.general import names_its_source
from limbeck.testing.suite import NotApplicable, Subject, require
from limbeck_applications.nas.problem import Problem
from limbeck_applications.nas.proxies.trained import Lesson, TrainedProxy
from limbeck_applications.nas.proxies.untrained import OnBatch
from limbeck_applications.nas.proxy import Candidate, Material, Prepared, Proxy, Score
from limbeck_applications.nas.testing.cases import material, tiny_candidates, tiny_problem

BASE = Proxy
FAMILIES = (Proxy, OnBatch, TrainedProxy)
RECORDS = (Problem, Prepared, Material, Candidate, Score, Lesson)
"""What authors are handed and hand out, for the page of the kind."""

NUMBER = 3
"""Candidates of a call."""

CLOSE = 1e-5
"""Relative difference of scores that were computed in other calls: sums in float32 may be rounded otherwise."""


def _prepared(subject: Subject) -> Prepared:
    def prepare() -> Prepared:
        with tempfile.TemporaryDirectory() as folder:
            return _prepare(subject, Path(folder))

    return subject.keep("prepared", prepare)  # type: ignore[no-any-return]


def _prepare(subject: Subject, folder: Path) -> Prepared:
    try:
        return subject.make().prepare(tiny_problem(), folder)  # type: ignore[no-any-return]
    except UsageError as error:
        raise NotApplicable(str(error)) from None


def _scored(subject: Subject, candidates: list[Candidate] | None = None) -> list[Score]:
    """Return scores by a new instance, as in another process."""
    proxy, problem = subject.make(), tiny_problem()
    given = tiny_candidates(NUMBER, problem) if candidates is None else candidates
    return proxy.score(given, material(proxy, _prepared(subject), problem))  # type: ignore[no-any-return]


def _scores(subject: Subject) -> list[Score]:
    return subject.keep("scores", lambda: _scored(subject))  # type: ignore[no-any-return]


def prepares_what_travels(subject: Subject) -> None:
    """What it prepares are tensors and JSON values, and what they cost is not negative."""
    made = _prepared(subject)
    loose = [name for name, value in made.tensors.items() if not isinstance(value, torch.Tensor)]
    require(not loose, f"{', '.join(loose)} are no tensors")
    require(json.loads(json.dumps(made.values)) == made.values, "values are not the same when written as JSON")
    costs = {"seconds": made.seconds, "images": made.images, "bytes": made.bytes}
    bad = [name for name, value in costs.items() if not (math.isfinite(value) and value >= 0)]
    require(not bad, f"{', '.join(bad)} negative or not finite")


def prepares_the_same_again(subject: Subject) -> None:
    """The same images and seed give the same, in a new folder and in one where it is there already."""
    first = _prepared(subject)
    with tempfile.TemporaryDirectory() as folder:
        for where in ("a new folder", "the same folder"):
            again = _prepare(subject, Path(folder))
            require(_equal(first, again), f"other tensors or values came of {where}")


def scores_each_candidate(subject: Subject) -> None:
    """Each candidate gets a finite score, with the seconds it took and finite figures."""
    scores = _scores(subject)
    require(len(scores) == NUMBER, f"{len(scores)} scores for {NUMBER} candidates")
    for score in scores:
        sound = isinstance(score.value, float) and math.isfinite(score.value)
        require(sound, f"the score {score.value!r} is no finite float")
        require(math.isfinite(score.seconds) and score.seconds >= 0, "seconds negative or not finite")
        bad = [name for name, value in score.figures.items() if not math.isfinite(value)]
        require(not bad, f"figures {', '.join(bad)} not finite")


def is_deterministic(subject: Subject) -> None:
    """The same candidates get the same scores, from an instance that has prepared nothing."""
    require(_values(_scored(subject)) == _values(_scores(subject)), "other scores the second time")


def scores_each_by_itself(subject: Subject) -> None:
    """A score does not depend on which other candidates are scored in the same call."""
    alone = [_scored(subject, [each])[0] for each in tiny_candidates(NUMBER, tiny_problem())]
    for one, other in zip(alone, _scores(subject), strict=True):
        same = math.isclose(one.value, other.value, rel_tol=CLOSE, abs_tol=CLOSE)
        require(same, f"{one.value} alone, {other.value} with {NUMBER - 1} others")


def leaves_the_images_alone(subject: Subject) -> None:
    """The images to train and to rank on, and what was prepared, are afterwards what they were."""
    problem, fresh, proxy = tiny_problem(), tiny_problem(), subject.make()
    with tempfile.TemporaryDirectory() as folder:
        try:
            made = proxy.prepare(problem, Path(folder))
        except UsageError as error:
            raise NotApplicable(str(error)) from None
    before = {name: value.clone() for name, value in made.tensors.items()}
    proxy.score(tiny_candidates(1, problem), material(proxy, made, problem))
    same = _same(problem.train, fresh.train) and _same(problem.validation, fresh.validation)
    require(same, "images or labels of the problem have changed")
    changed = [name for name, value in before.items() if not torch.equal(value, made.tensors[name])]
    require(not changed, f"{', '.join(changed)} of what was prepared have changed")


def hands_out_trained_weights(subject: Subject) -> None:
    """A proxy that trains hands out all weights of each network, and one that does not hands out none."""
    network = tiny_candidates(1, tiny_problem())[0].network
    names = {name for name, _ in network.module.named_parameters()}
    for score in _scores(subject):
        if score.state is None:
            require(not subject.cls.trains, "it hands out no weights, but 'trains' is True")
            continue
        require(subject.cls.trains, "it hands out weights, but 'trains' is False")
        lacking = sorted(names - set(score.state))
        require(not lacking, f"{', '.join(lacking)} are not among the weights")


def begins_with_given_weights(subject: Subject) -> None:
    """A proxy that trains begins with the weights that a candidate brings."""
    if not subject.cls.trains:
        raise NotApplicable("it trains nothing")
    fresh, problem = _scores(subject)[0], tiny_problem()
    given = tiny_candidates(1, problem)[0]
    start = Candidate(given.architecture, given.network, given.seed, fresh.state)
    on = _scored(subject, [start])[0]
    assert fresh.state is not None and on.state is not None
    moved = any(not torch.equal(fresh.state[name], on.state[name]) for name in fresh.state)
    require(moved, "training on from its trained weights gave the same weights as training from fresh ones")
    again = _scored(subject, [start])[0]
    require(_values([on]) == _values([again]), "other scores the second time, from the same weights")


def _equal(one: Prepared, other: Prepared) -> bool:
    if one.values != other.values or one.tensors.keys() != other.tensors.keys():
        return False
    return all(torch.equal(value, other.tensors[name]) for name, value in one.tensors.items())


def _same(one: RealData, other: RealData) -> bool:
    return torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)


def _values(scores: list[Score]) -> list[Any]:
    return [(score.value, score.figures) for score in scores]


CHECKS = (
    names_its_source,
    prepares_what_travels,
    prepares_the_same_again,
    scores_each_candidate,
    is_deterministic,
    scores_each_by_itself,
    leaves_the_images_alone,
    hands_out_trained_weights,
    begins_with_given_weights,
)
