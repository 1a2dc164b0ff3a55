"""Experts are those of one training by hand, however often they were interrupted, extended, or trained elsewhere."""

import json
from pathlib import Path

import pytest
import torch

from limbeck.errors import DivergenceError, UsageError
from limbeck.experts import ExpertTraining, missing, train
from limbeck.experts import training as module
from limbeck.experts.records import read_record
from limbeck.plugins import registry
from limbeck.seeding import derive_seed, generator
from limbeck.testing.cases import tiny_data
from limbeck.training import Epochs, Sharpness, Steps, fit

pytestmark = pytest.mark.usefixtures("one_thread")


def same(one, other):
    return (
        all(torch.equal(a, b) for a, b in zip(one.weights, other.weights, strict=True))
        and all(torch.equal(a[name], b[name]) for a, b in zip(one.buffers, other.buffers, strict=True) for name in a)
        and one.losses == other.losses
        and one.checkpoint.keys() == other.checkpoint.keys()
        and all(torch.equal(value, other.checkpoint[name]) for name, value in one.checkpoint.items())
    )


def test_published_settings_are_the_defaults():
    how = ExpertTraining()
    assert (how.epochs, how.lr, how.momentum, how.weight_decay, how.batch_size) == (50, 0.01, 0, 0, 256)
    assert how.augmentation is None and how.flatness is None


def test_an_expert_is_that_of_one_training_by_hand(make, tmp_path):
    settings = {"lr": 0.05, "momentum": 0.5, "weight_decay": 0.01, "sharpness": 0.02}
    training = make(augmentation={"name": "dsa"}, sharpness_gap=0.3, sharpness_adaptive=True, seed=7, **settings)
    found = training.run(training.buffer(tmp_path, None), 4)
    net, real = training.network, tiny_data()
    start = net.initial(generator(7, "experts", 4, "init"))
    by_hand = fit(
        net,
        start=[start],
        data=real,
        budget=Epochs(3),
        batch_size=8,
        augmentation=registry().create("augmentations", "dsa").for_data(real.spec),
        seeds=[derive_seed(7, "experts", 4, "train")],
        snapshots="epoch",
        **{**settings, "sharpness": Sharpness(0.02, 0.3, True)},
    )
    snapshots = by_hand.snapshots[0]
    assert [snapshot.step for snapshot in snapshots] == [0, 4, 8, 12]
    for snapshot, weights, buffers in zip(snapshots, found.weights, found.buffers, strict=True):
        assert torch.equal(net.flatten(snapshot.state), weights)
        assert all(torch.equal(snapshot.state[name], value) for name, value in buffers.items())
    assert found.losses == by_hand.losses[0].tolist()


def test_two_experts_begin_and_end_apart(make, tmp_path):
    training = make()
    buffer = training.buffer(tmp_path, None)
    one, other = (training.run(buffer, expert) for expert in (0, 1))
    assert not torch.equal(one.weights[0], other.weights[0]) and not torch.equal(one.weights[-1], other.weights[-1])
    assert one.losses != other.losses


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_more_epochs_go_on_to_the_bits_of_one_training(make, tmp_path, monkeypatch, momentum):
    settings = {"momentum": momentum, "augmentation": {"name": "dsa"}}
    long = make(epochs=5, **settings)
    whole = long.run(long.buffer(tmp_path / "whole", None), 0)
    for epochs in (1, 2, 5):
        part = make(epochs=epochs, **settings)
        buffer = part.buffer(tmp_path / "parts", None)
        record = part.run(buffer, 0)
        assert len(record.losses) == epochs
    assert buffer.key == long.buffer(tmp_path, None).key
    assert same(read_record(buffer.file(0)), whole)


class Killed(BaseException):
    """Ends a process wherever it is."""


@pytest.mark.parametrize("write", [1, 2, 4])
@pytest.mark.parametrize("done", [False, True])
def test_a_training_killed_while_it_writes_goes_on_to_the_same_bits(make, tmp_path, monkeypatch, write, done):
    training = make(epochs=4, augmentation={"name": "dsa"})
    whole = training.run(training.buffer(tmp_path / "whole", None), 0)
    buffer = training.buffer(tmp_path / "killed", None)
    monkeypatch.setattr(module, "PAUSE", 0)
    calls = []
    replace = type(tmp_path).replace

    def dying(path, target):
        if "expert" in path.name:
            calls.append(path)
            if len(calls) >= write:
                if done and len(calls) == write:
                    replace(path, target)
                raise Killed
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "replace", dying)
        with pytest.raises(Killed):
            training.run(buffer, 0)
    assert buffer.epochs_of(0) == write - (not done)
    news = []
    again = training.run(buffer, 0, news.append)
    assert news == list(range(write + done, 5))
    assert same(again, whole) and same(read_record(buffer.file(0)), whole)


def test_an_interrupted_training_keeps_its_last_epoch(make, tmp_path, monkeypatch):
    training = make(epochs=4)
    buffer = training.buffer(tmp_path, None)
    monkeypatch.setattr(module, "PAUSE", 10**9)  # after the first epoch, nothing is written on the way

    def stop(epoch):
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.run(buffer, 0, stop)
    assert buffer.epochs_of(0) == 3


def test_what_is_kept_is_not_trained_again(make, serial, tmp_path, monkeypatch):
    training = make()
    buffer = training.buffer(None, tmp_path)
    told = []
    train(training, buffer, 2, serial, told.append)
    assert told == [0, 1] and missing(buffer, 2, 3) == []
    rows, file = buffer.head(0).rows, buffer.file(1).read_bytes()
    train(training, buffer, 3, serial, told.append)
    assert told == [0, 1, 2]
    longer = make(epochs=4)
    train(longer, longer.buffer(None, tmp_path), 1, serial, told.append)
    assert told == [0, 1, 2, 0] and missing(buffer, 3, 4) == [1, 2]
    assert buffer.file(1).read_bytes() == file
    assert buffer.head(0).rows[:4] == rows and buffer.epochs_of(0) == 4


def test_a_damaged_expert_is_trained_anew_to_the_same_bits(make, serial, tmp_path):
    training = make()
    buffer = training.buffer(None, tmp_path)
    train(training, buffer, 1, serial)
    good = read_record(buffer.file(0))
    buffer.file(0).write_bytes(buffer.file(0).read_bytes()[:-1])
    assert missing(buffer, 1, 3) == [0]
    train(training, buffer, 1, serial)
    assert same(read_record(buffer.file(0)), good)


def test_a_job_says_all_that_an_expert_needs(make, tmp_path, monkeypatch):
    training = make(augmentation={"name": "dsa"}, sharpness=0.01, seed=3, chunk=5)
    monkeypatch.chdir(tmp_path)
    buffer = training.buffer(Path("kept"), None)
    buffer.save()
    job = module._job(training, buffer, 2)
    monkeypatch.chdir("/")
    told = module.train_expert(json.loads(json.dumps(job.config)), job.tensors)
    monkeypatch.chdir(tmp_path)
    found = read_record(buffer.file(2))
    assert same(found, training.run(training.buffer(tmp_path / "here", None), 2))
    assert told == {"loss": found.losses[-1], "seconds": found.seconds}


@pytest.mark.slow
def test_workers_make_the_experts_that_this_process_makes(make, tmp_path):
    training = make(augmentation={"name": "dsa"})
    buffer = training.buffer(None, tmp_path)
    train(training, buffer, 2, registry().create("executors", {"name": "processes", "workers": 2}))
    for expert in (0, 1):
        here = training.run(training.buffer(tmp_path / "here", None), expert)
        assert same(read_record(buffer.file(expert)), here)


@pytest.mark.parametrize(
    "change",
    [
        {"lr": 0.02},
        {"momentum": 0.5},
        {"weight_decay": 0.1},
        {"batch_size": 4},
        {"images": 12},
        {"seed": 1},
        {"augmentation": {"name": "dsa"}},
        {"sharpness": 0.01},
        {"net": "convnet-d1-w6-bn"},
        {"real": tiny_data(9)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_decides_an_expert_makes_it_another_buffer(make, change, tmp_path):
    assert make(**change).buffer(None, tmp_path).key != make().buffer(None, tmp_path).key


@pytest.mark.parametrize("same_buffer", [{"epochs": 9}, {"images": 30}, {"images": 10**6}, {"chunk": 3}])
def test_what_does_not_decide_an_expert_leaves_it_in_its_buffer(make, same_buffer, tmp_path):
    assert make(**same_buffer).buffer(None, tmp_path).key == make().buffer(None, tmp_path).key


def test_they_learn_from_as_many_images_as_asked(make, tmp_path):
    training = make(images=12)
    assert training.num_images == 12
    data, whole = training._images(), tiny_data()
    apart = (data.images[:, None].float() - whole.images[None].float()).flatten(2).abs().sum(2)
    assert len(set(apart.argmin(1).tolist())) == 12 and apart.min(1).values.max() == 0
    assert make(images=10**6).num_images == 30 and make(images=10**6)._images() is not data


def test_the_cost_counts_the_steps_that_a_training_takes(make, monkeypatch):
    counted, now = [], [0.0]
    training = make(images=20, batch_size=8, epochs=5)  # 3 updates an epoch

    def fake(self, expert, budget, **_):
        counted.append(budget)
        now[0] += budget.number * 2.0
        return type("Result", (), {"states": [training.start(0)]})

    monkeypatch.setattr(module.Training, "fit", fake)
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    assert training.seconds(10) == pytest.approx(2.0 * 3 * 10)
    assert counted == [Steps(1), Steps(2)]


def test_bytes_foretell_the_size_of_the_files(make, tmp_path):
    training = make(net="convnet-d2-w32-in", epochs=3)
    buffer = training.buffer(tmp_path, None)
    training.run(buffer, 0)
    assert training.bytes(1) == pytest.approx(buffer.file(0).stat().st_size, rel=0.25)


def test_a_diverging_expert_ends_in_one_line_and_keeps_what_was_good(make, tmp_path, serial):
    training = make(lr=1e12, net="convnet-d1-w4-nonorm")
    buffer = training.buffer(tmp_path, None)
    with pytest.raises(DivergenceError, match=r"diverged in epoch \d of expert 0, at lr 1e\+12.*source.lr=1e\+11"):
        train(training, buffer, 1, serial)
    with pytest.raises(UsageError, match="unknown augmentation 'dsaa'"):
        make(augmentation={"name": "dsaa"}).run(buffer, 0)


def test_sharpness_settings_mean_nothing_without_a_radius():
    with pytest.raises(ValueError, match="mean nothing without a radius"):
        ExpertTraining(sharpness_gap=0.3)
