"""The loop that Avalanche's strategies run in: the benchmark it makes, what it lends, what it measures."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
import torch
from torch import nn

from limbeck.data import load_dataset
from limbeck.plugins import registry
from limbeck.testing.randomness import moved_generators
from limbeck_applications.continual.bridge.library import avalanche, unheard
from limbeck_applications.continual.bridge.randomness import lent_generators
from limbeck_applications.continual.bridge.strategy import (
    AvalancheStrategy,
    Lesson,
    benchmark_of,
    fresh_network,
    keywords,
    lend_dropout,
    seen_at,
)
from limbeck_applications.continual.memory.budget import Budget
from limbeck_applications.continual.settings import Retraining, StreamTraining
from limbeck_applications.continual.strategies.naive import Naive
from limbeck_applications.continual.strategy import Context

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def stream():
    """Ten digits in three experiences, which do not divide them: 4, 3 and 3."""
    benchmark = registry().create("continual_benchmarks", {"name": "split_digits", "experiences": 3, "uneven": True})
    return benchmark.stream(load_dataset("digits", max_per_class=12), 0)


@pytest.fixture(scope="module")
def context(stream):
    training = StreamTraining(epochs=2, batch_size=8, lr=0.05)
    budget = Budget.of_images(2, stream.spec, 10)
    return Context("convnet-d1-w8-in", training, Retraining(), budget, 0, torch.device("cpu"))


class Watching(Naive):
    """Naive, with a plugin beside it."""

    def __init__(self, plugin):
        super().__init__()
        self.plugin = plugin

    def build(self, *what):
        learner = super().build(*what)
        learner.plugins.insert(0, self.plugin)
        return learner


class Weights:
    """Keeps the weights that an experience begins with, and the classes of its batches."""

    def __init__(self):
        self.first, self.classes, self.updates = [], [], []

    def before_training_exp(self, strategy, **_):
        self.first.append(torch.cat([each.detach().flatten().clone() for each in strategy.model.parameters()]))
        self.classes.append(set())
        self.updates.append(0)

    def before_forward(self, strategy, **_):
        self.classes[-1] |= set(strategy.mb_y.tolist())
        self.updates[-1] += 1


def test_no_class_is_dropped_where_experiences_do_not_divide_them(stream):
    benchmark = benchmark_of(stream)
    trained = [set(each.dataset.targets.uniques) for each in benchmark.train_stream]
    assert [len(each) for each in trained] == [4, 3, 3] and set.union(*trained) == set(range(10))
    assert trained == [set(each.classes) for each in stream.experiences]
    assert sum(len(each.dataset) for each in benchmark.train_stream) == 120


def test_samples_are_the_streams_own_normalised_and_with_a_task_label(stream):
    for part in ("train", "test"):
        made = benchmark_of(stream).streams[part]
        for ours, theirs in zip(stream.experiences, made, strict=True):
            real = getattr(ours, part)
            pixels, labels, tasks = zip(*theirs.dataset, strict=True)
            assert torch.equal(torch.stack(pixels), real.take(torch.arange(len(real))))
            assert list(map(int, labels)) == real.labels.tolist() and set(tasks) == {0}


def test_experiences_say_what_strategies_of_the_library_ask(stream):
    first = benchmark_of(stream).train_stream[0]
    assert first.benchmark.n_classes == 10 and first.benchmark.n_classes_per_exp == [4, 3, 3]
    assert sorted(first.benchmark.classes_order) == list(range(10))
    assert set(first.classes_in_this_experience) == set(stream.experiences[0].classes) and first.task_label == 0


def test_avalanches_own_accuracy_is_ours(stream, context):
    class Asked(Naive):
        def build(self, *what):
            learner = super().build(*what)
            library = avalanche()
            metrics = library.evaluation.metrics.accuracy_metrics(experience=True)
            loggers = [library.logging.TextLogger(io.StringIO())]
            learner.evaluator = library.training.plugins.EvaluationPlugin(metrics, loggers=loggers)
            learner.plugins[[type(p).__name__ for p in learner.plugins].index("EvaluationPlugin")] = learner.evaluator
            return learner

        def row(self, lesson, accuracies, seconds):
            with lent_generators(0), unheard():
                found = lesson.learner.eval(benchmark_of(lesson.stream).test_stream)
            values = [v for k, v in sorted(found.items()) if k.startswith("Top1_Acc_Exp/")]
            assert accuracies == pytest.approx(values, abs=1e-7)
            return super().row(lesson, accuracies, seconds)

    rows = list(Asked().run(stream, context))
    assert len(rows) == 3 and 0 < rows[0].accuracies[0] <= 1


def test_all_strategies_of_a_seed_begin_with_the_same_weights(stream, context):
    watched = Weights()
    list(Watching(watched).run(stream, context))
    fresh = [torch.cat([p.flatten() for p in fresh_network(stream, context).parameters()]) for _ in range(2)]
    assert torch.equal(fresh[0], fresh[1]) and torch.equal(watched.first[0], fresh[0])
    other = fresh_network(stream, replace(context, seed=1)).parameters()
    assert not torch.equal(torch.cat([p.flatten() for p in other]), fresh[0])
    assert not torch.equal(watched.first[1], fresh[0])


def test_an_experience_is_learned_from_its_own_images_alone(stream, context):
    watched = Weights()
    list(Watching(watched).run(stream, context))
    assert watched.classes == [set(each.classes) for each in stream.experiences]
    assert watched.updates == [2 * -(-len(each.train) // 8) for each in stream.experiences]


@pytest.mark.parametrize(("iterations", "updates"), [(1, [1, 1, 1]), (9, [9, 9, 9]), (10**6, [12, 10, 10])])
def test_updates_are_limited_in_every_experience(iterations, updates, stream, context):
    watched = Weights()
    limited = replace(context, training=context.training.model_copy(update={"iterations": iterations}))
    list(Watching(watched).run(stream, limited))
    assert watched.updates == updates


def test_an_online_stream_is_seen_once(stream, context):
    watched = Weights()
    list(Watching(watched).run(replace(stream, online=True), context))
    assert watched.updates == [6, 5, 5]
    assert keywords(replace(stream, online=True), context)["train_epochs"] == 1


def test_what_an_experience_draws_depends_on_the_seed_and_its_number_alone(stream, context):
    class Draws(Weights):
        def before_training_exp(self, strategy, **_):
            self.classes.append(torch.rand(3))

        def before_forward(self, strategy, **_):
            return

    one, other = Draws(), Draws()
    list(Watching(one).run(stream, context))
    with moved_generators() as moved:
        for position, _ in enumerate(Watching(other).run(stream, context)):
            torch.rand(position + 1)
    assert moved == ["torch"]
    assert all(torch.equal(a, b) for a, b in zip(one.classes, other.classes, strict=True))
    assert not torch.equal(one.classes[0], one.classes[1])


def test_a_strategy_of_somebody_else_needs_no_more_than_build(stream, context):
    class Momentless(AvalancheStrategy):
        def build(self, model, optimiser, criterion, stream, context):
            sgd = torch.optim.SGD(model.parameters(), lr=0.05)
            how = keywords(stream, context)
            return avalanche().training.Naive(model=model, optimizer=sgd, criterion=criterion, **how)

    rows = list(Momentless().run(stream, context))
    assert len(rows) == 3 and rows[0].accuracies[0] > 0 and rows[-1].bytes == rows[-1].images == 0


def test_dropout_is_lent_a_generator_for_each_experience(stream, context):
    wide = replace(context, network={"name": "vit-d1-w16", "dropout": 0.5})
    with moved_generators() as moved:
        first, again = (list(Naive().run(stream, wide)) for _ in range(2))
    assert [row.accuracies for row in first] == [row.accuracies for row in again] and not moved
    model = fresh_network(stream, wide)
    images = stream.experiences[0].train.take(torch.arange(4))
    lend_dropout(model, 0)
    one = model.train()(images)
    lend_dropout(model, 1)
    assert not torch.equal(one, model(images))


def test_classes_count_again_in_each_domain(stream):
    permuted = registry().create("continual_benchmarks", {"name": "permuted_mnist", "experiences": 2})
    domains = permuted.stream(load_dataset("digits", max_per_class=3), 0)
    assert [seen_at(stream, t) for t in range(3)] == [4, 7, 10]
    assert [seen_at(domains, t) for t in range(2)] == [10, 20]
    lesson = Lesson(domains, None, None, 1)
    assert lesson.seen == 20


def test_buffers_of_a_network_are_tested_as_they_are(stream, context):
    rows = list(Naive().run(stream, replace(context, network="convnet-d1-w8-bn")))
    assert rows[0].accuracies[0] > 0.3
    model = fresh_network(stream, replace(context, network="convnet-d1-w8-bn"))
    assert any(isinstance(each, nn.BatchNorm2d) for each in model.modules())
