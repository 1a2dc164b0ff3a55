"""Images and labels that are tensors already, in one .npz or .safetensors file.

Keys: ``images`` and ``labels``, or ``train_images`` and ``train_labels``; optionally ``test_images`` and
``test_labels``; optionally ``class_names``, an array of texts in .npz, a JSON list in the metadata of .safetensors.
Nothing in a file is ever run: pickled arrays are refused.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

import limbeck.options
from limbeck.data import Dataset, DataSpec, RawData, channel_statistics
from limbeck.data.checks import as_bytes, check_labels
from limbeck.errors import DataError, closest
from limbeck_plugins.datasets.own_files import held_out, locate, quoted, shown

TRAIN, TEST = ("images", "labels"), ("test_images", "test_labels")
KEYS = (*TRAIN, *TEST, "class_names")
NAMES = "class_names"


class Tensors(Dataset):
    """Images and labels of your own from one file.

    Images are [N, channels, height, width], or [N, height, width] for grey ones, as bytes or as floats in [0, 1];
    labels are whole numbers from 0 without gaps. Mean and std are measured on the training images.
    """

    class Options(limbeck.options.Options):
        """Where the file lies, and what cannot be seen in it."""

        path: Path = Field(description=".npz or .safetensors file; a relative path is also looked for in the data root")
        test_share: float = Field(
            0.2, gt=0, lt=1, description="share of each class set aside for testing, where the file has no test part"
        )
        mirror: bool = Field(True, description="whether a horizontal flip keeps an image's class")

    def load(self, root: Path, *, download: bool) -> RawData:
        """Read the file; nothing is ever fetched.

        Raises:
            DataError: it is no such file, or its images, labels or names cannot be used.
        """
        place = locate(self.options.path, root, "tensors")
        try:
            return self._read(place)
        except DataError as error:
            raise DataError(f"{shown(place)}: {error}") from error

    def _read(self, place: Path) -> RawData:
        arrays, given_names = _open(place)
        images, labels = _part(arrays, TRAIN)
        names = _class_names(given_names, labels)
        if TEST[0] in arrays:
            test_images, test_labels = _test_part(arrays, images, len(names))
        else:
            is_test = held_out(labels, self.options.test_share, names, "the file")
            test_images, test_labels = images[is_test], labels[is_test]
            images, labels = images[~is_test], labels[~is_test]
        mean, std = channel_statistics(images)
        channels, height, width = images.shape[1:]
        spec = DataSpec("tensors", (channels, height, width), len(names), names, mean, std, self.options.mirror)
        return RawData(spec, images, labels, test_images, test_labels)


def _open(place: Path) -> tuple[dict[str, Tensor], Any]:
    """Return the arrays of a file under their short names, and the class names if it has any."""
    readers = {".npz": _read_npz, ".safetensors": _read_safetensors}
    reader = readers.get(place.suffix.lower())
    if reader is None or not place.is_file():
        raise DataError("is no .npz or .safetensors file.")
    try:
        arrays, names = reader(place)
    except DataError:
        raise
    except Exception as error:  # readers of damaged files raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"cannot be read as {place.suffix}: {reason.rstrip('.')}.") from error
    return _checked_keys(arrays), names


def _read_npz(place: Path) -> tuple[dict[str, Tensor], Any]:
    with place.open("rb") as stream:
        file = np.load(stream, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise DataError(
                "is a single array under the name of .npz; write numpy.savez(path, images=..., labels=...)."
            )
        with file:
            arrays = {key: _tensor(file[key], key) for key in file.files if key != NAMES}
            return arrays, file[NAMES].tolist() if NAMES in file.files else None


def _tensor(array: Any, key: str) -> Tensor:
    """Return an array as a tensor; whole numbers become int64, except bytes."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "uifb":
        raise DataError(f"'{key}' is no array of numbers.")
    if array.dtype.kind in "ui" and array.dtype != np.uint8:
        return torch.from_numpy(array.astype(np.int64))
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))


def _read_safetensors(place: Path) -> tuple[dict[str, Tensor], Any]:
    from safetensors import safe_open

    with safe_open(place, framework="pt") as file:
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it is no mapping)
        text = (file.metadata() or {}).get(NAMES)
    return arrays, None if text is None else json.loads(text)


def _checked_keys(arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give keys their short names, and refuse unknown, doubled and missing ones."""
    found: dict[str, Tensor] = {}
    for key, value in arrays.items():
        name = key.removeprefix("train_")
        if name not in KEYS or key == f"train_{NAMES}":
            near = closest(key, [*KEYS, "train_images", "train_labels"])
            guess = f" Did you mean '{near}'?" if near else ""
            raise DataError(f"has the key '{key}', which means nothing here.{guess} Known: {', '.join(KEYS)}.")
        if name in found:
            raise DataError(f"has both '{name}' and 'train_{name}'; keep one.")
        found[name] = value
    wanted = (*TRAIN, *TEST) if found.keys() & set(TEST) else TRAIN
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DataError(f"lacks {quoted(missing)}; it has {', '.join(arrays) or 'nothing'}.")
    return found


def _part(arrays: Mapping[str, Tensor], keys: tuple[str, str], num_classes: int | None = None) -> tuple[Tensor, Tensor]:
    images, labels = (arrays[key] for key in keys)
    pixels = as_bytes(images.float() if images.is_floating_point() else images)
    return pixels, check_labels(labels, len(pixels), num_classes)


def _test_part(arrays: Mapping[str, Tensor], train: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    try:
        images, labels = _part(arrays, TEST, num_classes)
    except DataError as error:
        raise DataError(f"in the test part, {error}") from None
    if images.shape[1:] != train.shape[1:]:
        raise DataError(f"test images are {_size(images)}, but training images {_size(train)}; give one size.")
    return images, labels


def _class_names(given: Any, labels: Tensor) -> tuple[str, ...]:
    """Return a name for each class, and refuse gaps in the labels and names given twice."""
    present = torch.unique(labels).tolist()
    if given is None:
        if len(present) != present[-1] + 1:
            gap = next(number for number, label in enumerate(present) if number != label)
            raise DataError(
                f"labels lie between {present[0]} and {present[-1]}, but no image has label {gap}; number classes "
                "from 0 without gaps."
            )
        return tuple(map(str, present))
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise DataError(f"'{NAMES}' is no list of texts.")
    names = tuple(given)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"'{NAMES}' has {quoted(twice)} twice; each class needs a name of its own.")
    if present[-1] >= len(names):
        raise DataError(
            f"labels go up to {present[-1]}, but '{NAMES}' has {len(names)}: labels are 0 to {len(names) - 1}."
        )
    empty = [names[number] for number in sorted(set(range(len(names))) - set(present))]
    if empty:
        raise DataError(f"class {quoted(empty)} has no training images; every class needs at least one.")
    return names


def _size(images: Tensor) -> str:
    return "x".join(map(str, images.shape[1:]))
