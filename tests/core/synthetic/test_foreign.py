"""Files of strangers: tensors and numbers are read, code is refused and never run, and damage takes one line."""

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import torch

from limbeck.errors import LimbeckError, UsageError
from limbeck.synthetic import foreign
from limbeck.synthetic.foreign import read_pt, tensors_in, words_of

ZIPPED, LEGACY = True, False
FORMATS = pytest.mark.parametrize("zipped", [ZIPPED, LEGACY], ids=["zip", "legacy"])


def published(images=None):
    """What the code of DC saves: a list of pairs, and NumPy's numbers."""
    images = torch.randn(4, 1, 2, 2, generator=torch.Generator().manual_seed(0)) if images is None else images
    accuracies = [np.float64(0.5), np.float32(0.25), np.float16(0.125), np.int64(7), np.uint8(3), np.bool_(True), 0.75]
    return {"data": [[images, torch.arange(4)]], "accs_all_exps": {"ConvNet": accuracies}}


def save(content, path, zipped=ZIPPED, **options):
    torch.save(content, path, _use_new_zipfile_serialization=zipped, **options)
    return path


def rewrite(path, change, compression=zipfile.ZIP_STORED):
    """Write every record of a zip anew: ``change(name, content) -> content``."""
    with zipfile.ZipFile(path) as archive:
        records = [(each.filename, archive.read(each)) for each in archive.infolist()]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in records:
            archive.writestr(name, change(name, content))
    return path


def refusal(path):
    with pytest.raises(LimbeckError) as told:
        read_pt(path)
    assert "\n" not in str(told.value)
    assert str(path) in str(told.value)
    return str(told.value)


# What published files hold


@FORMATS
def test_tensors_lists_and_numbers_are_read(zipped, tmp_path):
    content = published()
    found = read_pt(save(content, tmp_path / "set.pt", zipped)).content
    assert torch.equal(found["data"][0][0], content["data"][0][0])
    assert torch.equal(found["data"][0][1], torch.arange(4))
    numbers = found["accs_all_exps"]["ConvNet"]
    assert numbers == [0.5, 0.25, 0.125, 7, 3, True, 0.75]
    assert not any(isinstance(number, np.generic) for number in numbers)


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_numbers_of_numpy_1_and_2_are_read(module, tmp_path):
    path = save(published(), tmp_path / "set.pt")
    rewrite(path, lambda _, content: content.replace(b"cnumpy._core.multiarray\n", f"c{module}\n".encode()))
    assert f"{module} scalar" in words_of(path)
    assert read_pt(path).content["accs_all_exps"]["ConvNet"][:2] == [0.5, 0.25]


def test_big_endian_numbers_are_read(tmp_path):
    path = save(np.float64(1.5), tmp_path / "set.pt")
    little, big = (struct.pack(order + "d", 1.5).decode("latin1").encode() for order in "<>")

    def swap(name, content):
        changed = content.replace(little, big).replace(b"X\x01\x00\x00\x00<", b"X\x01\x00\x00\x00>")
        assert (changed != content) == name.endswith("data.pkl")
        return changed

    assert read_pt(rewrite(path, swap)).content == 1.5


@FORMATS
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.int32, torch.bool])
def test_every_plain_type_is_read(dtype, zipped, tmp_path):
    values = torch.ones(2, 3).to(dtype)
    assert torch.equal(read_pt(save(values, tmp_path / "set.pt", zipped)).content, values)


def test_parameters_and_views_are_read(tmp_path):
    base = torch.arange(6.0)
    content = {"image": torch.nn.Parameter(base.clone()), "views": [base[:3], base[3:].view(1, 3)]}
    found = read_pt(save(content, tmp_path / "set.pt")).content
    assert [tensor.tolist() for tensor in found["views"]] == [[0, 1, 2], [[3, 4, 5]]]
    assert found["image"].tolist() == base.tolist()


def test_the_bytes_are_those_of_the_file(tmp_path):
    path = save(published(), tmp_path / "set.pt")
    assert read_pt(path).data == path.read_bytes()


def test_words_are_the_keys_and_nothing_is_loaded(tmp_path, monkeypatch):
    path = save(published(), tmp_path / "set.pt")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("loaded"))
    assert {"data", "accs_all_exps", "ConvNet"} <= words_of(path)
    assert words_of(tmp_path / "absent") == words_of(tmp_path) == set()


def test_tensors_are_found_at_any_depth_and_in_circles():
    inner = [torch.zeros(1)]
    inner.append(inner)
    assert len(list(tensors_in({"a": (inner, {"b": torch.ones(1)}), "c": 3}))) == 2


# Code


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, proof):
        self.proof = str(proof)

    def __reduce__(self):
        return os.mkdir, (self.proof,)


def hidden(proof):
    """Code at every place of a published file."""
    place = published()
    return {
        "alone": Payload(proof),
        "beside": {**place, "extra": Payload(proof)},
        "in the list": {**place, "data": [[Payload(proof), torch.arange(4)]]},
        "among the accuracies": {**place, "accs_all_exps": {"ConvNet": [np.float64(0.5), Payload(proof)]}},
        "as an argument": {"data": [[torch.zeros(1), [[[Payload(proof)]]]]]},
    }


@FORMATS
@pytest.mark.parametrize("place", hidden(""))
def test_code_is_refused_and_not_run(place, zipped, tmp_path):
    proof = tmp_path / "proof"
    path = save(hidden(proof)[place], tmp_path / "set.pt", zipped)
    line = refusal(path)
    assert "refused and nothing in it was run" in line and "posix.mkdir" in line
    words_of(path)
    assert not proof.exists()
    torch.load(path, weights_only=False)  # the payload does what it says where it is let
    assert proof.exists()


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_bare_pickles_of_any_protocol_are_refused_and_not_run(protocol, tmp_path):
    proof, path = tmp_path / "proof", tmp_path / "set.pt"
    path.write_bytes(pickle.dumps(Payload(proof), protocol) * 6)
    refusal(path)
    assert not proof.exists()
    pickle.loads(path.read_bytes())
    assert proof.exists()


@FORMATS
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_code_in_newer_pickle_protocols_is_refused_and_not_run(protocol, zipped, tmp_path):
    proof = tmp_path / "proof"
    path = save({"data": [Payload(proof)]}, tmp_path / "set.pt", zipped, pickle_protocol=protocol)
    refusal(path)
    assert not proof.exists()
    torch.load(path, weights_only=False)
    assert proof.exists()


def test_the_old_tar_format_is_refused_and_not_run(tmp_path):
    proof, path = tmp_path / "proof", tmp_path / "set.pt"
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            content = pickle.dumps(Payload(proof), 2)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    assert "truncated, altered, or no file of torch.save" in refusal(path)
    assert not proof.exists()
    with tarfile.open(path) as archive:
        pickle.load(archive.extractfile("pickle"))
    assert proof.exists()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("name", ["archive/data.pkl", "data.pkl", "set/code.pkl"])
def test_a_zip_made_by_hand_is_refused_and_not_run(name, compression, tmp_path):
    proof, path = tmp_path / "proof", tmp_path / "set.pt"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(name, pickle.dumps(Payload(proof), 2))
        archive.writestr(name.replace(name.split("/")[-1], "version"), "3\n")
    refusal(path)
    assert not proof.exists()


def test_a_second_pickle_behind_the_first_is_refused_and_not_run(tmp_path):
    """Two records of one name: which of them is read would depend on the reader."""
    proof = tmp_path / "proof"
    path = save(published(), tmp_path / "set.pt")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("set/data.pkl", pickle.dumps(Payload(proof), 2))
    assert "repeated" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("set/data.pkl", pickle.dumps([1], 2))
        archive.writestr("set/constants.pkl", pickle.dumps(Payload(proof), 2))
    refusal(path)
    assert not proof.exists()


def test_a_network_is_code(tmp_path):
    assert "torch.nn.modules.linear.Linear" in refusal(save(torch.nn.Linear(1, 1), tmp_path / "set.pt"))


NAMES = [
    "builtins eval", "builtins getattr", "builtins bytearray", "torch FloatTensor", "torch load", "torch.hub load",
    "numpy load", "numpy ndarray", "numpy.core.multiarray _reconstruct", "nt system", "pickle loads",
    "torch._utils _rebuild_device_tensor_from_numpy", "torch._tensor _rebuild_from_type_v2", "functools partial",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_that_tensors_do_not_need_are_refused(name, tmp_path):
    module, attribute = name.split()
    path = save([1], tmp_path / "set.pt")
    program = f"\x80\x02c{module}\n{attribute}\n)R.".encode("latin1")
    rewrite(path, lambda record, content: program if record.endswith("data.pkl") else content)
    assert f"{module}.{attribute}" in refusal(path)


def test_torch_itself_would_refuse_what_the_list_of_names_lets_through(tmp_path, monkeypatch):
    """The walls are independent: without the first, the second still stands."""
    proof = tmp_path / "proof"
    path = save({"data": Payload(proof)}, tmp_path / "set.pt")
    monkeypatch.setattr(foreign, "KNOWN", {*foreign.KNOWN, "posix.mkdir"})
    assert "no file of torch.save" in refusal(path)
    assert not proof.exists()


def test_what_is_let_through_is_forgotten_afterwards(tmp_path):
    before = set(torch.serialization.get_safe_globals())
    read_pt(save(published(), tmp_path / "set.pt"))
    assert set(torch.serialization.get_safe_globals()) == before


# Damage, and files that claim more than they hold


@FORMATS
def test_damage_takes_one_line_or_is_read(zipped, tmp_path):
    content = save(published(), tmp_path / "whole.pt", zipped).read_bytes()
    path, chance, refused = tmp_path / "set.pt", random.Random(0), 0
    for number in range(150):
        changed = bytearray(content)
        if number % 3:
            changed[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        else:
            del changed[chance.randrange(len(content)) :]
        path.write_bytes(changed)
        words_of(path)
        try:
            read_pt(path)
        except LimbeckError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused >= 50  # every cut at least


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04", b"\x80\x02", b"\x93NUMPY", b"{}", bytes(5000)])
def test_files_of_another_sort_take_one_line(content, tmp_path):
    path = tmp_path / "set.pt"
    path.write_bytes(content)
    assert "no file of torch.save" in refusal(path)


def test_what_is_no_file_says_so(tmp_path):
    with pytest.raises(UsageError, match=r"cannot be read \(No such file"):
        read_pt(tmp_path / "absent.pt")
    with pytest.raises(UsageError, match=r"cannot be read \(Is a directory"):
        read_pt(tmp_path)


def test_an_enormous_file_is_not_read(tmp_path):
    path = tmp_path / "set.pt"
    with path.open("wb") as stream:
        stream.truncate(foreign.MAX_BYTES + 1)
    assert "a set of at most 4,294,967,296 is read" in refusal(path)


def test_a_compressed_bomb_is_not_unpacked(tmp_path):
    path = rewrite(save(torch.zeros(1 << 22), tmp_path / "set.pt"), lambda _, content: content, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 17
    assert "compressed" in refusal(path)


def test_a_list_of_instructions_without_end_is_not_followed(tmp_path, monkeypatch):
    path = save(list(range(5000)), tmp_path / "set.pt")
    monkeypatch.setattr(foreign, "MAX_PROGRAM", 1000)
    assert "longer than 1,000 bytes" in refusal(path)


@FORMATS
def test_memory_that_the_file_has_no_bytes_for_is_refused(zipped, tmp_path):
    """One number that says how long a tensor is: 2 GiB in a file of a few kilobytes."""
    path = save(torch.zeros(77), tmp_path / "set.pt", zipped)

    def claim(content):
        changed = content.replace(b"cpuq\x04K\x4d", b"cpuq\x04J\x00\x00\x00\x20")
        assert changed != content
        return changed

    if zipped:
        rewrite(path, lambda name, content: claim(content) if name.endswith("data.pkl") else content)
    else:
        path.write_bytes(claim(path.read_bytes()))
    refusal(path)


def test_a_tensor_that_repeats_its_memory_is_refused(tmp_path):
    assert "repeats 4 bytes" in refusal(save(torch.zeros(1).expand(1000, 1000, 1000, 100), tmp_path / "set.pt"))


@pytest.mark.parametrize("tensor", [torch.eye(2).to_sparse(), torch.empty(2, device="meta")], ids=["sparse", "meta"])
def test_tensors_that_are_not_dense_memory_are_refused(tensor, tmp_path):
    refusal(save({"data": tensor}, tmp_path / "set.pt"))
