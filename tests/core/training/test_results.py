"""Snapshots, metrics, callbacks, and continuing where a training stopped."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from limbeck.training import Cosine, Epochs, Sharpness, Steps, StepSchedule, TrainData, accuracy, fit


def test_snapshots_of_epochs_include_the_start(network, data, assert_same):
    how = {"start": [0], "data": data, "lr": 0.1, "batch_size": 4}
    result = fit(network, budget=Epochs(3), snapshots="epoch", **how)
    assert [snapshot.step for snapshot in result.snapshots[0]] == [0, 3, 6, 9]
    for epochs, snapshot in enumerate(result.snapshots[0]):
        assert_same(snapshot.state, fit(network, budget=Epochs(epochs), **how).states[0])


def test_snapshots_after_chosen_steps(network, data, assert_same):
    how = {"start": [0, 1], "data": data, "lr": 0.1, "batch_size": 4}
    result = fit(network, budget=Steps(5), snapshots=[2, 5], eval_sets={"it": data}, eval_snapshots=True, **how)
    for position in range(2):
        assert [snapshot.step for snapshot in result.snapshots[position]] == [2, 5]
        assert_same(result.snapshots[position][1].state, result.states[position])
        assert result.snapshots[position][1].metrics == result.metrics[position]
    assert_same(result.snapshots[1][0].state, fit(network, budget=Steps(2), **how).states[1])


def test_metrics_are_fractions_counted_by_class(batch_norm_network, data):
    network = batch_norm_network
    result = fit(network, start=[0], data=data, lr=0.1, budget=Epochs(3), eval_sets={"train": data})
    state, found = result.states[0], result.metrics[0]["train"]
    logits = network({name: value.clone() for name, value in state.items()}, data.images, train=False)
    right = (logits.argmax(1) == data.labels).double()
    assert found.overall == pytest.approx(right.mean().item())
    assert found.per_class == pytest.approx([right[data.labels == c].mean().item() for c in range(3)])
    assert found.loss == pytest.approx(torch.nn.functional.cross_entropy(logits, data.labels).item())


def test_accuracy_depends_on_no_chunk_and_changes_nothing(batch_norm_network, data, assert_same):
    state = batch_norm_network.initial(torch.Generator().manual_seed(0))
    kept = {name: value.clone() for name, value in state.items()}
    whole, chunked = (accuracy(batch_norm_network, state, data, chunk=chunk) for chunk in (512, 3))
    assert whole.overall == chunked.overall
    assert whole.per_class == chunked.per_class
    assert whole.loss == pytest.approx(chunked.loss)
    assert_same(state, kept)


def test_a_class_without_samples_has_no_accuracy(network, data):
    state = network.initial(torch.Generator().manual_seed(0))
    found = accuracy(network, state, TrainData(data.images, data.labels * 0))
    assert found.per_class[0] == found.overall
    assert all(value != value for value in found.per_class[1:])


def test_soft_labels_count_as_their_most_probable_class(network, data):
    state = network.initial(torch.Generator().manual_seed(0))
    soft = TrainData(data.images, torch.nn.functional.one_hot(data.labels, 3).double())
    assert accuracy(network, state, soft) == accuracy(network, state, data)


RUNS = {
    "momentum": {"momentum": 0.9, "schedule": StepSchedule((3,), 0.1, reset_momentum=True)},
    "plain": {},
    "adamw": {"optimiser": "adamw", "schedule": Cosine()},
    "sharp": {"sharpness": 0.05, "clip": 0.5, "order": "shared"},
    "flat": {"sharpness": Sharpness(0.05, gap=0.3, adaptive=True)},
}


@pytest.mark.parametrize("name", RUNS)
def test_resuming_from_any_epoch_gives_the_same_bits(batch_norm_network, data, shift, assert_same, tmp_path, name):
    how = {"start": [0, 1], "data": data, "lr": 0.05, "budget": Epochs(4), "batch_size": 4}
    how |= {"augmentation": shift, **RUNS[name]}
    taken = []
    whole = fit(batch_norm_network, on_epoch=lambda progress: taken.append(progress.checkpoint()), **how)
    assert len(taken) == 8
    for number, checkpoint in enumerate(taken):
        save_file(checkpoint, tmp_path / f"{number}.safetensors")
        again = fit(batch_norm_network, resume_from=load_file(tmp_path / f"{number}.safetensors"), **how)
        for position in range(2):
            assert_same(again.states[position], whole.states[position])
            assert torch.equal(again.losses[position], whole.losses[position])


def test_a_finished_training_goes_on_to_a_longer_budget(network, data, shift, assert_same):
    how = {"start": [0], "data": data, "lr": 0.1, "momentum": 0.9, "batch_size": 4, "augmentation": shift}
    short = fit(network, budget=Steps(5), **how)
    longer = fit(network, budget=Steps(11), resume_from=short, **how)
    whole = fit(network, budget=Steps(11), **how)
    assert_same(longer.states[0], whole.states[0])
    assert torch.equal(longer.losses[0], whole.losses[0])


def test_resuming_inside_an_epoch_keeps_the_rate(network, data, assert_same):
    how = {"start": [0], "data": data, "lr": 0.1, "batch_size": 4}
    inside = fit(network, budget=Steps(4), **how)
    schedule = StepSchedule((1,), 0.1)
    resumed = fit(network, budget=Epochs(2), schedule=schedule, resume_from=inside, **how)
    streams = fit(network, budget=Steps(4), snapshots=[4], **how)
    scaled = fit(network, budget=Steps(6), resume_from=streams, **how | {"lr": 0.1 * 0.1})
    assert_same(resumed.states[0], scaled.states[0])


def test_on_epoch_tells_where_the_training_is(network, data, assert_same):
    seen = []

    def watch(progress):
        state = {name: value.clone() for name, value in progress.state.items()}
        seen.append((progress.network, progress.epoch, progress.step, progress.loss.clone(), state))

    how = {"start": [0, 1], "data": data, "lr": 0.1, "budget": Epochs(2), "batch_size": 4}
    result = fit(network, on_epoch=watch, **how)
    assert [each[:3] for each in seen] == [(0, 1, 3), (0, 2, 6), (1, 1, 3), (1, 2, 6)]
    assert torch.equal(torch.stack([seen[2][3], seen[3][3]]), result.losses[1])
    assert_same(seen[3][4], result.states[1])
