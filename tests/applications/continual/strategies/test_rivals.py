"""What every strategy that Avalanche trains promises: the same bits again, a kept budget, untouched generators."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from limbeck.errors import DivergenceError, UsageError
from limbeck.plugins import registry
from limbeck.testing.randomness import moved_generators
from limbeck_applications.continual.memory.budget import Budget
from limbeck_applications.continual.settings import Retraining
from limbeck_applications.continual.strategy import Retrained

pytestmark = pytest.mark.usefixtures("one_thread")

REAL = ("replay_reservoir", "replay_balanced", "replay_herding", "gdumb", "er_ace", "der_pp", "icarl")
ALL = ("naive", "joint", *REAL, "lwf", "ewc", "distilled_replay")
FIRST_AS_NAIVE = ("joint", "replay_reservoir", "replay_balanced", "replay_herding", "der_pp", "lwf", "ewc")


def accuracies(rows):
    return [row.accuracies for row in rows]


def buffer_of(lesson):
    """Return images [n, ch, h, w], classes and logits (or none) of what is kept, read from the library's own buffer."""
    for owner in (lesson.learner, *lesson.learner.plugins):
        if hasattr(owner, "x_memory"):
            return torch.cat(owner.x_memory), [label for each in owner.y_memory for label in each], []
        if hasattr(owner, "storage_policy"):
            samples = list(owner.storage_policy.buffer)
            logits = [sample[3] for sample in samples if len(sample) > 3]
            return torch.stack([sample[0] for sample in samples]), [int(sample[1]) for sample in samples], logits
    return None


@pytest.mark.parametrize("name", ALL)
def test_a_seed_gives_the_same_bits_and_no_generator_moves(name, stream, context_for, learned):
    context = context_for(stream)
    torch.randn(3)
    with moved_generators() as moved:
        first, _ = learned(name, stream, context)
    assert not moved
    torch.randn(5)
    again, _ = learned(name, stream, context)
    assert accuracies(first) == accuracies(again)
    assert len(first) == len(stream) and all(len(row.accuracies) == len(stream) for row in first)
    assert all(0 <= value <= 1 for row in first for value in row.accuracies) and all(row.seconds > 0 for row in first)


@pytest.mark.parametrize("name", ["naive", "gdumb", "replay_balanced"])
def test_another_seed_gives_other_figures(name, stream, context_for, learned):
    one, other = (learned(name, stream, context_for(stream, seed=seed))[0] for seed in (0, 1))
    assert accuracies(one) != accuracies(other)


@pytest.mark.parametrize("name", [each for each in ALL if each != "icarl"])
def test_weights_that_are_no_finite_numbers_end_the_cell_in_a_line(name, stream, context_for, learned):
    context = context_for(stream, lr=1e12, retraining={"lr": 1e12})
    lower = "--set retraining" if name == "gdumb" else "--set training"
    with pytest.raises(DivergenceError, match=rf"'{name}' diverged in experience [12]: .* {lower}.lr=1e\+11$"):
        learned(name, stream, context)


def test_what_a_library_says_of_ruined_weights_is_told_as_divergence(stream, context_for, learned):
    def ruined(lesson):
        for each in lesson.learner.model.parameters():
            each.data.fill_(torch.nan)

    with pytest.raises(DivergenceError, match="'icarl' diverged in experience 2") as error:
        learned("icarl", stream, context_for(stream), look=ruined)
    assert "between 0 and 1" in str(error.value.__context__)


def test_networks_that_were_retrained_are_looked_at_too(stream, context_for, real_memory):
    context = context_for(stream, memory=real_memory(stream), retraining={"lr": 1e12})
    strategy = registry().create("continual_strategies", "distilled_gdumb")
    with pytest.raises(DivergenceError, match=r"'distilled_gdumb' diverged in experience 1.* retraining.lr=1e\+11$"):
        list(strategy.run(stream, context))
    broken = replace(context.memory[0], images=context.memory[0].images * torch.nan)
    asked = [Retrained(stream, 0, memory, seed) for seed, memory in enumerate((context.memory[0], broken))]
    with pytest.raises(DivergenceError, match=r"^1 of 2 networks of 'distilled_gdumb' diverged in experience 1"):
        strategy.retrain(asked, replace(context, retraining=Retraining(epochs=1, augmentation=None)))


@pytest.mark.parametrize("grows", [True, False])
@pytest.mark.parametrize("name", REAL)
def test_the_buffer_never_holds_more_than_is_allowed(name, grows, stream, context_for, learned):
    context = context_for(stream, grows=grows, images=3 if name == "der_pp" else 2)
    rows, buffers = learned(name, stream, context, look=buffer_of)
    for position, (row, (images, classes, logits)) in enumerate(zip(rows, buffers, strict=True)):
        seen = stream.seen(position)
        held = images[0].numel() * len(images) + len(classes) + sum(4 * each.numel() for each in logits)
        assert (row.bytes, row.images) == (held, len(images))
        assert held <= context.budget.allowed(len(seen))
        assert set(classes) <= set(seen)
        if name != "replay_reservoir":
            assert set(classes) == set(seen)
        if name == "der_pp":
            assert len(logits) == len(images) and logits[0].shape == (10,) and logits[0].dtype == torch.float32


@pytest.mark.parametrize("name", REAL)
def test_what_is_kept_are_images_of_the_experiences_so_far(name, stream, context_for, learned):
    _, buffers = learned(name, stream, context_for(stream, images=3), look=buffer_of)
    for position, (images, classes, _) in enumerate(buffers):
        so_far = stream.experiences[: position + 1]
        known = {
            (picture.numpy().tobytes(), int(label))
            for each in so_far
            for picture, label in zip(each.train.take(torch.arange(len(each.train))), each.train.labels, strict=True)
        }
        assert {(picture.numpy().tobytes(), label) for picture, label in zip(images, classes, strict=True)} <= known


@pytest.mark.parametrize("name", REAL)
def test_a_memory_smaller_than_the_classes_is_refused_before_anything_is_trained(name, stream, context_for):
    context = context_for(stream)
    small = type(context)(**{**vars(context), "budget": Budget(60, 10)})
    strategy = registry().create("continual_strategies", name)
    with pytest.raises(UsageError, match="--images") as error:
        strategy.check(stream, small)
    assert "\n" not in str(error.value)


def test_logits_count_in_what_a_class_takes(stream, context_for):
    context = context_for(stream, images=1)
    registry().create("continual_strategies", "replay_balanced").check(stream, context)
    with pytest.raises(UsageError, match="210"):
        registry().create("continual_strategies", "der_pp").check(stream, context)


@pytest.mark.parametrize("name", FIRST_AS_NAIVE)
def test_the_first_experience_is_learned_as_by_naive(name, stream, context_for, learned):
    first, _ = learned(name, stream, context_for(stream))
    naive, _ = learned("naive", stream, context_for(stream))
    assert first[0].accuracies == naive[0].accuracies


@pytest.mark.parametrize(
    ("name", "options"), [("lwf", {"alpha": 0}), ("ewc", {"strength": 0}), ("distilled_replay", {"weight": 0})]
)
def test_without_its_own_term_a_strategy_is_naive(name, options, stream, context_for, learned):
    context = context_for(stream, epochs=2)
    bare, _ = learned(name, stream, context, **options)
    own, _ = learned(name, stream, context, **({"strength": 10.0} if name == "ewc" else {}))
    naive, _ = learned("naive", stream, context)
    assert accuracies(bare) == accuracies(naive) != accuracies(own)


@pytest.mark.parametrize("name", [each for each in ALL if each != "icarl"])
def test_streams_of_domains_are_learned_with_a_share_for_each(name, domains, context_for, learned):
    context = context_for(domains, images=2)
    rows, buffers = learned(name, domains, context, look=buffer_of)
    assert len(rows) == 2
    if name in REAL:
        assert rows[-1].bytes <= context.budget.allowed(20)
        assert rows[-1].images == len(buffers[-1][1])
        assert rows[-1].images in ((23, 24) if name == "der_pp" else (40,))


def test_icarl_refuses_a_stream_whose_classes_come_again(domains, context_for):
    strategy = registry().create("continual_strategies", "icarl")
    with pytest.raises(UsageError, match="'icarl' learns streams whose experiences bring new classes"):
        strategy.check(domains, context_for(domains))
