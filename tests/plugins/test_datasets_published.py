"""CIFAR-100, SVHN and USPS from small files in their published formats; the checksums are those of these files."""

from __future__ import annotations

import bz2
import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets

from limbeck.data import channel_statistics, load_dataset
from limbeck.errors import DataError, UsageError
from limbeck.plugins import registry
from limbeck_plugins.datasets.torchvision_sets import CIFAR10, CIFAR100, MNIST, SVHN, USPS, FashionMNIST

NAMES = ["cifar100", "svhn", "usps"]


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def pixels(n, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


@pytest.fixture
def cifar100(tmp_path, monkeypatch):
    """Write two images a class; returns the training images and fine labels."""
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    images, labels = pixels(200, 3, 32, 32), [number % 100 for number in range(200)]
    for part, step in (("train", 1), ("test", 2)):
        rows, fine = images[::step], labels[::step] if step == 1 else list(range(100))
        content = {
            "data": rows.reshape(len(rows), -1),
            "fine_labels": fine,
            "coarse_labels": [0] * len(rows),
            "filenames": [""] * len(rows),
            "batch_label": part,
        }
        (folder / part).write_bytes(pickle.dumps(content, protocol=2))
    names = [f"fine {number}" for number in range(100)]
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": names, "coarse_label_names": []}, protocol=2))
    reader = torchvision.datasets.CIFAR100
    monkeypatch.setattr(reader, "train_list", [["train", md5(folder / "train")]])
    monkeypatch.setattr(reader, "test_list", [["test", md5(folder / "test")]])
    monkeypatch.setattr(reader, "meta", {**reader.meta, "md5": md5(folder / "meta")})
    return images, labels


@pytest.fixture
def svhn(tmp_path, monkeypatch):
    """Write ten images of every digit; the published files call the digit 0 class 10."""
    from scipy.io import savemat

    images, written = pixels(100, 3, 32, 32), np.arange(100) % 10 + 1
    listed = {}
    for part in ("train", "test"):
        path = tmp_path / f"{part}_32x32.mat"
        savemat(path, {"X": images.transpose(2, 3, 1, 0), "y": written[:, None].astype(np.uint8)})
        listed[part] = ["http://localhost/", path.name, md5(path)]
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", listed)
    return images, written % 10


@pytest.fixture
def usps(tmp_path, monkeypatch):
    """Write five images of every digit as LIBSVM lines, pixels in [-1, 1]."""
    images, labels = pixels(50, 16, 16), np.arange(50) % 10
    lines = [
        f"{label + 1} " + " ".join(f"{i + 1}:{value / 127.5 - 1:.7f}" for i, value in enumerate(image.flatten()))
        for image, label in zip(images, labels, strict=True)
    ]
    listed = {}
    for part, name in (("train", "usps.bz2"), ("test", "usps.t.bz2")):
        (tmp_path / name).write_bytes(bz2.compress(("\n".join(lines) + "\n").encode()))
        listed[part] = ["http://localhost/", name, md5(tmp_path / name)]
    monkeypatch.setattr(torchvision.datasets.USPS, "split_list", listed)
    return images, labels


def test_cifar100_has_fine_labels_and_the_names_in_its_files(cifar100, tmp_path):
    images, labels = cifar100
    data = load_dataset("cifar100", data_root=tmp_path)
    assert torch.equal(data.train.images, torch.from_numpy(images))
    assert data.train.labels.tolist() == labels and data.train.group_sizes == [2] * 100
    assert data.spec.class_names[99] == "fine 99" and len(data.spec.class_names) == 100
    assert data.spec.mirror and len(data.test) == 100


def test_cifar100_is_normalised_by_either_convention(cifar100, tmp_path):
    own = load_dataset("cifar100", data_root=tmp_path)
    other = load_dataset({"name": "cifar100", "statistics": "cifar10"}, data_root=tmp_path)
    assert own.spec.mean == (0.5071, 0.4866, 0.4409) and own.spec.std == (0.2673, 0.2564, 0.2762)
    assert (other.spec.mean, other.spec.std) == (CIFAR10.spec.mean, CIFAR10.spec.std)
    assert other.spec.name == "cifar100" and other.train.digest() != own.train.digest()
    restored = own.spec.normalise(other.spec.denormalise(other.train.take(torch.arange(3))))
    assert torch.allclose(restored, own.train.take(torch.arange(3)), atol=1e-5)
    with pytest.raises(UsageError, match=r"'own' or 'cifar10'"):
        load_dataset({"name": "cifar100", "statistics": "imagenet"}, data_root=tmp_path)


def test_svhn_calls_the_digit_zero_class_zero(svhn, tmp_path):
    images, labels = svhn
    data = load_dataset("svhn", data_root=tmp_path)
    assert torch.equal(data.train.images, torch.from_numpy(images))
    assert data.train.labels.tolist() == labels.tolist()
    assert data.train.images.is_contiguous() and not data.spec.mirror


def test_usps_pixels_come_back_and_statistics_are_measured(usps, tmp_path):
    images, labels = usps
    data = load_dataset("usps", data_root=tmp_path)
    found = data.train.images.squeeze(1).int()
    assert (found - torch.from_numpy(images).int()).abs().max() <= 1  # the reader cuts fractions off
    assert data.train.labels.tolist() == labels.tolist() and data.spec.shape == (1, 16, 16)
    assert (data.spec.mean, data.spec.std) == channel_statistics(data.train.images)
    assert not data.spec.mirror


@pytest.mark.parametrize("name", NAMES)
def test_altered_files_are_not_opened(name, request, tmp_path, monkeypatch):
    request.getfixturevalue(name)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    for path in files:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    reader = {"cifar100": "CIFAR100", "svhn": "SVHN", "usps": "USPS"}[name]
    monkeypatch.setattr(getattr(torchvision.datasets, reader), "__init__", None)  # calling it would be a TypeError
    with pytest.raises(DataError, match=rf"'{name}' in .* is damaged: .* is not the published file \(MD5 ") as caught:
        load_dataset(name, data_root=tmp_path)
    assert "\n" not in str(caught.value)
    assert f"Delete {tmp_path} " not in str(caught.value)  # files in the root must not cost the root
    component = registry().create("datasets", name)
    assert len(component.problems(tmp_path)) == len(files)


@pytest.mark.parametrize("name", NAMES)
def test_missing_files_are_named_and_nothing_is_fetched(name, request, tmp_path):
    request.getfixturevalue(name)
    gone = sorted(path for path in tmp_path.rglob("*") if path.is_file())[-1]
    gone.unlink()
    with pytest.raises(DataError, match=f"{gone.name} is missing"):
        load_dataset(name, data_root=tmp_path)
    problems = registry().create("datasets", name).problems(tmp_path)
    assert problems == [f"{gone.relative_to(tmp_path)} is missing from {tmp_path}"]


@pytest.mark.parametrize("name", NAMES)
def test_downloads_fetch_both_parts(name, request, tmp_path, monkeypatch):
    """Missing files are asked for, training and test; files that are there are not."""
    request.getfixturevalue(name)
    reader = getattr(torchvision.datasets, {"cifar100": "CIFAR100", "svhn": "SVHN", "usps": "USPS"}[name])
    asked, make = [], reader.__init__

    def spy(self, root, *arguments, **settings):
        asked.append(settings.pop("download"))
        make(self, root, *arguments, **settings)

    monkeypatch.setattr(reader, "__init__", spy)
    load_dataset(name, data_root=tmp_path, download=True)
    assert asked == [False, False]
    monkeypatch.setattr("limbeck_plugins.datasets.torchvision_sets.TorchvisionSet._missing", lambda *_: ["a file"])
    with pytest.raises(DataError, match="a file is missing"):
        load_dataset(name, data_root=tmp_path, download=True)
    assert asked[2:] == [True, True]


@pytest.mark.parametrize("component", [MNIST, FashionMNIST, CIFAR10, CIFAR100, SVHN, USPS])
def test_what_is_registered_is_what_the_class_says(component):
    facts = registry().entry("datasets", component.spec.name).facts
    assert facts["shape"] == "x".join(map(str, component.spec.shape))
    assert facts["classes"] == component.spec.num_classes
    reader = getattr(torchvision.datasets, component.reader)
    files = component()._files(reader)
    assert files and all(any(Path(f).is_relative_to(place) for place in facts["files"]) for f in files)


@pytest.mark.parametrize("component", [MNIST, FashionMNIST, CIFAR10])
def test_the_published_files_have_no_problems(component):
    root = Path(os.environ.get("LIMBECK_DATA") or "data")
    if not (root / component.folder).is_dir():
        pytest.skip(f"{component.folder} is not in {root.resolve()}; set LIMBECK_DATA to the folder that holds it")
    assert component().problems(root) == []


def test_a_changed_idx_file_is_found_by_its_checksum(tmp_path):
    folder = tmp_path / "MNIST/raw"
    folder.mkdir(parents=True)
    for file in MNIST.checksums:
        (tmp_path / file).write_bytes(b"other")
    assert len(MNIST().problems(tmp_path)) == 4
