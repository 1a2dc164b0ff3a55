"""What makes each strategy the one it is called, seen from inside its updates."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from limbeck import seeding
from limbeck.errors import UsageError
from limbeck.networks import Dropout
from limbeck.plugins import registry
from limbeck_applications.continual.bridge.batches import MemoryTensors, Rounds
from limbeck_applications.continual.bridge.keeping import Embedding, Herding, even
from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.bridge.strategy import at_once, benchmark_of, fresh_network
from limbeck_applications.continual.strategies.icarl import parted

pytestmark = pytest.mark.usefixtures("one_thread")


class Seen:
    """A plugin that keeps what passes, update by update."""

    def __init__(self):
        self.losses, self.outputs, self.sizes, self.rates, self.starts, self.momenta = [], [], [], [], [], []

    def before_training_exp(self, strategy, **_):
        self.starts.append(flat(strategy.model))
        self.rates.append([])
        self.sizes.append([])
        self.losses.append([])
        self.momenta.append([])

    def before_training_epoch(self, strategy, **_):
        self.momenta[-1].append(len(strategy.optimizer.state))

    def before_backward(self, strategy, **_):
        self.rates[-1].append(strategy.optimizer.param_groups[0]["lr"])
        self.sizes[-1].append(len(strategy.mb_output))
        self.losses[-1].append(float(strategy.loss.detach()))
        self.outputs.append((strategy.mb_output.detach(), strategy.mb_y))


def flat(model):
    return torch.cat([each.detach().flatten().clone() for each in model.parameters()])


@pytest.fixture
def inside(learned):
    """Run a strategy with ``Seen`` as its last plugin, and return what it saw."""

    def run(name, stream, context, **options):
        strategy_class, _ = registry().load("continual_strategies", name)
        build, seen = strategy_class.build, Seen()

        def watched(self, *what):
            learner = build(self, *what)
            place = [type(each).__name__ for each in learner.plugins].index("EvaluationPlugin")
            learner.plugins.insert(place, seen)
            return learner

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(strategy_class, "build", watched)
            rows, _ = learned(name, stream, context, **options)
        seen.rows = rows
        return seen

    return run


@pytest.mark.parametrize("name", ["replay_reservoir", "replay_balanced", "replay_herding"])
def test_replay_mixes_a_batch_of_the_buffer_into_every_update(name, stream, context_for, inside):
    seen = inside(name, stream, context_for(stream, images=3, memory_batch=5))
    assert seen.sizes == [[8 + size] * 3 for size in (0, 6, 6, 5, 5)]


def test_batches_of_a_buffer_are_equal_and_near_what_is_asked():
    assert [even(held, 32) for held in (0, 1, 20, 40, 60, 80, 100, 2000)] == [0, 1, 20, 40, 30, 40, 34, 33]
    assert all(22 <= even(held, 32) <= 48 for held in range(32, 500))
    assert all(held % even(held, 32) in (0, *range(16, 48)) for held in range(1, 150))


@pytest.mark.parametrize("name", ["er_ace", "der_pp"])
@pytest.mark.parametrize("images", [2, 4])
def test_a_buffer_smaller_than_a_batch_is_replayed_all_the_same(name, images, stream, context_for, inside):
    context = context_for(stream, images=images, memory_batch=100)
    seen, naive = inside(name, stream, context), inside("naive", stream, context)
    if name == "der_pp":
        held = [row.images for row in seen.rows]
        assert [sizes[0] for sizes in seen.sizes] == [8, *(8 + each for each in held[:-1])]
    else:
        assert seen.losses[0][0] == pytest.approx(naive.losses[0][0], abs=1)
    assert seen.rows[-1].accuracies != naive.rows[-1].accuracies


def test_er_ace_lets_the_classes_of_a_batch_compete_among_themselves(stream, context_for):
    library = avalanche()
    logits = torch.randn(6, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    new, old = torch.tensor([2, 8, 2]), torch.tensor([1, 4, 9])
    found = library.training.regularization.ACECriterion()(logits[:3], new, logits[3:], old)
    inner = F.cross_entropy(logits[:3][:, [2, 8]], torch.tensor([0, 1, 0]))
    assert float(found) == pytest.approx(float((inner + F.cross_entropy(logits[3:], old)) / 2), abs=1e-12)


def test_der_adds_its_two_terms_to_the_streams(stream, context_for, inside):
    context = context_for(stream, images=3, memory_batch=4, iterations=1)
    plain = inside("der_pp", stream, context, alpha=0, beta=0)
    outputs, labels = plain.outputs[1]
    assert plain.losses[1] == [pytest.approx(float(F.cross_entropy(outputs[:8], labels[:8])), abs=10)]
    both = inside("der_pp", stream, context, alpha=0, beta=0.5)
    one, other = plain.losses[1][0], both.losses[1][0]
    replayed, classes = both.outputs[1][0][:-8], both.outputs[1][1][:-8]
    assert other - one == pytest.approx(0.5 * float(F.cross_entropy(replayed, classes)), abs=1e-5)
    logits = inside("der_pp", stream, context, alpha=0.1, beta=0)
    assert logits.losses[1][0] >= one - 1e-6


def test_joint_goes_back_to_its_first_weights_and_forgets_the_momentum(stream, context_for, inside):
    context = context_for(stream)
    seen, first = inside("joint", stream, context), flat(fresh_network(stream, context))
    assert all(torch.equal(each, first) for each in seen.starts)
    assert [each[0] for each in seen.momenta] == [0] * len(stream)
    assert [len(each) for each in seen.losses] == [3, 6, 9, 12, 15]
    assert [row.images for row in seen.rows] == [24, 48, 72, 96, 120]
    assert seen.rows[-1].bytes == 120 * 65


def test_updates_of_joint_grow_with_the_experiences_where_they_are_limited(stream, context_for, inside):
    context = context_for(stream, epochs=9, iterations=4)
    assert [len(each) for each in inside("joint", stream, context).losses] == [4, 8, 12, 16, 20]
    assert [len(each) for each in inside("naive", stream, context).losses] == [4] * 5


def test_gdumb_begins_again_and_lets_its_rate_fall_once(stream, context_for, inside):
    context = context_for(stream, retraining={"epochs": 5, "batch_size": 8, "lr": 0.02})
    seen, first = inside("gdumb", stream, context), flat(fresh_network(stream, context))
    assert all(torch.equal(each, first) for each in seen.starts)
    assert seen.sizes[0] == [4] * 5 and seen.sizes[1] == [8] * 5 and seen.sizes[2] == [8, 4] * 5
    for rates in seen.rates:
        of_epochs = rates[:: len(rates) // 5]
        assert of_epochs == pytest.approx([0.02, 0.02, 0.02, 0.02, 0.002])
    weights = len(list(fresh_network(stream, context).parameters()))
    assert seen.momenta[0] == [0, weights, weights, weights, 0]


def test_gdumb_has_masks_of_its_own_in_each_experience(stream, context_for, learned):
    context = context_for(stream, network={"name": "vit-d1-w16", "dropout": 0.3})
    _, seeds = learned("gdumb", stream, context, look=lambda lesson: dropout_seeds(lesson.learner.model))
    assert seeds == [{context.seed_of("dropout", position)} for position in range(len(stream))]


def dropout_seeds(model):
    return {each.owner.initial_seed() for each in model.modules() if isinstance(each, Dropout)}


@pytest.mark.parametrize("augmentation", [{"name": "dsa"}, {"name": "cutmix"}])
def test_gdumb_augments_its_memory_by_an_owner_of_its_own(augmentation, stream, context_for, inside):
    plain = inside("gdumb", stream, context_for(stream))
    context = context_for(stream, retraining={"epochs": 4, "augmentation": augmentation})
    one, other = (inside("gdumb", stream, context) for _ in range(2))
    assert one.losses == other.losses and one.losses[0][0] != plain.losses[0][0]
    assert torch.equal(one.outputs[0][1], plain.outputs[0][1])


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_distilled_replay_takes_the_mean_over_both_batches(soft, weight, stream, context_for, inside, real_memory):
    memory = real_memory(stream, 2, soft)
    context = context_for(stream, memory=memory, memory_batch=3, iterations=1)
    seen = inside("distilled_replay", stream, context, weight=weight)
    model = fresh_network(stream, context)
    parts = torch.split(seen.starts[1], [each.numel() for each in model.parameters()])
    for each, part in zip(model.parameters(), parts, strict=True):
        each.data.copy_(part.view_as(each))
    rounds = Rounds(MemoryTensors(memory[0].images, memory[0].labels, None), 3, order(context, 1))
    batch = rounds.next()
    old = F.cross_entropy(model(batch.images), batch.labels)
    outputs, labels = seen.outputs[1]
    new = F.cross_entropy(outputs, labels)
    expected = (8 * new + weight * 3 * old) / (8 + weight * 3)
    assert seen.losses[1] == [pytest.approx(float(expected.detach()), abs=1e-5)]
    assert seen.losses[0] == [pytest.approx(float(F.cross_entropy(*seen.outputs[0])), abs=1e-5)]


def order(context, position):
    return seeding.generator(context.seed_of("replay", position), "order")


def test_rows_of_distilled_replay_say_what_the_memory_holds(stream, context_for, learned, real_memory):
    memory = real_memory(stream, 2)
    rows, _ = learned("distilled_replay", stream, context_for(stream, memory=memory))
    assert [(row.bytes, row.images, row.distilling) for row in rows] == [(n * 65, n, 0.25) for n in (4, 8, 12, 16, 20)]


def test_distilled_replay_augments_when_it_is_asked_to(stream, context_for, inside):
    context = context_for(stream, epochs=2)
    plain = inside("distilled_replay", stream, context)
    moved = inside("distilled_replay", stream, context, augmentation={"name": "dsa"})
    assert plain.losses[0] == moved.losses[0] and plain.losses[1] != moved.losses[1]
    strategy = registry().create("continual_strategies", {"name": "distilled_replay", "augmentation": {"name": "dsx"}})
    with pytest.raises(UsageError, match="dsa"):
        strategy.check(stream, context)


def test_herding_orders_as_the_library_does(stream, context_for):
    context = context_for(stream)
    model = fresh_network(stream, context)
    embedding = Embedding(model, context.build(stream).classifier_name)
    data = benchmark_of(stream).train_stream[0].dataset
    learner = registry().create("continual_strategies", "naive").build(*parts_of(model, stream, context))
    found = Herding(embedding, 7).make_sorted_indices(learner, data)
    images = torch.stack([sample[0] for sample in data])
    theirs = avalanche().training.storage_policy.HerdingSelectionStrategy(model, embedding.classifier)
    with torch.no_grad():
        features = embedding(images)
    layer = model.get_submodule(embedding.classifier)
    assert features.shape == (24, layer.in_features) and torch.equal(layer(features), model(images))
    assert found == theirs.make_sorted_indices_from_features(features.double())[:7]


def parts_of(model, stream, context):
    return model, torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), stream, context


def test_features_are_looked_at_in_eval_mode_and_the_mode_comes_back(stream, context_for):
    context = replace(context_for(stream), network="convnet-d1-w8-bn")
    model = fresh_network(stream, context).train()
    before = {name: each.clone() for name, each in model.named_buffers()}
    data = benchmark_of(stream).train_stream[0].dataset
    learner = registry().create("continual_strategies", "naive").build(*parts_of(model, stream, context))
    Herding(Embedding(model, context.build(stream).classifier_name), 3).make_sorted_indices(learner, data)
    assert model.training and all(torch.equal(each, before[name]) for name, each in model.named_buffers())


def test_icarl_sums_over_the_classes_seen_as_in_its_paper(stream, context_for, inside):
    context = context_for(stream)
    summed, averaged = (inside("icarl", stream, context, over_classes=how) for how in ("sum", "mean"))
    outputs, labels = summed.outputs[0]
    targets = F.one_hot(labels, 10).float()
    each = F.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
    of_seen = each[:, list(stream.seen(0))].sum(1).mean()
    assert summed.losses[0][0] == pytest.approx(float(of_seen), abs=1e-5)
    assert averaged.losses[0][0] == pytest.approx(float(each.mean()), abs=1e-5)


def test_icarl_never_answers_a_class_that_has_not_come(stream, context_for, learned):
    images = torch.cat([each.test.take(torch.arange(len(each.test))) for each in stream.experiences])

    def answers(lesson):
        strategy = registry().create("continual_strategies", "icarl")
        with torch.no_grad():
            return set(strategy.logits(lesson, images).argmax(1).tolist())

    rows, answered = learned("icarl", stream, context_for(stream), look=answers)
    assert all(found <= set(stream.seen(position)) for position, found in enumerate(answered))
    assert all(value == 0 for t, row in enumerate(rows) for value in row.accuracies[t + 1 :])


def test_icarl_keeps_as_many_of_every_class_when_its_share_shrinks(stream, context_for, learned):
    def counts(lesson):
        plugin = next(each for each in lesson.learner.plugins if hasattr(each, "x_memory"))
        return [len(each) for each in plugin.x_memory]

    _, held = learned("icarl", stream, context_for(stream, images=2, grows=False), look=counts)
    assert held == [[10, 10], [5] * 4, [3] * 6, [2] * 8, [2] * 10]


def test_a_network_is_cut_before_its_last_layer_or_refused(stream, context_for):
    context = context_for(stream)
    model, images = fresh_network(stream, context), stream.experiences[0].train.take(torch.arange(3))
    whole = model(images)
    features, classifier = parted(model, context.build(stream).classifier_name, stream, context)
    assert torch.equal(classifier(features(images)), whole)
    scaled = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Softmax(1))
    with pytest.raises(UsageError, match="ends with its last linear layer"):
        parted(scaled, "1", stream, context)


@pytest.mark.parametrize("name", ["lwf", "gdumb", "icarl", "replay_herding"])
def test_networks_with_dropout_can_be_copied_and_learned(name, stream, context_for, learned):
    context = context_for(stream, network={"name": "vit-d1-w16", "dropout": 0.3})
    rows, _ = learned(name, stream, context)
    again, _ = learned(name, stream, context)
    assert [row.accuracies for row in rows] == [row.accuracies for row in again]


def test_few_images_pass_a_processor_together():
    assert at_once(torch.device("cpu")) < at_once(torch.device("cuda"))
