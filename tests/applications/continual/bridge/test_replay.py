import pytest
import torch
import torch.nn.functional as F
from torch import nn

from limbeck.errors import UnknownNameError, UsageError
from limbeck_applications.continual import DistilledReplay
from limbeck_applications.continual.bridge.library import avalanche

pytestmark = pytest.mark.usefixtures("one_thread")
WORLDS = ["new", "task_aware"]
SOFT = {"method": "dsa", "steps": 1, "labels": {"name": "learned"}, "data": {"batch_real": 4}}


def before_update(look):
    """A plugin that looks at a strategy once its gradients are there."""
    plugin = avalanche().training.plugins.SupervisedPlugin
    return type("Watcher", (plugin,), {"before_update": lambda self, strategy, **k: look(strategy)})()


@pytest.mark.parametrize("world", WORLDS)
def test_it_forgets_less_than_nothing_kept(made, naive, metrics, world):
    stream, found = made(world), {}
    for name, plugins in {"naive": [], "replay": [DistilledReplay(60, "random")]}.items():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            strategy = naive(*plugins, epochs=10, evaluator=metrics)
            for experience in stream.train_stream:
                strategy.train(experience)
            result = strategy.eval(stream.test_stream[:1])
        found[name] = next(value for key, value in result.items() if key.startswith("Top1_Acc_Stream"))
    assert found["replay"] > found["naive"] + 0.2


@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_the_loss_is_the_streams_and_the_memorys_by_hand(made, naive, labels):
    options = SOFT if labels == "soft" else {"method": "random"}
    plugin = DistilledReplay(10, batch_size=64, weight=0.25, **options)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    rows = []

    def compare(strategy):
        own = F.cross_entropy(model(strategy.mb_x), strategy.mb_y)
        if len(plugin.memory.pieces if plugin.memory else ()):
            kept = plugin.keeper.kept()
            own = own + 0.25 * F.cross_entropy(model(kept.images), kept.labels)
        rows.append((float(strategy.loss.detach()), float(own.detach())))
        gradient = torch.autograd.grad(own, model[1].weight)[0]
        assert torch.allclose(model[1].weight.grad, gradient, atol=1e-6)

    strategy = naive(plugin, before_update(compare), model=model)
    for experience in made("new").train_stream:
        strategy.train(experience)
    assert plugin.keeper.kept().labels.ndim == (2 if labels == "soft" else 1)
    assert len(rows) == 2 + 2 + 2
    for found, expected in rows:
        assert found == pytest.approx(expected, rel=1e-5)


def test_batches_are_as_large_as_the_streams_unless_asked(made, naive):
    sizes = []
    for batch_size in (None, 5):
        plugin = DistilledReplay(40, "random", batch_size=batch_size)
        strategy = naive(
            plugin, before_update(lambda s, p=plugin: sizes.append(p._rounds and p._rounds.batch_size)), batch=16
        )
        for experience in made("new").train_stream[:2]:
            strategy.train(experience)
    assert sizes == [None] * 3 + [16] * 3 + [None] * 3 + [5] * 3


def test_an_online_stream_goes_on_in_its_round_of_the_memory(made, naive):
    split = avalanche().benchmarks.split_online_stream
    online = split(made("new").train_stream, experience_size=20, access_task_boundaries=True)
    plugin = DistilledReplay(20, "random", batch_size=2)
    seen = []

    def look(strategy):
        if plugin._rounds is not None:
            seen.append(len(plugin._rounds._order))

    strategy = naive(plugin, before_update(look), batch=10)
    for part in online:
        strategy.train(part)
    assert seen == [18, 16, 14, 12, 12, 10, 8, 6]


def test_a_stream_of_another_world_is_refused_before_it_is_learned(made, naive):
    strategy = naive(DistilledReplay(20, "random"))
    strategy.train(made("new").train_stream[0])
    before = [value.clone() for value in strategy.model.parameters()]
    with pytest.raises(UsageError, match="have 3 values here, but 2 before"):
        strategy.train(made("task_aware").train_stream[1])
    assert all(torch.equal(one, other) for one, other in zip(before, strategy.model.parameters(), strict=True))


def test_bad_keywords_are_refused_at_once():
    for options in ({"batch_size": 0}, {"weight": -1.0}, {"weight": float("nan")}):
        with pytest.raises(UsageError, match="give 1 or more, and 0 or more"):
            DistilledReplay(20, **options)
    with pytest.raises(UnknownNameError, match="Did you mean 'dsa'"):
        DistilledReplay(20, augmentation="dsaa")
