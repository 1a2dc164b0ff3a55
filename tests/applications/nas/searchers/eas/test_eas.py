"""EAS: children begin where their parents ended, and a search is the same search each time."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from limbeck.data import load_dataset
from limbeck.errors import UsageError
from limbeck.networks import FunctionalNetwork
from limbeck.plugins import registry
from limbeck.registry import Registry
from limbeck_applications.nas.candidates.kept import Scores
from limbeck_applications.nas.candidates.lab import KeptLab
from limbeck_applications.nas.candidates.scoring import Scorer
from limbeck_applications.nas.problem import problem_of
from limbeck_applications.nas.proxies.distilled import RandomSubset
from limbeck_applications.nas.searcher import Plan
from limbeck_applications.nas.searchers.eas.controllers import Action
from limbeck_applications.nas.searchers.eas.searcher import reward
from limbeck_applications.nas.searchers.eas.ways import changed
from limbeck_applications.nas.spaces.chains import Chains
from limbeck_applications.nas.staged import StagedSpace
from limbeck_applications.nas.study.images import Images

CPU = torch.device("cpu")
SPACE = {"name": "chains", "widths": [2, 3, 4, 6], "layers": 2}
PROXY = {"name": "random", "ipc": 3, "epochs": 8, "lr": 0.05}


@pytest.fixture(scope="module")
def images_of_digits():
    data = load_dataset("digits", classes=range(3))
    problem = problem_of(data, images=30, validation=30, network="convnet-d1-w4-in")

    def make(**options):
        spec = {**SPACE, **options}
        return Images(registry().create("nas_spaces", spec), spec, problem, data.test, CPU)

    return make


class Watched(KeptLab):
    """A lab that remembers what was grown."""

    def grow(self, children):
        trials = super().grow(children)
        self.grown = [*getattr(self, "grown", []), *zip(children, trials, strict=True)]
        return trials


@pytest.fixture
def searched(images_of_digits, tmp_path, one_thread):
    """Search: ``searched(evaluations, space={}, folder=..., **options of eas)`` returns the lab."""

    def make(evaluations, space=None, folder=tmp_path, seed=0, **options):
        executor = registry().create("executors", "serial")
        scorer = Scorer(images_of_digits(**(space or {})), PROXY, folder, Scores(folder), executor, weights=True)
        lab = Watched(scorer, "eas", evaluations, seed)
        searcher = registry().create("nas_searchers", {"name": "eas", **options})
        searcher.check(Plan(lab.space, lab.problem, lab.proxy, lab.evaluations))
        searcher.search(lab)
        return lab

    return make


def logits(lab, architecture, state, train=False):
    module = lab.space.build(architecture, lab.problem.spec.shape, lab.problem.spec.num_classes)
    network = FunctionalNetwork(module, lab.problem.spec.shape)
    return network(
        {key: value.clone() for key, value in state.items()}, lab.problem.train.take(torch.arange(30)), train=train
    )


@pytest.mark.parametrize("controller", ["policy", "bandit", "random"])
def test_every_evaluation_goes_to_a_new_network(searched, controller):
    lab = searched(9, controller=controller, networks=3)
    assert lab.remaining == 0
    names = [trial.architecture.name for trial in lab.trials]
    assert len(set(names)) == 9 and names[0] == "2_2_2_batch"
    assert [trial.notes["episode"] for trial in lab.trials] == [0, 1, 1, 1, 2, 2, 2, 3, 3]
    assert all(0 <= trial.value <= 1 and not trial.failed for trial in lab.trials)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_a_child_computes_what_its_parent_had_learned(searched, norm):
    lab = searched(
        6, {"norms": [norm]}, controller="random", widen=2, deepen=1, wider_noise=0, deeper_noise=0, rebase=1
    )
    assert len(lab.grown) == 5
    for child, _ in lab.grown:
        parent = lab.trials[child.notes["parent_number"]]
        assert parent.architecture.name == child.notes["parent"]
        mother = logits(lab, parent.architecture, lab.state(parent))
        assert (logits(lab, child.architecture, child.state) - mother).abs().max() < 1e-5


def test_a_child_goes_on_learning_from_there(searched):
    lab = searched(4, controller="random")
    child, trial = lab.grown[0]
    learned = lab.state(trial)
    assert any(not torch.equal(learned[key], child.state[key]) for key in child.state)
    fresh = searched(1, start=child.architecture.name)
    assert fresh.trials[0].value != trial.value or not torch.equal(
        fresh.state(fresh.trials[0])["classifier.bias"], learned["classifier.bias"]
    )


def test_the_base_is_the_best_network_so_far_and_trainings_add_up(searched):
    lab = searched(13, controller="random", networks=3, rebase=1)
    for trial in lab.trials[1:]:
        earlier = [each for each in lab.trials if each.notes["episode"] < trial.notes["episode"]]
        parent = lab.trials[trial.notes["parent_number"]]
        assert parent.value == max(each.value for each in earlier)
        assert trial.notes["trainings"] == parent.notes["trainings"] + 1
    assert max(trial.notes["trainings"] for trial in lab.trials) > 2
    never = searched(7, controller="random", networks=2, rebase=0)
    assert {trial.notes["parent_number"] for trial in never.trials[1:]} == {0}


def test_children_lie_on_the_way_that_their_notes_say(searched):
    lab = searched(7, controller="random", widen=1, deepen=0)
    for trial in lab.trials[1:]:
        before = [
            width for layers in lab.space.stages(lab.space.find(trial.notes["parent"]).genome) for width, _ in layers
        ]
        after = [width for layers in lab.space.stages(trial.architecture.genome) for width, _ in layers]
        wider = " ".join(
            str(place + 1) for place, pair in enumerate(zip(before, after, strict=True)) if pair[0] < pair[1]
        )
        assert trial.notes["action"] == f"wider {wider}"


def test_the_better_norm_is_grown(searched):
    lab = searched(5, {"norms": ["none", "batch"]}, controller="random")
    starts = lab.trials[:2]
    assert [trial.architecture.name for trial in starts] == ["2_2_2_nonorm", "2_2_2_batch"]
    best = max(starts, key=lambda trial: (trial.value, -trial.number))
    assert {trial.notes["parent"] for trial in lab.trials[2:]} == {best.architecture.name}


def test_a_search_begins_where_it_is_told(searched):
    assert searched(1, start="4_2_6-3_batch").trials[0].architecture.name == "4_2_6-3_batch"


def test_a_search_ends_where_the_space_does(searched):
    lab = searched(40, {"widths": [2, 3], "layers": 1, "stages": 2}, controller="policy", widen=1, deepen=1)
    assert sorted(trial.architecture.name for trial in lab.trials) == [
        "2_2_batch",
        "2_3_batch",
        "3_2_batch",
        "3_3_batch",
    ]
    assert lab.remaining == 36


@pytest.mark.parametrize("controller", ["policy", "bandit", "random"])
def test_a_search_that_was_stopped_is_the_same_search(searched, controller, tmp_path):
    """Shorter searches ask for the same at first, and nothing is computed twice."""

    def said(lab):
        return [(trial.architecture.name, trial.value, trial.key, dict(trial.notes)) for trial in lab.trials]

    before = torch.get_rng_state()
    stopped = searched(4, controller=controller, folder=tmp_path / "one", networks=2)
    continued = searched(7, controller=controller, folder=tmp_path / "one", networks=2)
    whole = searched(7, controller=controller, folder=tmp_path / "two", networks=2)
    assert said(continued) == said(whole) and said(stopped) == said(whole)[:4]
    assert [trial.seconds for trial in continued.trials[:4]] == [trial.seconds for trial in stopped.trials]
    other = searched(5, controller=controller, folder=tmp_path / "one", networks=2, seed=1)
    assert [trial.architecture.name for trial in other.trials] != [
        trial.architecture.name for trial in whole.trials[:5]
    ]
    assert torch.equal(before, torch.get_rng_state())


def test_an_action_takes_the_next_width_or_adds_a_layer_as_wide():
    space = registry().create("nas_spaces", {**SPACE, "kernels": [1, 3]})
    stages = [[(2, 3)], [(3, 1), (2, 3)], [(4, 3)]]
    assert changed(space, stages, Action(widen=(0, 2, 3))) == [[(3, 3)], [(3, 1), (3, 3)], [(6, 3)]]
    assert changed(space, stages, Action(deepen=(2, 0, 0))) == [[(2, 3)], [(3, 1), (2, 3)], [(4, 3), (4, 1)]]
    assert stages == [[(2, 3)], [(3, 1), (2, 3)], [(4, 3)]]


def test_rewards_tell_good_networks_further_apart_and_failures_get_nothing():
    assert reward(0.5) == pytest.approx(1) and reward(0.0) == 0
    assert reward(0.91) - reward(0.9) > 10 * (reward(0.11) - reward(0.1))
    assert reward(-math.inf) == 0 and math.isfinite(reward(1.0))


@pytest.mark.parametrize(
    ("space", "proxy", "options", "says"),
    [
        ("convnet72", "random", {}, "as the space 'chains' has them and 'convnet72' has not"),
        ("chains", "parameters", {}, "proxy 'parameters' trains none"),
        ("chains", "random", {"widen": 0, "deepen": 0}, "0 widening and 0 deepening"),
        ("chains", "random", {"start": "1_1_1_batch"}, "one is named like '8_8_8_batch'"),
        ("chains", "random", {"controller": "genius"}, "'policy', 'bandit' or 'random'"),
    ],
)
def test_what_cannot_be_grown_is_refused_at_once(space, proxy, options, says):
    with pytest.raises(UsageError, match=says):
        registry().create("nas_searchers", {"name": "eas", **options}).check(
            Plan(registry().create("nas_spaces", space), None, registry().create("nas_proxies", proxy), 40)
        )


def test_a_start_that_came_to_nothing_is_said(searched, monkeypatch):
    monkeypatch.setattr("limbeck_applications.nas.candidates.job.network_of", _broken)
    monkeypatch.setenv("LIMBECK_STRICT", "0")
    with pytest.raises(UsageError, match="has no network to grow: out of luck"):
        searched(3)


def _broken(*_):
    raise UsageError("out of luck")


class Own(StagedSpace):
    """A space of somebody else's, with the networks of chains and names of its own."""

    Options = Chains.Options

    def __init__(self, options):
        super().__init__(options)
        self.inner, self.name = Chains(options), "own"

    ladder = property(lambda self: self.inner.ladder)

    def genes(self):
        return self.inner.genes()

    def canonical(self, genome):
        return self.inner.canonical(genome)

    def build(self, architecture, shape, num_classes):
        return self.inner.build(architecture, shape, num_classes)

    def stages(self, genome):
        return self.inner.stages(genome)

    def norm(self, genome):
        return self.inner.norm(genome)

    def from_stages(self, stages, norm):
        return self.decode(self.inner.from_stages(stages, norm).genome)


def test_a_space_of_somebody_elses_is_grown_alike(searched, images_of_digits, tmp_path, monkeypatch):
    expected = [trial.value for trial in searched(4).trials]
    create = Registry.create

    def created(self, kind, spec, **forced):
        made = create(self, kind, spec, **forced)
        return Own(made.options) if kind == "nas_spaces" else made

    monkeypatch.setattr(Registry, "create", created)
    lab = searched(4, folder=tmp_path / "own")
    assert isinstance(lab.space, Own) and not isinstance(lab.space, Chains)
    assert [trial.value for trial in lab.trials] == expected and lab.trials[0].architecture.name.startswith("batch-1-2")


def test_values_that_are_no_accuracies_are_refused(searched, monkeypatch):
    score = RandomSubset.score
    monkeypatch.setattr(RandomSubset, "score", lambda *given: [replace(each, value=-3.0) for each in score(*given)])
    with pytest.raises(UsageError, match=r"accuracies in \[0, 1\], but proxy 'random' gave '2_2_2_batch' -3:"):
        searched(3)
