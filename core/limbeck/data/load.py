"""One way in for real data: a registered name, a torch Dataset, or plain tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from limbeck.config import View
from limbeck.data.checks import check_classes
from limbeck.data.dataset import DataSet, RawData
from limbeck.data.read import Part, is_pair, read_part
from limbeck.data.real import RealData
from limbeck.data.spec import DataSpec
from limbeck.data.views import choose, split_view, view_of
from limbeck.files import default_root
from limbeck.options import parse
from limbeck.seeding import generator

TEST_SHARE = 0.2


def load_dataset(
    data: Any,
    *,
    data_root: str | Path | None = None,
    download: bool = False,
    classes: Sequence[int | str] | None = None,
    imbalance: float | None = None,
    max_per_class: int | None = None,
    preprocessing: Literal["standard", "zca"] | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> DataSet:
    """Return a validated data set, whole or the part asked for, as bytes on ``device``.

    Args:
        data: a registered name, or a mapping of ``name``, options of the data set and the view's settings below; a
            torch Dataset or a tuple ``(images, labels)``, of which a fifth of every class becomes the test part; a pair
            of such parts, training first; a ``RawData``; a ``DataSet``, which is moved to ``device``.
        data_root: folder of the files; the variable LIMBECK_DATA when None, then ``data``.
        download: fetch missing files; without it nothing is asked of the network.
        classes: keep these classes, by number or name, numbered anew in this order.
        imbalance: largest over smallest training class: class c keeps n_max * imbalance^(-c / (C - 1)) images.
        max_per_class: keep at most this many training images of each class.
        preprocessing: ``"standard"`` (mean and std, the default) or ``"zca"``.
        device: where images are kept.
        dtype: of normalised images.
        seed: decides the test part and which images a view keeps, nothing else.

    Raises:
        DataError: files missing or damaged, or images and labels that cannot be used.
        UsageError: an unknown name or class, or a setting out of its range.
    """
    asked = {
        "classes": classes,
        "imbalance": imbalance,
        "max_per_class": max_per_class,
        "preprocessing": preprocessing,
    }
    viewed: dict[str, Any] = {}
    if isinstance(data, Mapping):
        data, viewed = split_view(data)
    view = parse(View, {**viewed, **{key: value for key, value in asked.items() if value is not None}}, "data")
    if isinstance(data, DataSet):
        found = DataSet(data.spec, data.train.to(device, dtype), data.test.to(device, dtype))
    else:
        found = _on_device(_raw(data, data_root, download, seed), device, dtype)
    return view_of(found, view, seed)


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
    chosen = choose(whole.labels, lambda _, size: round(size * TEST_SHARE), generator(seed, "data", "split"))
    is_test = torch.zeros(len(whole.labels), dtype=torch.bool)
    is_test[chosen] = True
    return whole.at(~is_test), whole.at(is_test)
