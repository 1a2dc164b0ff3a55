import pytest
import torch
from torch import nn

from limbeck.errors import UnknownNameError, UsageError
from limbeck.testing.randomness import moved_generators
from limbeck_applications.continual import DistilledGDumb
from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.bridge.losses import memory_loss

pytestmark = pytest.mark.usefixtures("one_thread")
WORLDS = ["new", "task_aware"]


def watcher(**hooks):
    """A plugin that looks at a strategy after the others have spoken."""
    plugin = avalanche().training.plugins.SupervisedPlugin
    return type("Watcher", (plugin,), {name: (lambda self, s, f=f, **k: f(s)) for name, f in hooks.items()})()


def copied(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


@pytest.mark.parametrize("world", WORLDS)
def test_it_learns_all_classes_in_a_plain_script(made, naive, metrics, world):
    strategy = naive(DistilledGDumb(100, "random"), epochs=40, evaluator=metrics)
    stream = made(world)
    for experience in stream.train_stream:
        strategy.train(experience)
        found = strategy.eval(stream.test_stream)
    accuracy = next(value for name, value in found.items() if name.startswith("Top1_Acc_Stream"))
    assert accuracy > 0.5
    assert any(name.startswith("StreamForgetting") for name in found)


@pytest.mark.parametrize("world", WORLDS)
def test_each_experience_begins_at_the_same_weights_statistics_and_optimiser(made, naive, world):
    starts, states = [], []

    def look(strategy):
        starts.append(copied(strategy.model))
        states.append(dict(strategy.optimizer.state))

    strategy = naive(DistilledGDumb(20, "random"), watcher(before_training_exp=look), epochs=2)
    first, model = copied(strategy.model), strategy.model
    for experience in made(world).train_stream:
        strategy.train(experience)
        assert any(not torch.equal(first[name], value) for name, value in model.state_dict().items())
    assert strategy.model is model
    assert states == [{}, {}, {}]
    for start in starts:
        assert start.keys() == first.keys()
        assert all(torch.equal(start[name], first[name]) for name in first)
    assert "2.running_mean" in first


@pytest.mark.parametrize("world", WORLDS)
def test_it_trains_on_the_memory_alone(made, naive, world):
    batches = []
    plugin = DistilledGDumb(30, "dm", steps=1, augmentation=None)
    strategy = naive(plugin, watcher(before_forward=lambda s: batches.append(s.mbatch)), epochs=2)
    for experience in made(world).train_stream:
        batches.clear()
        strategy.train(experience)
        kept = plugin.keeper.kept()
        rows = [(kept.images == image).flatten(1).all(1).nonzero().item() for batch in batches for image in batch[0]]
        assert sorted(rows) == sorted(2 * list(range(len(kept.images))))
        assert torch.cat([batch[1] for batch in batches]).tolist() == kept.labels[rows].tolist()


def test_batches_are_augmented_by_a_generator_of_its_own(made, naive):
    seen = []
    for augmentation in ("dsa", "dsa", None):
        batches = []
        plugin = DistilledGDumb(20, "random", augmentation=augmentation)
        strategy = naive(plugin, watcher(before_forward=lambda s, b=batches: b.append(s.mb_x)), epochs=2)
        with moved_generators() as moved, torch.random.fork_rng():
            torch.manual_seed(len(seen))
            strategy.train(made("new").train_stream[0])
        assert moved == [] or "torch" not in moved
        seen.append(torch.cat(batches))
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])


def test_soft_labels_have_a_loss_of_their_own(made, naive):
    plugin = DistilledGDumb(20, "dsa", steps=1, labels={"name": "learned"}, data={"batch_real": 4}, augmentation=None)
    losses, expected = [], []

    def compare(strategy):
        losses.append(float(strategy.loss.detach()))
        expected.append(float(memory_loss(strategy.mb_output.detach(), strategy.dataloader.current.labels)))

    strategy = naive(plugin, watcher(before_backward=compare), batch=8)
    own = strategy._criterion
    strategy.train(made("new").train_stream[0])
    assert plugin.keeper.kept().labels.shape == (20, 10)
    assert losses == expected
    assert strategy._criterion is own


def test_a_training_that_was_cut_off_leaves_the_criterion_to_the_next(made, naive):
    class Stopped(Exception):
        pass

    def stop(strategy):
        raise Stopped

    strategy = naive(DistilledGDumb(20, "random"), watcher(before_backward=stop))
    own, stream = strategy._criterion, made("new").train_stream
    with pytest.raises(Stopped):
        strategy.train(stream[0])
    strategy.plugins = [plugin for plugin in strategy.plugins if type(plugin).__name__ != "Watcher"]
    strategy.train(stream[1])
    assert strategy._criterion is own


@pytest.mark.parametrize("world", WORLDS)
def test_a_growing_head_and_tests_in_between_work(made, naive, metrics, world):
    class Growing(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = avalanche().models.IncrementalClassifier(64, 2, masking=False)

        def forward(self, images):
            return self.head(images.flatten(1))

    stream, model = made(world), Growing()
    strategy = naive(DistilledGDumb(50, "random"), model=model, epochs=4, evaluator=metrics, eval_every=2)
    for experience in stream.train_stream:
        strategy.train(experience, eval_streams=[stream.test_stream])
    assert model.head.classifier.out_features == 10
    found = strategy.eval(stream.test_stream)
    assert next(value for name, value in found.items() if name.startswith("Top1_Acc_Stream")) > 0.3


def test_many_heads_learn_their_own_part_of_the_memory(made, naive, metrics):
    stream = made("task_aware", task_labels=True)
    base = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    strategy = naive(
        DistilledGDumb(100, "random"),
        model=avalanche().models.as_multitask(base, "3"),
        epochs=30,
        evaluator=metrics,
    )
    for experience in stream.train_stream:
        strategy.train(experience)
    found = strategy.eval(stream.test_stream)
    assert min(value for name, value in found.items() if name.startswith("Top1_Acc_Exp")) > 0.6


def test_an_online_stream_is_refused(made, naive):
    online = avalanche().benchmarks.split_online_stream(
        made("new").train_stream, experience_size=20, access_task_boundaries=True
    )
    with pytest.raises(UsageError, match="an online stream arrives in parts"):
        naive(DistilledGDumb(20, "random")).train(next(iter(online)))


def test_bad_keywords_are_refused_at_once():
    with pytest.raises(UnknownNameError, match="Did you mean 'dsa'"):
        DistilledGDumb(20, augmentation="dsaa")
    with pytest.raises(UsageError, match=r"DistilledGDumb\(200\) for images"):
        DistilledGDumb()
