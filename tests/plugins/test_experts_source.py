"""Experts as a network source: found or trained, followed, looked through, and asked as teachers."""

import pytest
import torch

from limbeck.errors import CheckpointError, UsageError
from limbeck.matching import SourceContext, StepContext
from limbeck.networks import FunctionalNetwork
from limbeck.plugins import registry
from limbeck.seeding import Generators, generator
from limbeck.testing.cases import SPEC, tiny_data
from limbeck.training import TrainData

pytestmark = pytest.mark.usefixtures("one_thread")

OPTIONS = {"experts": 3, "epochs": 2, "batch_size": 8, "lr": 0.1, "train": True}


def source(cache=None, *, seed=0, net="convnet-d1-w4-bn", chunk=None, **options):
    made = registry().create("network_sources", {"name": "experts", **OPTIONS, **options})
    module = registry().create("networks", net).build(SPEC.shape, SPEC.num_classes)
    network = FunctionalNetwork(module, SPEC.shape, name=net)
    synthetic = TrainData(torch.zeros(3, *SPEC.shape), torch.arange(3))
    where = {"cache": cache, "chunk": lambda: chunk, "train_experts": "limbeck experts train --data tiny"}
    made.prepare(SourceContext(network, 1, Generators(seed), tiny_data(), lambda: synthetic, None, None, **where))
    return made


def seen(made, steps=24):
    """Return for each step which expert it looks through, and after which epoch."""
    there = made.trajectories
    places = {(e, t): made.context.network.unflatten(there.weights(e, t)) for e in range(3) for t in range(3)}
    found = []
    for step in range(steps):
        state = made.state(StepContext(step, 0, 1, step))
        weights = made.context.network.flatten(state)
        (place,) = (p for p in places if torch.equal(made.context.network.flatten(places[p]), weights))
        found.append(place)
    return found


def test_published_settings_are_the_defaults():
    options = registry().create("network_sources", "experts").options
    assert (options.experts, options.epochs, options.lr, options.batch_size) == (100, 50, 0.01, 256)
    assert options.path is None and not options.train


def test_every_step_draws_an_expert_and_an_epoch(tmp_path):
    found = seen(source(tmp_path), 60)
    assert set(found) == {(expert, epoch) for expert in range(3) for epoch in range(3)}
    again = source(tmp_path, train=False)
    assert seen(again, 60) == found and again.num_outer == 1
    assert seen(source(tmp_path, seed=1), 60) != found
    again.load_state_dict(again.state_dict())


def test_a_run_goes_on_with_the_experts_it_began_with(tmp_path):
    other = source(tmp_path / "other", lr=0.02)
    with pytest.raises(CheckpointError, match=r"follows the experts of buffer .*Put the former back"):
        source(tmp_path).load_state_dict(other.state_dict())


def test_a_step_s_buffers_are_those_of_its_epoch(tmp_path):
    made = source(tmp_path)
    for step, (expert, epoch) in enumerate(seen(made, 8)):
        state = made.state(StepContext(step, 0, 1, step))
        kept = made.trajectories.state(expert, epoch)
        assert all(torch.equal(state[name], value) for name, value in kept.items())
    counts = {int(made.trajectories.state(0, epoch)["features.1.num_batches_tracked"]) for epoch in range(3)}
    assert counts == {0, 4, 8}


def test_whoever_trains_a_step_s_network_leaves_the_experts_alone(tmp_path):
    made = source(tmp_path)
    before = [made.trajectories.weights(*place).clone() for place in seen(made, 4)]
    for step in range(4):
        state = made.state(StepContext(step, 0, 1, step))
        made.context.network(state, torch.randn(4, *SPEC.shape, generator=generator(0, "images")), train=True)
        for value in state.values():
            value.zero_()
    after = [made.trajectories.weights(*place) for place in seen(made, 4)]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_teachers_are_the_experts_at_the_end_of_what_is_used(tmp_path):
    source(tmp_path, epochs=3)
    made = source(tmp_path, train=False)
    teachers = list(made.teachers())
    network = made.context.network
    assert [torch.equal(network.flatten(state), made.trajectories.weights(e, 2)) for e, state in enumerate(teachers)]
    right = []
    for state in teachers:
        logits = network(state, tiny_data().take(torch.arange(30)), train=False)
        right.append(float((logits.argmax(1) == tiny_data().labels).float().mean()))
    assert len(teachers) == 3 and min(right) > 0.5


def test_time_is_told_under_names_that_two_sources_share(tmp_path):
    one, other = source(tmp_path), source(tmp_path, experts=2)
    assert len(one.spent) == 3 and set(other.spent) < set(one.spent)
    assert all(seconds > 0 for seconds in one.spent.values())


def test_what_cannot_be_followed_is_refused(tmp_path):
    with pytest.raises(
        UsageError, match=r"not yet 3 experts x 2 epochs of .* Train them: limbeck experts train --data tiny \("
    ):
        source(tmp_path, train=False)
    made = registry().create("network_sources", "experts")
    with pytest.raises(
        UsageError, match="source 'experts' follows networks trained on real images, and this run has none"
    ):
        made.prepare(SourceContext(None, 1, Generators(0), None, lambda: None, None, None))
