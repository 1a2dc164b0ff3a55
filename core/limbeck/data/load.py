"""One way in for real data: a registered name, a torch Dataset, or plain tensors."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.data.checks import check_classes
from limbeck.data.dataset import DataSet, RawData
from limbeck.data.read import Part, is_pair, read_part
from limbeck.data.real import RealData
from limbeck.data.spec import DataSpec
from limbeck.errors import UsageError
from limbeck.seeding import generator

ROOT_VARIABLE = "LIMBECK_DATA"
TEST_SHARE = 0.2


def load_dataset(
    data: Any,
    *,
    data_root: str | Path | None = None,
    download: bool = False,
    max_per_class: int | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> DataSet:
    """Return a validated data set, whole, as bytes on ``device``.

    Args:
        data: a registered name (or a mapping of ``name`` and options); a torch Dataset or a tuple
            ``(images, labels)``, of which a fifth of every class becomes the test part; a pair of such
            parts, training first; a ``RawData``; a ``DataSet``, which is moved to ``device``.
        data_root: folder of the files; the variable LIMBECK_DATA when None, then ``data``.
        download: fetch missing files; without it nothing is asked of the network.
        max_per_class: keep at most this many training images of each class, chosen by ``seed``.
        device: where images are kept.
        dtype: of normalised images.
        seed: decides the test part and ``max_per_class``, nothing else.

    Raises:
        DataError: files missing or damaged, or images and labels that cannot be used.
        UsageError: an unknown name, or ``max_per_class`` below 1.
    """
    if max_per_class is not None and max_per_class < 1:
        raise UsageError(f"max_per_class is {max_per_class}; keep at least 1 image of each class.")
    if isinstance(data, DataSet):
        found = DataSet(data.spec, data.train.to(device, dtype), data.test.to(device, dtype))
    else:
        found = _on_device(_raw(data, data_root, download, seed), device, dtype)
    if max_per_class is None:
        return found
    labels, rng = found.train.labels.cpu(), generator(seed, "data", "max_per_class")
    kept = _choose(labels, lambda size: min(size, max_per_class), rng)
    return DataSet(found.spec, found.train.subset(kept.to(found.train.device)), found.test)


def default_root() -> Path:
    """Return the folder data is looked for in when none is named."""
    return Path(os.environ.get(ROOT_VARIABLE) or "data")


def _raw(data: Any, data_root: str | Path | None, download: bool, seed: int) -> RawData:
    if isinstance(data, RawData):
        return data
    if isinstance(data, str | Mapping):
        from limbeck.plugins import registry  # the registry is not needed for data held in memory

        component = registry().create("datasets", data)
        root = default_root() if data_root is None else Path(data_root)
        raw: RawData = component.load(root.expanduser(), download=download)
        return raw
    if is_pair(data):
        return _from_parts(read_part(data[0]), read_part(data[1]))
    whole = read_part(data)
    return _from_parts(*_split(whole, seed))


def _on_device(raw: RawData, device: torch.device | str, dtype: torch.dtype) -> DataSet:
    train = RealData(raw.train_images, raw.train_labels, raw.spec, device=device, dtype=dtype)
    test = RealData(raw.test_images, raw.test_labels, raw.spec, device=device, dtype=dtype)
    check_classes(train.group_sizes, raw.spec.class_names, raw.spec.name)
    return DataSet(raw.spec, train, test)


def _from_parts(train: Part, test: Part) -> RawData:
    """Describe images nobody described: classes counted, statistics of the training part measured."""
    num_classes = max(len(train.class_names), 1 + int(max(train.labels.max(), test.labels.max())))
    names = train.class_names or tuple(map(str, range(num_classes)))
    mean, std = channel_statistics(train.images)
    channels, height, width = train.images.shape[1:]
    spec = DataSpec("custom", (channels, height, width), num_classes, names, mean, std, mirror=True)
    return RawData(spec, train.images, train.labels, test.images, test.labels)


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std of each channel of uint8 images [N, ch, h, w], pixels in [0, 1].

    Exact counts of the 256 levels, so the result does not depend on the order of a sum. A constant channel
    has std 1, which leaves it 0 after normalisation.
    """
    levels = torch.arange(256, dtype=torch.float64) / 255
    means, stds = [], []
    for channel in images.unbind(1):
        share = torch.bincount(channel.flatten(), minlength=256).double() / channel.numel()
        mean = (share * levels).sum()
        variance = (share * (levels - mean).square()).sum()
        means.append(round(float(mean), 6))
        stds.append(round(float(variance.sqrt()), 6) or 1.0)
    return tuple(means), tuple(stds)


def _split(whole: Part, seed: int) -> tuple[Part, Part]:
    """Set a fifth of every class aside as the test part; a class of one image keeps it for training."""
    chosen = _choose(whole.labels, lambda size: round(size * TEST_SHARE), generator(seed, "data", "split"))
    is_test = torch.zeros(len(whole.labels), dtype=torch.bool)
    is_test[chosen] = True
    return whole.at(~is_test), whole.at(is_test)


def _choose(labels: Tensor, count: Callable[[int], int], rng: torch.Generator) -> Tensor:
    """Draw ``count(size)`` images of every class without replacement; indices ascend."""
    chosen = []
    for members in torch.split(labels.argsort(stable=True), torch.bincount(labels).tolist()):
        order = torch.randperm(len(members), generator=rng)
        chosen.append(members[order[: count(len(members))]])
    return torch.cat(chosen).sort().values
