"""An expert's file: one epoch is read without the others, and nothing altered is ever used."""

import json
import struct

import pytest
import torch

from limbeck.errors import ArtifactError
from limbeck.experts import records
from limbeck.experts.records import read_epoch, read_head, read_record

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def written(make, tmp_path):
    training = make()
    buffer = training.buffer(tmp_path, None)
    return training.run(buffer, 2), buffer.file(2), buffer


def test_every_epoch_is_read_back_as_it_was(written):
    record, path, buffer = written
    assert len(record.weights) == 4 and record.buffers[0].keys()
    for epoch, (weights, buffers) in enumerate(zip(record.weights, record.buffers, strict=True)):
        found, others = read_epoch(path, epoch)
        assert torch.equal(found, weights) and found.dtype == weights.dtype
        assert others.keys() == buffers.keys()
        for name, value in buffers.items():
            assert torch.equal(others[name], value) and others[name].dtype == value.dtype
            assert others[name].shape == value.shape
    head = read_head(path)
    assert (head.key, head.expert, head.epochs) == (buffer.key, 2, 3)
    assert list(head.losses) == record.losses and head.seconds == record.seconds > 0
    again = read_record(path)
    assert again.rows == record.rows and again.losses == record.losses
    assert again.checkpoint.keys() == record.checkpoint.keys()
    assert all(torch.equal(value, record.checkpoint[name]) for name, value in again.checkpoint.items())


def test_weights_of_successive_epochs_are_not_one_tensor(written):
    record = written[0]
    assert len({weights.data_ptr() for weights in record.weights}) == 4
    assert not any(torch.equal(one, other) for one, other in zip(record.weights, record.weights[1:], strict=False))
    assert not torch.equal(record.buffers[0]["features.1.running_mean"], record.buffers[1]["features.1.running_mean"])


def sections(content):
    """Return where each tensor of a safetensors file begins and ends."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    return {
        name: tuple(8 + length + offset for offset in place["data_offsets"])
        for name, place in header.items()
        if name != "__metadata__"
    }


def test_a_byte_changed_anywhere_is_found_where_it_is_used(written):
    record, path, _ = written
    content = path.read_bytes()
    size = len(record.weights[0]) * 4
    places = sections(content)
    for name, (begin, end) in places.items():
        damaged = bytearray(content)
        damaged[(begin + end) // 2] ^= 1
        path.write_bytes(bytes(damaged))
        with pytest.raises(ArtifactError, match=r"is damaged \(the checksum of .* differs\)"):
            read_record(path)
        if name == "weights":
            hit = ((begin + end) // 2 - begin) // size
            for epoch in range(4):
                if epoch == hit:
                    with pytest.raises(ArtifactError, match=f"the checksum of epoch {epoch} differs"):
                        read_epoch(path, epoch)
                else:
                    assert torch.equal(read_epoch(path, epoch)[0], record.weights[epoch])


@pytest.mark.parametrize("length", [0, 5, 8, 200, -1])
def test_a_truncated_file_is_refused(written, length):
    path = written[1]
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ArtifactError, match=r"is damaged .*Delete it and train this expert again"):
        read_head(path)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b'\\"expert\\": 2', b'\\"expert\\": 3', "checksum of the header differs"),
        (b'\\"format\\": 1', b'\\"format\\": 9', "checksum of the header differs"),
        (b'"about"', b'"abuot"', "about"),
    ],
)
def test_an_altered_header_is_refused(written, old, new, why):
    path = written[1]
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    with pytest.raises(ArtifactError, match=why):
        read_head(path)


def test_a_newer_format_is_refused(written, monkeypatch):
    record, path, buffer = written
    monkeypatch.setattr(records.Head.__init__, "__defaults__", (9,))
    record.write(path, buffer.key, 2)
    monkeypatch.undo()
    with pytest.raises(ArtifactError, match="format 9 is of a newer Limbeck"):
        read_head(path)


def test_a_missing_file_is_not_a_damaged_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_head(tmp_path / "expert_000.safetensors")
