"""What small sets hold: a strip of images for each class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from limbeck.errors import LimbeckError
from limbeck.report.gallery import uris
from limbeck.synthetic import SyntheticSet

SHOWN, TILE, NATIVE = 10, 38, 64
"""Images of a class that are shown at most, how long their sides are on the page, about, and as stored at most."""

PIXELS = 1 << 19
"""Pixels that the pictures of one strip have at most."""


@dataclass(frozen=True)
class Strips:
    """What is kept under one name, in one set or in several that followed each other.

    Attributes:
        name: what it is called.
        classes: the number of the set it is in, from 1, the class's name, stored images, and data URIs of those shown.
        width: displayed width of an image in CSS pixels.
        height: displayed height likewise.
    """

    name: str
    classes: list[tuple[int, str, int, list[str]]]
    width: int
    height: int

    @property
    def strip(self) -> int:
        """Width in CSS pixels that the images of one class take in a row."""
        return max(len(images) for *_, images in self.classes) * (self.width + 3)


def strips_of(name: str, folders: Sequence[Path]) -> Strips | None:
    """Collect the images of sets; None where there is none, or one is not there any more.

    Args:
        name: what they are called together.
        folders: of the sets, in their order.
    """
    try:
        sets = [SyntheticSet.load(folder) for folder in folders]
    except LimbeckError:
        return None
    if not sets:
        return None
    total = sum(each.spec.num_classes for each in sets)
    height, width = sets[0].images.shape[-2:]
    side = max(1, min(NATIVE, math.isqrt(PIXELS // total)))
    each_class = max(1, min(SHOWN, PIXELS // (total * min(height, side) * min(width, side))))
    classes = [
        (number, class_name, count, strip)
        for number, made in enumerate(sets, 1)
        for class_name, count, strip in zip(
            made.spec.class_names,
            made.counts,
            uris(made.unit(), made.group, made.spec.num_classes, each_class, side),
            strict=True,
        )
    ]
    factor = TILE / max(height, width)
    return Strips(name, classes, max(1, round(width * factor)), max(1, round(height * factor)))
