"""The shipped data sets: what they contain, and files that are missing, cut off or altered."""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path
from urllib.error import URLError

import pytest
import torch

from limbeck.data import channel_statistics, load_dataset
from limbeck.errors import DataError
from limbeck_plugins.datasets.digits import Digits
from limbeck_plugins.datasets.torchvision_sets import CIFAR10, MNIST, FashionMNIST

DATA = Path(os.environ.get("LIMBECK_DATA") or "data")


def write_idx(path, tensor):
    """Write a uint8 tensor as MNIST's files are written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">HBB{tensor.ndim}I", 0, 8, tensor.ndim, *tensor.shape)
    path.write_bytes(header + tensor.numpy().tobytes())


def write_mnist(root, n=20):
    images = torch.randint(256, (n, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    for part in ("train", "t10k"):
        write_idx(root / f"MNIST/raw/{part}-images-idx3-ubyte", images)
        write_idx(root / f"MNIST/raw/{part}-labels-idx1-ubyte", torch.arange(n).to(torch.uint8) % 10)
    return images


def test_digits_are_the_sixteen_levels_over_the_range_of_a_byte():
    from sklearn.datasets import load_digits

    raw = Digits().load(Path("nowhere"), download=False)
    joined = torch.cat([raw.train_images, raw.test_images]).squeeze(1)
    assert sorted(joined.unique().tolist()) == [(level * 255 + 8) // 16 for level in range(17)]
    source = torch.from_numpy(load_digits().images)
    assert torch.equal(
        (joined.double() / 255 * 16).round().flatten(1).sum(1).sort()[0], source.flatten(1).sum(1).sort()[0]
    )


def test_digits_split_is_fixed_and_stratified():
    data = load_dataset("digits", seed=0)
    assert data.train.digest() == load_dataset("digits", seed=5).train.digest()
    assert (len(data.train), len(data.test)) == (1442, 355)
    sizes = zip(data.train.group_sizes, data.test.group_sizes, strict=True)
    assert all(test == (train + test) // 5 for train, test in sizes)
    assert not data.spec.mirror


def test_digits_statistics_are_measured_on_the_training_part():
    raw = Digits().load(Path("nowhere"), download=False)
    train = load_dataset(raw, dtype=torch.float64).train
    normalised = train.normalise(train.images)
    assert normalised.mean().abs() < 1e-5 and abs(normalised.std(correction=0) - 1) < 1e-5


def test_idx_files_are_read_as_they_are(tmp_path):
    images = write_mnist(tmp_path)
    data = load_dataset("mnist", data_root=tmp_path)
    assert torch.equal(data.train.images.squeeze(1), images)
    assert data.spec.mean == (0.1307,) and not data.spec.mirror


@pytest.mark.parametrize("keep", [0, 3, 10, 2000])
def test_a_cut_off_file_is_named_damaged(tmp_path, keep):
    write_mnist(tmp_path)
    file = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"'mnist' in .* is damaged: .*--download") as caught:
        load_dataset("mnist", data_root=tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"MNIST/raw/t10k-labels-idx1-ubyte is missing"):
        load_dataset("mnist", data_root=tmp_path)


def test_images_and_labels_of_different_number_are_refused(tmp_path):
    write_mnist(tmp_path)
    write_idx(tmp_path / "MNIST/raw/train-labels-idx1-ubyte", torch.zeros(7, dtype=torch.uint8))
    with pytest.raises(DataError, match="20 images need 20 labels"):
        load_dataset("mnist", data_root=tmp_path)


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path(os.environ["LIMBECK_TEST_BOMB"]),))


def test_an_altered_pickle_is_never_opened(tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR10 as Reader

    bomb = tmp_path / "opened"
    monkeypatch.setenv("LIMBECK_TEST_BOMB", str(bomb))
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name, _ in [*Reader.train_list, *Reader.test_list, ("batches.meta", "")]:
        (folder / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataError, match=r"data_batch_1 is not the published file \(MD5 c99cafc1"):
        load_dataset("cifar10", data_root=tmp_path)
    assert not bomb.exists()


@pytest.mark.parametrize(("name", "reader"), [("mnist", "MNIST"), ("cifar10", "CIFAR10")])
def test_nothing_is_fetched_unless_asked_and_a_failure_is_one_line(tmp_path, monkeypatch, name, reader):
    import torchvision.datasets

    asked = []

    def no_network(self):
        asked.append(name)
        raise URLError("no route\nto host")

    monkeypatch.setattr(getattr(torchvision.datasets, reader), "download", no_network)
    with pytest.raises(DataError, match="is missing"):
        load_dataset(name, data_root=tmp_path)
    assert not asked
    with pytest.raises(DataError, match="could not be downloaded into") as caught:
        load_dataset(name, data_root=tmp_path, download=True)
    assert asked and "\n" not in str(caught.value)


@pytest.mark.parametrize(("component", "train", "test"), [
    (MNIST, 60_000, 10_000),
    (FashionMNIST, 60_000, 10_000),
    (CIFAR10, 50_000, 10_000),
])  # fmt: skip
def test_the_real_files_are_read_whole(component, train, test):
    if not (DATA / component.folder).is_dir():
        pytest.skip(f"{component.folder} is not in {DATA.resolve()}; set LIMBECK_DATA to the folder that holds it")
    raw = component().load(DATA, download=False)
    data = load_dataset(raw)
    assert (len(data.train), len(data.test)) == (train, test)
    assert torch.bincount(data.test.labels).min() > 800
    mean, _ = channel_statistics(raw.train_images)
    assert mean == pytest.approx(raw.spec.mean, abs=1e-4)
