"""Images and labels from one file: both formats, every way to get it wrong, and nothing that runs."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from limbeck.data import channel_statistics, load_dataset
from limbeck.errors import DataError, UsageError

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 3, 6, 5), dtype=np.uint8)
LABELS = np.arange(30) % 3
GOOD = {"images": IMAGES, "labels": LABELS}


def second(images, labels=LABELS):
    """Return the keys of a test part."""
    return {"test_images": images, "test_labels": labels}


def write(path, **arrays):
    names = arrays.pop("class_names", None)
    if path.suffix == ".npz":
        np.savez(path, **arrays, **({} if names is None else {"class_names": names}))
    else:
        contiguous = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
        save_file(contiguous, path, None if names is None else {"class_names": json.dumps(names)})
    return path


def load(path, **options):
    return load_dataset({"name": "tensors", "path": str(path), **options})


@pytest.fixture(params=[".npz", ".safetensors"])
def file(request, tmp_path):
    return tmp_path / f"mine{request.param}"


@pytest.fixture
def refused(file):
    """Refuse a file of these arrays; the one line names it."""

    def check(match, **arrays):
        write(file, **arrays)
        with pytest.raises(DataError, match=match) as caught:
            load(file)
        assert str(caught.value).startswith(f"{file}: ") and "\n" not in str(caught.value)

    return check


def test_a_file_without_a_tested_is_split_alike_for_every_seed(file):
    write(file, **GOOD)
    data = load_dataset({"name": "tensors", "path": str(file)}, seed=1)
    assert data.train.group_sizes == [8] * 3 and data.test.group_sizes == [2] * 3
    assert data.test.digest() == load_dataset({"name": "tensors", "path": str(file)}, seed=2).test.digest()
    together = torch.cat([data.train.images, data.test.images]).flatten(1)
    assert {bytes(row.tolist()) for row in together} == {row.tobytes() for row in IMAGES}
    assert data.spec.shape == (3, 6, 5) and data.spec.mirror
    assert (data.spec.mean, data.spec.std) == channel_statistics(data.train.images)


def test_the_test_share_is_an_option_and_leaves_something_of_every_class(file):
    write(file, **GOOD)
    assert load(file, test_share=0.5).test.group_sizes == [5] * 3
    assert load(file, test_share=0.01).test.group_sizes == [1] * 3
    assert load(file, test_share=0.99).train.group_sizes == [1] * 3
    with pytest.raises(UsageError, match="test_share"):
        load(file, test_share=1)


@pytest.mark.parametrize("prefix", ["", "train_"])
def test_both_parts_names_and_long_keys_are_read(file, prefix):
    names = ["cat", "dog", "eel"]
    parts = {f"{prefix}images": IMAGES, f"{prefix}labels": LABELS, "test_images": IMAGES[:3], "test_labels": LABELS[:3]}
    data = load(write(file, **parts, class_names=names), mirror=False)
    assert torch.equal(data.train.images, torch.from_numpy(IMAGES)) and len(data.test) == 3
    assert data.spec.class_names == tuple(names) and not data.spec.mirror


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_floats_are_the_same_pixels(file, dtype):
    if file.suffix != ".npz" and dtype == ">f4":
        pytest.skip("safetensors has one byte order")
    data = load(write(file, images=(IMAGES / 255).astype(dtype), labels=LABELS))
    assert torch.equal(data.train.images, load(write(file, **GOOD)).train.images)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint64", ">i4"])
def test_labels_may_be_any_whole_numbers(file, dtype):
    if file.suffix != ".npz" and dtype == ">i4":
        pytest.skip("safetensors has one byte order")
    assert load(write(file, images=IMAGES, labels=LABELS.astype(dtype))).train.group_sizes == [8] * 3


def test_grey_images_need_no_channel(file):
    data = load(write(file, images=IMAGES[:, 0], labels=LABELS))
    assert data.spec.shape == (1, 6, 5)


def test_a_relative_path_is_looked_for_here_and_then_in_the_data_root(tmp_path, monkeypatch):
    here, root = tmp_path / "here", tmp_path / "root"
    here.mkdir(), root.mkdir()
    monkeypatch.chdir(here)
    write(root / "mine.npz", **GOOD)
    ask = {"name": "tensors", "path": "mine.npz"}
    assert load_dataset(ask, data_root=root).spec.shape == (3, 6, 5)
    write(here / "mine.npz", images=IMAGES[:, :1], labels=LABELS)
    assert load_dataset(ask, data_root=root).spec.shape == (1, 6, 5)
    with pytest.raises(DataError, match=r"nothing at other.npz, nor at .*root/other.npz"):
        load_dataset({"name": "tensors", "path": "other.npz"}, data_root=root)
    with pytest.raises(UsageError, match=r"'data.path' is required"):
        load_dataset("tensors")


@pytest.mark.parametrize(
    ("match", "arrays"),
    [
        ("lacks 'labels'; it has images", {"images": IMAGES}),
        ("lacks 'images', 'labels'; it has nothing", {}),
        ("lacks 'test_labels'", {**GOOD, "test_images": IMAGES}),
        (r"key 'lables', which means nothing here. Did you mean 'labels'\?", {"images": IMAGES, "lables": LABELS}),
        ("has both 'images' and 'train_images'", {**GOOD, "train_images": IMAGES}),
        ("channels last; give channels first", {**GOOD, "images": IMAGES.transpose(0, 2, 3, 1)}),
        ("in the test part, .*channels last", {**GOOD, **second(IMAGES.transpose(0, 2, 3, 1))}),
        (r"test images are 3x5x5, but training images 3x6x5", {**GOOD, **second(IMAGES[:, :, 1:])}),
        ("30 images need 30 labels", {**GOOD, "labels": LABELS[:-1]}),
        ("need 30 labels in one dimension", {**GOOD, "labels": np.eye(3)[LABELS]}),
        ("labels are torch.float32", {**GOOD, "labels": LABELS.astype(np.float32)}),
        ("labels lie between -1 and 1", {**GOOD, "labels": LABELS - 1}),
        ("no image has label 0; number classes from 0", {**GOOD, "labels": LABELS + 1}),
        ("no image has label 1; number classes from 0", {**GOOD, "labels": LABELS * 2}),
        ("no image has label 2; number", {**GOOD, "labels": np.where(LABELS == 2, 2**40, LABELS)}),
        ("in the test part, labels lie between 1 and 3", {**GOOD, **second(IMAGES, LABELS + 1)}),
        (r"holds values from \d+ to \d+; give pixels in \[0, 1\]", {**GOOD, "images": IMAGES.astype(np.float32)}),
        ("NaN", {**GOOD, "images": np.full((30, 3, 4, 4), np.nan, np.float32)}),
        ("N above 0", {"images": IMAGES[:0], "labels": LABELS[:0]}),
        ("torch.int64; give torch.uint8", {**GOOD, "images": IMAGES.astype(np.int64)}),
        ("class '0', '1', '2' of the file has 1 image", {"images": IMAGES[:3], "labels": np.array([0, 1, 2])}),
        ("'class_names' has 'cat' twice", {**GOOD, "class_names": ["cat", "dog", "cat"]}),
        ("labels go up to 2, but 'class_names' has 2: labels are 0 to 1", {**GOOD, "class_names": ["cat", "dog"]}),
        ("class 'eel', 'fox' has no training images", {**GOOD, "class_names": ["cat", "dog", "cow", "eel", "fox"]}),
        ("'class_names' is no list of texts", {**GOOD, "class_names": [1, 2, 3]}),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_one_line_that_names_the_file(refused, match, arrays):
    refused(match, **arrays)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"\x00" * 100, b"no tensors at all", b"\xff" * 64])
def test_a_file_that_is_something_else_is_refused(file, content):
    file.write_bytes(content)
    with pytest.raises(DataError, match=rf"cannot be read as \{file.suffix}: ") as caught:
        load(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.98])
def test_a_cut_off_file_is_refused(file, share):
    write(file, **GOOD)
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(DataError, match="cannot be read as"):
        load(file)


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path(os.environ["LIMBECK_TEST_BOMB"]),))


@pytest.mark.parametrize("way", ["object array", "pickle", "class names"])
def test_pickles_are_never_run(tmp_path, monkeypatch, way):
    bomb, path = tmp_path / "opened", tmp_path / "mine.npz"
    monkeypatch.setenv("LIMBECK_TEST_BOMB", str(bomb))
    if way == "pickle":
        path.write_bytes(pickle.dumps(Bomb()))
    else:
        key = "images" if way == "object array" else "class_names"
        np.savez(path, **{**GOOD, key: np.array([Bomb()], dtype=object)})
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        load(path)
    assert not bomb.exists()


def test_a_single_array_and_a_foreign_archive_are_refused(tmp_path):
    path = tmp_path / "mine.npz"
    with path.open("wb") as stream:
        np.save(stream, IMAGES)
    with pytest.raises(DataError, match="single array"):
        load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images", "text")
    with pytest.raises(DataError, match="'images' is no array of numbers"):
        load(path)


def test_texts_other_names_and_folders_are_refused(tmp_path):
    np.savez(tmp_path / "mine.npz", images=np.array(["a", "b"]), labels=LABELS)
    with pytest.raises(DataError, match="'images' is no array of numbers"):
        load(tmp_path / "mine.npz")
    (tmp_path / "mine.pt").touch()
    (tmp_path / "folder.npz").mkdir()
    for name in ("mine.pt", "folder.npz"):
        with pytest.raises(DataError, match=r"is no .npz or .safetensors file"):
            load(tmp_path / name)
