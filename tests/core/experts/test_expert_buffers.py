"""Runs follow the experts they ask for, whatever else a buffer holds, and are refused in one line without them."""

import json
import re
import sys

import pytest
import torch

from limbeck.data import DataSpec, RealData
from limbeck.errors import ArtifactError, UsageError
from limbeck.experts import Buffer, ExpertOptions, ExpertTrajectories, Training, buffers_in, find, train
from limbeck.experts import training as module
from limbeck.experts.buffer import folder_of
from limbeck.experts.check import check
from limbeck.experts.records import read_record
from limbeck.files import folder_lock
from limbeck.testing.cases import SPEC, tiny_data

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Return a cache with a buffer of 2 experts of 3 epochs, which nobody changes."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def filled(make, serial, kept):
    training = make()
    buffer = training.buffer(None, kept)
    train(training, buffer, 2, serial)
    return training, buffer


def asked(**options):
    return ExpertOptions.model_validate({"epochs": 3, "batch_size": 8, "experts": 2, **options})


def refused(training, options, cache, error=UsageError, **more):
    with pytest.raises(error) as caught:
        find(training, options, cache, **more)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_run_finds_the_experts_and_reads_their_weights(filled, kept, make):
    training, buffer = filled
    found = find(make(), asked(), kept)
    assert (found.experts, found.epochs) == (2, 3)
    for expert in (0, 1):
        record = read_record(buffer.file(expert))
        for epoch in range(4):
            weights = found.weights(expert, epoch)
            assert torch.equal(weights, record.weights[epoch])
            state = found.state(expert, epoch)
            assert torch.equal(training.network.flatten(state), weights)
            assert all(torch.equal(state[name], value) for name, value in record.buffers[epoch].items())
            assert state.keys() == {*training.network.parameter_names, *training.network.buffer_names}
    heads = [buffer.head(expert) for expert in (0, 1)]
    assert found.spent() == {f"expert {head.expert} of {buffer.key}": head.seconds for head in heads}


def test_a_run_sees_no_more_than_it_asked_for(filled, kept):
    training, buffer = filled
    few = find(training, asked(experts=1, epochs=2), kept)
    assert (few.experts, few.epochs) == (1, 2)
    for place in ((1, 0), (0, 3), (-1, 0), (0, -1)):
        with pytest.raises(IndexError):
            few.weights(*place)
    head = buffer.head(0)
    assert few.spent() == {f"expert 0 of {buffer.key}": pytest.approx(head.seconds * 2 / 3)}


def test_what_is_read_is_nobodys_to_change(filled, kept):
    found = find(filled[0], asked(), kept)
    before = found.weights(0, 1).clone()
    for value in found.state(0, 1).values():
        value.zero_()
    assert torch.equal(found.weights(0, 1), before)


def test_one_epoch_is_read_without_the_others(filled, kept, monkeypatch):
    opened = []
    real = sys.modules["limbeck.experts.buffer"].read_epoch
    monkeypatch.setattr(
        "limbeck.experts.buffer.read_epoch", lambda path, epoch: opened.append(epoch) or real(path, epoch)
    )
    found = find(filled[0], asked(), kept)
    assert opened == []
    found.weights(1, 2)
    assert opened == [2]


def test_where_there_is_none_one_line_says_what_to_type_and_what_it_costs(make, tmp_path, monkeypatch):
    monkeypatch.setattr(module.Training, "seconds", lambda self, epochs: 100.0 * epochs)
    text = refused(make(), asked(experts=20, epochs=50), tmp_path, command="limbeck experts train --method mtt")
    assert text.startswith("there are not yet 20 experts x 50 epochs of convnet-d1-w4-bn on tiny.")
    assert "Train them: limbeck experts train --method mtt (about 28 h on cpu if one at a time; " in text
    assert re.search(r"; \d+\.\d [KM]iB on disk\)", text) and "--set source.train=true" in text
    assert not (tmp_path / "experts").exists()


def test_the_nearest_buffer_is_named_with_what_differs(filled, kept, make):
    text = refused(make(lr=0.03), asked(lr=0.03), kept)
    assert f"(those of --set source.path={filled[1].folder} have source.lr 0.01, not 0.03)" in text
    assert "those of" not in refused(make(net="convnet-d1-w6-bn"), asked(), kept)
    assert "those of" not in refused(make(real=tiny_data(9)), asked(), kept)


@pytest.mark.parametrize(
    ("options", "there", "fewer"),
    [
        (
            {"experts": 5},
            "holds 2 of 5 experts x 3 epochs of convnet-d1-w4-bn on tiny, and 6 of 15 epochs",
            "experts=2",
        ),
        ({"epochs": 9}, "holds 0 of 2 experts x 9 epochs of convnet-d1-w4-bn on tiny, and 6 of 18 epochs", None),
    ],
)
def test_too_few_experts_or_epochs_are_counted(filled, kept, options, there, fewer, monkeypatch):
    counted = []
    monkeypatch.setattr(module.Training, "seconds", lambda self, epochs: counted.append(epochs) or 1.0)
    text = refused(filled[0], asked(**options), kept)
    assert there in text
    assert counted == [9 if "experts" in options else 12]
    assert ("Or ask for what is there: --set source.experts=2" in text) == (fewer is not None)


def test_missing_experts_are_trained_where_that_is_asked_for(filled, kept, make, serial, tmp_path):
    news = []
    training = make()
    buffer = training.buffer(None, tmp_path)
    train(training, buffer, 1, serial)
    found = find(make(), asked(train=True), tmp_path, on_epoch=lambda *told: news.append(told))
    assert news == [(4, 6), (5, 6), (6, 6), (6, 6)]
    there = find(filled[0], asked(), kept)
    assert all(torch.equal(found.weights(e, t), there.weights(e, t)) for e in (0, 1) for t in range(4))


def test_without_a_cache_experts_live_as_long_as_their_run(make, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = find(make(), asked(train=True), None)
    folder = found.buffer.folder
    assert folder.is_relative_to(tmp_path) and found.weights(1, 3).isfinite().all()
    del found
    assert not folder.exists()
    assert "neither $LIMBECK_CACHE nor ~/.cache/limbeck can be written" in refused(make(), asked(), None)


def test_a_folder_is_followed_whatever_trained_it(filled, make, tmp_path):
    folder = filled[1].folder
    found = find(make(lr=9.0), asked(lr=9.0, path=folder), tmp_path)
    assert torch.equal(found.weights(1, 3), read_record(filled[1].file(1)).weights[3])
    assert "holds no experts: there is no buffer.json" in refused(make(), asked(path=tmp_path), None)
    trained = find(make(), asked(path=tmp_path / "own", train=True), None)
    assert trained.buffer.folder == tmp_path / "own" and trained.buffer.key == filled[1].key


def test_a_folder_of_other_experts_is_not_added_to(filled, make, serial, tmp_path):
    folder = filled[1].folder
    text = refused(make(lr=9.0), asked(lr=9.0, path=folder, train=True, experts=3), None)
    assert f"{folder} holds experts of another kind: source.lr is 0.01 there, and 9.0 was asked" in text
    with pytest.raises(UsageError, match=r"source\.lr is 0\.01 there"):
        train(make(lr=9.0), make(lr=9.0).buffer(folder, None), 3, serial)
    assert filled[1].experts() == [0, 1]


def data(name="tiny", std=0.25, whitened=False):
    spec = DataSpec(name, SPEC.shape, 3, SPEC.class_names, SPEC.mean, (std,) * 3, mirror=True)
    real = tiny_data()
    found = RealData(real.images, real.labels, spec)
    if not whitened:
        return found
    from limbeck.config import View
    from limbeck.data.dataset import DataSet
    from limbeck.data.views import view_of

    return view_of(DataSet(spec, found, found), View(preprocessing="zca"), 0).train


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"net": "convnet-d1-w6-bn"},
            "experts of network 'convnet-d1-w4-bn' (315 weights), but this run looks through",
        ),
        ({"net": "convnet-d1-w4-in"}, "looks through 'convnet-d1-w4-in' (315). Type --network convnet-d1-w4-bn"),
        ({"real": data("other")}, "data set 'tiny', but this run has 'other'. Type --data tiny"),
        ({"real": data(whitened=True)}, "saw images by preprocessing 'standard', but this run has 'zca'"),
        ({"real": data(std=0.5)}, "learned from 30 images of 'tiny', but not the 30 of this run"),
        ({"real": tiny_data(9)}, "learned from 30 images of 'tiny', but not the 27 of this run"),
    ],
)
def test_experts_of_another_network_or_other_images_are_refused(filled, make, change, said):
    text = refused(make(**change), asked(path=filled[1].folder), None)
    assert said in text and "--set source.path=FOLDER" in text


def test_damaged_files_take_one_line(make, serial, tmp_path):
    training = make()
    buffer = training.buffer(None, tmp_path)
    train(training, buffer, 2, serial)
    whole = buffer.file(1).read_bytes()
    buffer.file(1).write_bytes(whole[:-4])
    assert f"{buffer.file(1)} is damaged" in refused(make(), asked(), tmp_path, ArtifactError)
    buffer.file(1).write_bytes(buffer.file(0).read_bytes())
    assert "it is expert 0 of buffer" in refused(make(), asked(), tmp_path, ArtifactError)
    buffer.file(1).write_bytes(whole)
    found = find(make(), asked(), tmp_path)
    about = buffer.folder / "buffer.json"
    for broken in (
        "",
        "{",
        "[]",
        "{}",
        about.read_text().replace("0.01", "0.02"),
        json.dumps({"format": 1, "made_of": 1}),
    ):
        text = about.read_text()
        about.write_text(broken)
        assert "buffer.json is damaged" in refused(make(), asked(path=buffer.folder), None, ArtifactError)
        about.write_text(text)
    about.write_text(json.dumps({**json.loads(about.read_text()), "checksum": "0"}))
    assert buffers_in(tmp_path / "experts") == []
    assert found.weights(1, 3).isfinite().all()


def test_a_newer_buffer_is_refused(make, tmp_path):
    make().buffer(tmp_path, None).save()
    about = json.loads((tmp_path / "buffer.json").read_text())
    del about["checksum"]
    (tmp_path / "buffer.json").write_text(json.dumps({**about, "format": 2}))
    with pytest.raises(ArtifactError, match="newer format than this Limbeck reads"):
        Buffer.load(tmp_path)


def test_two_trainings_of_one_buffer_do_not_meet(make, serial, tmp_path):
    training = make()
    buffer = training.buffer(None, tmp_path)
    with (
        folder_lock(buffer.folder),
        pytest.raises(UsageError, match=r"in use by another run\. Wait for it to end, or name"),
    ):
        train(training, buffer, 1, serial)


def test_a_place_is_the_folder_named_or_that_of_the_key(tmp_path):
    assert folder_of("k", tmp_path / "mine", tmp_path) == tmp_path / "mine"
    assert folder_of("k", None, tmp_path) == tmp_path / "experts" / "k"


def test_good_experts_are_found_good(filled):
    findings = list(check(filled[1]))
    assert [finding.subject for finding in findings] == ["expert 0", "expert 1"]
    assert not any(finding.is_wrong for finding in findings)
    record = read_record(filled[1].file(0))
    first = (record.weights[1] - record.weights[0]).norm()
    assert (
        f"3 epochs, training loss {record.losses[0]:.3g} -> {record.losses[-1]:.3g}, moved {first:.3g}"
        in findings[0].text
    )


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda record: record.losses.reverse(), "training loss did not fall"),
        (lambda record: record.weights.__setitem__(2, record.weights[1]), "did not move in epoch 2"),
        (lambda record: record.weights[3].fill_(float("nan")), "after epoch 3 are no finite numbers"),
    ],
)
def test_experts_that_learned_nothing_are_found(make, tmp_path, spoil, said):
    training = make(lr=0.1)
    buffer = training.buffer(tmp_path, None)
    record = training.run(buffer, 0)
    assert not any(finding.is_wrong for finding in check(buffer))
    spoil(record)
    again = type(record)(losses=record.losses, seconds=1.0, checkpoint=record.checkpoint)
    for weights, buffers in zip(record.weights, record.buffers, strict=True):
        again.add(training.network, training.network.unflatten(weights) | buffers)
    again.write(buffer.file(0), buffer.key, 0)
    (finding,) = check(buffer)
    assert finding.is_wrong and said in finding.text


def test_a_buffer_without_experts_and_a_damaged_one_are_found(make, tmp_path):
    training = make()
    buffer = training.buffer(tmp_path, None)
    buffer.save()
    (empty,) = check(buffer)
    assert not empty.is_wrong and "no expert" in empty.text
    training.run(buffer, 1)
    hole, _ = check(buffer)
    assert hole.is_wrong and "expert 0" in hole.subject and "missing" in hole.text
    buffer.file(1).unlink()
    training.run(buffer, 0)
    content = bytearray(buffer.file(0).read_bytes())
    content[-1] ^= 1
    buffer.file(0).write_bytes(bytes(content))
    (finding,) = check(buffer)
    assert finding.is_wrong and "checksum" in finding.text


def test_weights_stay_on_a_device_that_is_not_the_cpu(filled, kept):
    training, buffer = filled

    class Elsewhere:
        """The network, as if it were on another device."""

        def __getattr__(self, name):
            return torch.device("meta") if name == "device" else getattr(training.network, name)

    found = ExpertTrajectories(buffer, Elsewhere(), 2, 3)
    assert found.weights(0, 1) is found.weights(0, 1)
    assert find(Training(training.network, training.real, training.how), asked(), kept)._there == {}
