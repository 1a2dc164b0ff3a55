"""Images and labels from what a Python user holds: a torch Dataset, tensors, arrays, lists."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limbeck.data.checks import as_bytes, check_labels
from limbeck.errors import DataError

_PIL_MODES = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB", "RGBA": "RGB"}


@dataclass(frozen=True)
class Part:
    """The training or the test part of a data set on the CPU.

    Attributes:
        images: uint8 [N, ch, h, w].
        labels: int64 [N].
        class_names: as the source names them, or empty.
    """

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...] = ()

    def at(self, index: Tensor) -> Part:
        """Return the images and labels that ``index`` (int64 [n] or bool [N]) selects."""
        return Part(self.images[index], self.labels[index], self.class_names)


def is_pair(data: Any) -> bool:
    """Whether ``data`` is (training part, test part) rather than (images, labels)."""
    return isinstance(data, tuple | list) and len(data) == 2 and _is_part(data[0]) and _is_part(data[1])


def read_part(data: Any) -> Part:
    """Read a torch Dataset once, or take the two members of ``(images, labels)``.

    Args:
        data: a Dataset of (image, label), each image a PIL image, an array or a tensor; or a tuple of
            images [N, ch, h, w] or [N, h, w] and labels [N].

    Raises:
        DataError: neither of these, or images and labels that cannot be used.
    """
    if isinstance(data, tuple | list) and len(data) == 2:
        images, labels = data
        pixels = as_bytes(_tensor(images, "images"))
        return Part(pixels.cpu(), check_labels(_tensor(labels, "labels"), len(pixels)).cpu())
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return _read_items(data)
    raise DataError(
        f"data is a {type(data).__name__}; give a registered name, a torch Dataset of (image, label), "
        "or a tuple (images, labels)."
    )


def _is_part(data: Any) -> bool:
    if isinstance(data, Tensor | np.ndarray):
        return False
    if isinstance(data, tuple | list):
        return len(data) == 2 and all(isinstance(member, Tensor | np.ndarray) for member in data)
    return hasattr(data, "__getitem__") and hasattr(data, "__len__")


def _tensor(values: Any, what: str) -> Tensor:
    try:
        is_tensors = isinstance(values, list | tuple) and isinstance(values[0], Tensor)
        return torch.stack(list(values)) if is_tensors else torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError, IndexError):
        raise DataError(
            f"{what} given as {type(values).__name__} do not form one array: sizes are mixed or not all are numbers."
        ) from None


def _read_items(source: Any) -> Part:
    if not len(source):
        raise DataError("the Dataset is empty; give at least one (image, label) of every class.")
    images, labels = [], []
    for index in range(len(source)):
        item = source[index]
        if not isinstance(item, Sequence) or len(item) < 2:
            raise DataError(f"item {index} of the Dataset is a {type(item).__name__}, not (image, label).")
        images.append(_pixels(item[0], index))
        labels.append(_label(item[1], index))
        _check_alike(images[-1], images[0], index)
    names = tuple(map(str, getattr(source, "classes", ())))
    return Part(as_bytes(torch.stack(images)), check_labels(torch.tensor(labels), len(images)), names)


def _pixels(image: Any, index: int) -> Tensor:
    """Return one image as [ch, h, w], uint8 or float."""
    if isinstance(image, Tensor):
        return image if image.ndim == 3 else image.unsqueeze(0)
    mode = getattr(image, "mode", None)
    if mode is not None:
        if mode not in _PIL_MODES:
            raise DataError(f"image {index} has PIL mode {mode}; convert it to L (grey) or RGB.")
        image = image.convert(_PIL_MODES[mode])
    array = torch.from_numpy(np.array(image))
    return array.unsqueeze(0) if array.ndim == 2 else array.permute(2, 0, 1)


def _label(label: Any, index: int) -> int:
    try:
        return operator.index(label)
    except TypeError:
        raise DataError(f"label {index} is {label!r}; give classes as whole numbers from 0.") from None


def _check_alike(image: Tensor, first: Tensor, index: int) -> None:
    if image.shape != first.shape or image.dtype != first.dtype:
        found, expected = ("x".join(map(str, i.shape)) + f" {i.dtype}" for i in (image, first))
        raise DataError(
            f"image {index} is {found} but image 0 is {expected} (channels x height x width); "
            "resize and convert them all alike."
        )
