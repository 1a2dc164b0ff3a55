"""Pixels and labels that can be used, or one line that says why they cannot."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from limbeck.errors import DataError


def as_bytes(images: Tensor) -> Tensor:
    """Return images as uint8 [N, ch, h, w].

    Args:
        images: [N, ch, h, w], or [N, h, w] for grey ones; uint8, or float in [0, 1].

    Raises:
        DataError: none at all, another layout or type, NaN, or pixels outside [0, 1].
    """
    images = images.unsqueeze(1) if images.ndim == 3 else images
    if images.ndim != 4 or 0 in images.shape:
        found = "x".join(map(str, images.shape)) or "a single number"
        raise DataError(f"images must be [N, channels, height, width] with N above 0, but are {found}.")
    if images.shape[1] not in (1, 3) and images.shape[3] in (1, 3):
        raise DataError(
            f"images are {'x'.join(map(str, images.shape))}, which looks like channels last; "
            "give channels first: images.permute(0, 3, 1, 2)."
        )
    if images.dtype == torch.uint8:
        return images
    if not images.is_floating_point():
        raise DataError(f"images are {images.dtype}; give torch.uint8 (0 to 255) or floats in [0, 1].")
    return _rounded(images)


def _rounded(images: Tensor) -> Tensor:
    low, high = images.flatten(1).aminmax(dim=1)  # NaN makes both NaN, and NaN fails the comparison
    bad = ~((low >= 0) & (high <= 1))
    if bad.any():
        first = int(bad.nonzero()[0])
        lowest, highest = float(low[first]), float(high[first])
        if lowest != lowest:
            raise DataError(f"image {first} holds NaN pixels; remove or repair it.")
        raise DataError(
            f"image {first} holds values from {lowest:.3g} to {highest:.3g}; give pixels in [0, 1], "
            "not normalised: mean and std are applied when images are drawn."
        )
    return (images * 255).round().to(torch.uint8)


def check_labels(labels: Tensor, count: int, num_classes: int | None = None) -> Tensor:
    """Return labels as int64 [count].

    Args:
        labels: integers [count].
        count: number of images.
        num_classes: labels must be below it; None for any.

    Raises:
        DataError: another length or type, or a label outside the range.
    """
    if labels.ndim != 1 or len(labels) != count:
        found = "x".join(map(str, labels.shape)) or "a single number"
        raise DataError(f"{count} images need {count} labels in one dimension, but the labels are {found}.")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise DataError(f"labels are {labels.dtype}; give whole numbers from 0 (torch.int64).")
    labels = labels.to(torch.int64)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or (num_classes is not None and high >= num_classes):
        allowed = "0 or more" if num_classes is None else f"from 0 to {num_classes - 1}"
        raise DataError(f"labels lie between {low} and {high}; allowed is {allowed}.")
    return labels


def check_classes(counts: Sequence[int], class_names: Sequence[str], name: str) -> None:
    """Refuse a training part in which a class has no images.

    Args:
        counts: images of each class.
        class_names: one for each class.
        name: the data set's name.

    Raises:
        DataError: names the empty classes.
    """
    empty = [f"{index} ('{class_names[index]}')" for index, count in enumerate(counts) if not count]
    if empty:
        raise DataError(
            f"class {', '.join(empty[:5])}{' and more' if len(empty) > 5 else ''} of '{name}' has no "
            "training images; every class needs at least one, and labels count from 0 without gaps."
        )
