"""NAPA-VQ in Avalanche's loop: its loss term by term, what moves and what may not, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from limbeck.data import DataSpec, RealData
from limbeck.errors import UsageError
from limbeck.plugins import registry
from limbeck.testing.randomness import moved_generators
from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.strategies.napa_vq import Method
from limbeck_applications.continual.strategies.napa_vq_parts import (
    distance_loss,
    distances,
    distillation_loss,
    falls,
    neighbour_loss,
    rotated,
    rotated_rows,
)
from limbeck_applications.continual.stream import Experience, Stream

pytestmark = pytest.mark.usefixtures("one_thread")
NAME = "napa_vq"


@pytest.fixture(scope="module", autouse=True)
def library():
    """Import Avalanche once, outside the tests' own time."""
    return avalanche()


@pytest.fixture
def short(stream):
    """Two experiences of the stream's first four digits, which it numbers anew."""
    classes = [c for each in stream.experiences[:2] for c in each.classes]
    names = tuple(str(c) for c in classes)
    spec = replace(stream.spec, num_classes=4, class_names=names)

    def renamed(real):
        labels = torch.tensor([classes.index(c) for c in real.labels.tolist()])
        return RealData(real.images, labels, spec)

    parts = stream.experiences[:2]
    return Stream(
        spec, tuple(Experience((2 * t, 2 * t + 1), renamed(e.train), renamed(e.test)) for t, e in enumerate(parts))
    )


def strategy(**options):
    return registry().create("continual_strategies", {"name": NAME, **options})


def taught(stream, context, watch=None, **options):
    """Let it learn a stream; ``watch(method, position)`` is asked before the next experience begins."""
    made, seen = strategy(**options), []
    made.check(stream, context)
    logits = made.logits

    def looked(lesson, images):
        seen.append((lesson.position, lesson.learner.method))
        return logits(lesson, images)

    made.logits = looked
    rows = []
    for row in made.run(stream, context):
        rows.append(row)
        if watch is not None:
            watch(seen[-1][1], len(rows) - 1)
    return rows, seen[-1][1]


def test_a_seed_gives_the_same_bits_and_no_generator_moves(short, context_for):
    with moved_generators() as moved:
        first, method = taught(short, context_for(short))
    assert not moved
    torch.randn(3)
    again, other = taught(short, context_for(short))
    assert [row.accuracies for row in first] == [row.accuracies for row in again]
    assert torch.equal(method.codes.vectors, other.codes.vectors)
    _, third = taught(short, context_for(short, seed=1))
    assert not torch.equal(method.codes.vectors, third.codes.vectors)


def test_vectors_of_old_classes_and_their_prototypes_keep_every_bit(short, context_for):
    found = []
    taught(
        short,
        context_for(short),
        watch=lambda method, _: found.append((method.codes.vectors.detach().clone(), method.codes.prototypes.clone())),
    )
    (vectors, prototypes), (later_vectors, later_prototypes) = found
    assert torch.equal(later_vectors[:8], vectors) and torch.equal(later_prototypes[:8], prototypes)
    assert len(later_vectors) == len(later_prototypes) == 16
    assert (later_vectors[8:] != later_prototypes[8:]).any()


def test_what_is_kept_are_vectors_prototypes_and_edges(short, context_for):
    rows, method = taught(short, context_for(short))
    size = method.codes.vectors.shape[1]
    assert [row.bytes for row in rows] == [4 * (2 * m * size + m * m) for m in (8, 16)]
    assert [row.images for row in rows] == [0, 0] and all(row.seconds > 0 for row in rows)
    assert all(value == 0 for value in rows[0].accuracies[1:])


def test_prototypes_are_mean_features_of_all_turned_images(short, context_for):
    _, method = taught(short, context_for(short))
    real = short.experiences[1].train
    model = method.model.eval()
    with torch.no_grad():
        for c in (2, 3):
            turned = rotated(real.take((real.labels == c).nonzero().squeeze(1)))
            for turn in range(4):
                by_hand = model(turned[turn::4]).double().mean(0).float()
                torch.testing.assert_close(method.codes.prototypes[method.codes.rows[c] + turn], by_hand)


def test_the_loss_is_the_sum_of_its_terms(short, context_for):
    for options in ({}, {"neighbourhood": False}, {"prototypes": False}, {"prototype_weight": 2, "temperature": 0.5}):
        _, method = taught(short, context_for(short), **options)
        codes, how = method.codes, method.options
        codes.graph.edges = torch.eye(16)
        features = torch.randn(12, codes.vectors.shape[1], generator=torch.Generator().manual_seed(0))
        rows = rotated_rows(torch.tensor([8, 12, 12]))
        method.target = torch.zeros_like(features)
        generator, graph = method.generator.get_state(), codes.graph.edges
        found = method.loss(features, rows)
        method.generator.set_state(generator)
        codes.graph.edges = graph

        def terms(features, rows, codes=codes, how=how):
            apart = distances(features, codes.vectors)
            codes.graph.update(apart)
            near = neighbour_loss(apart, rows, codes.graph.near(rows), 1e-3)
            codes.graph.settle()
            return distance_loss(apart, rows, how.temperature), near * how.neighbourhood

        cross_entropy, near = terms(features, rows)
        expected = cross_entropy + near + 10 * distillation_loss(features, method.target)
        if how.prototypes:
            cross_entropy, near = terms(*codes.imagined(3, method.generator))
            expected = expected + how.prototype_weight * cross_entropy + near
        torch.testing.assert_close(found.detach(), expected.detach())


def test_the_first_experience_has_neither_prototypes_nor_distillation(short, context_for):
    one = replace(
        short, spec=replace(short.spec, num_classes=2, class_names=("a", "b")), experiences=short.experiences[:1]
    )
    one = Stream(one.spec, tuple(replace(e, train=e.train.seen_as(one.spec)) for e in one.experiences))
    full, method = taught(one, context_for(one))
    without, other = taught(one, context_for(one), prototypes=False, distillation_weight=0)
    assert full[0].accuracies == without[0].accuracies
    assert torch.equal(method.codes.vectors, other.codes.vectors)


def test_rates_fall_after_45_and_20_of_100_epochs_as_published():
    epochs, updates = 100, 391
    found = [falls(epoch * updates, epochs * updates, 0.45) for epoch in range(epochs)]
    assert found == [epoch // 45 for epoch in range(epochs)]
    assert [falls(e * 7, 700, 0.2) for e in range(100)] == [e // 20 for e in range(100)]
    assert [falls(done, 10, 0.45) for done in (0, 4, 5, 8, 9)] == [0, 0, 1, 1, 2]


def test_rates_are_those_of_the_paper_and_a_tenth_of_them_later(short, context_for):
    rates = []

    class Watched(Method):
        def after_update(self, strategy, **_):
            super().after_update(strategy)
            groups = (strategy.optimizer.param_groups[0], self.vectors.param_groups[0])
            rates.append((self.position, *(group["lr"] for group in groups)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("limbeck_applications.continual.strategies.napa_vq.Method", Watched)
        taught(short, context_for(short), falls_every=2, vector_falls_every=2)
    first, later = ({rate[1:] for rate in rates if rate[0] == t} for t in (0, 1))
    assert first == {(1e-3, 5.0)} and len(later) == 1
    assert later.pop() == (pytest.approx(1e-4), pytest.approx(0.5))


def test_vectors_begin_at_their_features_or_as_in_the_paper(short, context_for):
    context = context_for(short, lr=1e-9)
    still = {"vector_lr": 1e-12, "lr": 1e-12}
    _, method = taught(short, context, **still)
    torch.testing.assert_close(method.codes.vectors.detach(), method.codes.prototypes)
    _, drawn = taught(short, context, start="normal", **still)
    assert 0.8 < float(drawn.codes.vectors.detach().std()) < 1.2


def test_features_are_divided_by_the_deviation_they_begin_with_for_good(short, context_for):
    still = {"vector_lr": 1e-12, "lr": 1e-12}
    _, method = taught(short, context_for(short), **still)
    _, plain = taught(short, context_for(short), standardise=False, **still)
    images = rotated(short.experiences[0].train.take(torch.arange(len(short.experiences[0].train))))
    with torch.no_grad():
        found, before = method.model.eval()(images), plain.model.eval()(images)
    assert float(found.std(0).mean()) == pytest.approx(1, rel=1e-4)
    torch.testing.assert_close(found, before / before.std(0).mean(), rtol=1e-4, atol=1e-4)
    assert plain.model[-1].factor == 1 and torch.equal(method.old[-1].factor, method.model[-1].factor)


def test_an_experience_ends_after_the_updates_that_were_asked_for(short, context_for):
    counts = []

    class Counted(Method):
        def after_update(self, strategy, **_):
            counts.append(self.position)
            super().after_update(strategy)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("limbeck_applications.continual.strategies.napa_vq.Method", Counted)
        taught(short, context_for(short, iterations=2), epochs=5)
        assert counts == [0, 0, 1, 1]
        counts.clear()
        taught(short, context_for(short), epochs=2, batch_size=24)
    assert counts == [0, 0, 1, 1]


def test_another_network_makes_the_features_when_asked(short, context_for):
    _, method = taught(short, context_for(short), network="convnet-d1-w4-in")
    assert method.codes.vectors.shape[1] == 4 * 4 * 4
    assert not any("classifier" in name for name, _ in method.model.named_parameters())


def test_streams_it_cannot_learn_are_refused_in_one_line(short, domains, context_for):
    with pytest.raises(UsageError, match="classes of this one come again"):
        strategy().check(domains, context_for(domains))
    flat = DataSpec("flat", (1, 4, 6), 1, ("a",), (0.5,), (0.25,), mirror=True)
    real = RealData(torch.zeros(2, 1, 4, 6), torch.zeros(2, dtype=torch.int64), flat)
    stream = Stream(flat, (Experience((0,), real, real),))
    with pytest.raises(UsageError, match="4x6 and not square") as caught:
        strategy().check(stream, context_for(short))
    assert "\n" not in str(caught.value)


def test_the_whole_method_is_above_itself_without_neighbours_and_without_prototypes(make_stream, context_for):
    """Half of the digits first and then one at a time, as the paper splits its sets: mean accuracy over all steps."""
    stream = make_stream(40, experiences=6, first=5)
    sizes = [len(each.test) for each in stream.experiences]
    found = []
    context = context_for(stream, network="convnet-d2-w16-in", batch_size=32, epochs=10)
    for options in ({}, {"neighbourhood": False}, {"prototypes": False}):
        rows, _ = taught(stream, context, standardise=False, **options)
        seen = [
            sum(size * value for size, value in zip(sizes[: t + 1], row.accuracies, strict=False)) / sum(sizes[: t + 1])
            for t, row in enumerate(rows)
        ]
        found.append(sum(seen) / len(seen))
    whole, no_neighbours, no_prototypes = found
    assert whole > 0.65
    assert whole > no_neighbours + 0.04 and whole > no_prototypes + 0.04
