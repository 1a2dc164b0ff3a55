"""Controllers: what they may decide, what they learn from, and that a policy's probabilities are probabilities."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from limbeck.plugins import registry
from limbeck_applications.nas.searchers.eas.controllers import Action, Bandit, Chance, Decision
from limbeck_applications.nas.searchers.eas.policy import Policy

KINDS = [Policy, Bandit, Chance]

SMALL = [[(2, 3)], [(4, 1), (2, 3)], [(6, 3)]]
"""The third layer of stage two is open, and the last layer is as wide as can be."""


@pytest.fixture(scope="module")
def space():
    return registry().create("nas_spaces", {"name": "chains", "widths": [2, 4, 6], "kernels": [1, 3], "layers": 2})


def controller(kind, space, seed=0, lr=0.05, entropy=0.0):
    return kind(space, torch.Generator().manual_seed(seed), lr, entropy)


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_is_possible_is_decided(kind, space):
    own = controller(kind, space)
    assert own.growing(SMALL) == [0, 1, 2] and own.open(SMALL) == [0, 2]
    wide, deep = [own.widen(SMALL) for _ in range(40)], [own.deepen(SMALL) for _ in range(40)]
    assert all(set(action.widen) <= {0, 1, 2} and action.deepen is None for action in wide)
    assert all(not action.widen for action in deep)
    places = {action.deepen for action in deep}
    assert {stage for stage, _, _ in places} == {0, 2} and {kernel for _, _, kernel in places} == {0, 1}
    assert all(layer < len(SMALL[stage]) for stage, layer, _ in places)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_draws_decide_the_same_and_no_other_generator_is_touched(kind, space):
    before = torch.get_rng_state()
    decisions = []
    for seed in (3, 3, 4):
        own, made = controller(kind, space, seed), []
        for step in range(6):
            made += [own.widen(SMALL), own.deepen(SMALL)]
            own.learn([[Decision(SMALL, made[-1])]], [0.1 * step])
        decisions.append(made)
    assert decisions[0] == decisions[1] != decisions[2]
    assert torch.equal(before, torch.get_rng_state())


def test_the_probabilities_of_a_policy_add_up_to_one(space):
    own = controller(Policy, space)
    wide = [Action(widen=some) for count in range(4) for some in itertools.combinations((0, 1, 2), count)]
    places = [(stage, layer) for stage in own.open(SMALL) for layer in range(len(SMALL[stage]))]
    deep = [Action(deepen=(*place, kernel)) for place in places for kernel in range(2)]
    for actions in (wide, deep):
        logs = [own.log_chance(Decision(SMALL, action))[0].item() for action in actions]
        assert sum(map(math.exp, logs)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("sort", ["widen", "deepen"])
def test_a_policy_draws_what_it_says_it_draws(sort, space):
    own = controller(Policy, space, seed=1)
    drawn = [getattr(own, sort)(SMALL) for _ in range(400)]
    for action in set(drawn):
        chance = own.log_chance(Decision(SMALL, action))[0].exp().item()
        deviation = math.sqrt(chance * (1 - chance) / len(drawn))
        assert abs(drawn.count(action) / len(drawn) - chance) < 4 * deviation


@pytest.mark.parametrize("action", [Action(widen=(0, 2)), Action(deepen=(2, 0, 1))])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_policy_makes_rewarded_decisions_likelier(action, sign, space):
    own, decision = controller(Policy, space, lr=0.01), Decision(SMALL, action)
    before = own.log_chance(decision)[0].item()
    for _ in range(3):
        own.learn([[decision]], [sign * 0.5])
    assert sign * (own.log_chance(decision)[0].item() - before) > 0.01


def test_a_policys_entropy_is_kept_up_by_its_weight(space):
    """Without reward, only the entropy pulls; without its weight, nothing does."""
    decision = Decision(SMALL, Action(deepen=(0, 0, 1)))
    for weight in (0.0, 1.0):
        own = controller(Policy, space, lr=0.01, entropy=weight)
        before = own.log_chance(decision)[1].item()
        for _ in range(5):
            own.learn([[decision]], [0.0])
        gained = own.log_chance(decision)[1].item() - before
        assert gained > 1e-4 if weight else gained == 0


def test_a_policy_reads_the_order_of_the_layers(space):
    own = controller(Policy, space)
    one = own.log_chance(Decision([[(2, 3)], [(4, 3)], [(4, 3)]], Action(widen=(0,))))[0]
    other = own.log_chance(Decision([[(4, 3)], [(2, 3)], [(4, 3)]], Action(widen=(0,))))[0]
    assert one != other


def test_a_policy_learns_nothing_from_networks_that_nothing_was_decided_for(space):
    own = controller(Policy, space)
    before = [parameter.clone() for parameter in own.reader.parameters()]
    own.learn([[], []], [1.0, 2.0])
    assert all(torch.equal(*pair) for pair in zip(before, own.reader.parameters(), strict=True))


def test_a_bandit_comes_to_prefer_what_paid(space):
    own = controller(Bandit, space)
    good, bad = Decision(SMALL, Action(deepen=(2, 0, 1))), Decision(SMALL, Action(deepen=(0, 0, 0)))
    wide, waste = Decision(SMALL, Action(widen=(1, 2))), Decision(SMALL, Action(widen=(0,)))
    others = [Decision(SMALL, Action(deepen=(stage, 0, kernel))) for stage, kernel in ((0, 1), (2, 0))]
    for _ in range(50):
        own.learn([[wide, good], [waste, bad], others], [1.0, -1.0, -0.5])
    assert {own.deepen(SMALL).deepen for _ in range(20)} == {(2, 0, 1)}
    assert {own.widen(SMALL).widen for _ in range(20)} == {(1, 2)}


def test_a_bandit_widens_all_of_one_stage(space):
    own = controller(Bandit, space)
    assert {own.widen(SMALL).widen for _ in range(30)} == {(0,), (1, 2)}


def test_what_is_drawn_by_lot_has_equal_chances(space):
    own = controller(Chance, space)
    widened = [place for _ in range(600) for place in own.widen(SMALL).widen]
    assert all(abs(widened.count(place) / 600 - 0.5) < 0.08 for place in range(3))
    places = [own.deepen(SMALL).deepen for _ in range(600)]
    assert all(abs(places.count(place) / 600 - 0.25) < 0.08 for place in set(places)) and len(set(places)) == 4
