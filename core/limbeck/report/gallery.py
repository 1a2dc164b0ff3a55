"""The images of every class, before and after, as data URIs."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from limbeck.report.run import Run
from limbeck.synthetic import SyntheticSet
from limbeck.synthetic.preview import picture, png, shrink

SHOWN = 10
"""Images of a class that are shown at most."""

PIXELS = 1 << 20
"""Pixels shown at most before and after each, so that a page of many classes stays a few megabytes."""

NATIVE, TILE = 64, 56
"""Longer side of an image in the page: stored at most, and displayed about; of very many
classes smaller ones are stored."""


@dataclass(frozen=True)
class ClassImages:
    """One class of the gallery.

    Attributes:
        name: of the class, or of the group where groups are no classes.
        count: images the set has of it.
        accuracy: test accuracy in [0, 1] of networks trained on the set, or None.
        before: data URIs of the images the run started from; empty when unknown.
        after: data URIs of the set's images.
    """

    name: str
    count: int
    accuracy: float | None
    before: list[str]
    after: list[str]


@dataclass(frozen=True)
class Gallery:
    """Every class with its images.

    Attributes:
        classes: in label order.
        shown: images of a class that are shown at most.
        width: displayed width of an image in CSS pixels.
        height: displayed height likewise.
    """

    classes: list[ClassImages]
    shown: int
    width: int
    height: int

    @property
    def columns(self) -> int:
        """Images in a line: as many as there are, at most five."""
        most = max((max(len(c.before), len(c.after)) for c in self.classes), default=1)
        return max(1, min(5, most))

    @property
    def is_cut(self) -> bool:
        """Whether some class has more images than are shown."""
        return any(c.count > self.shown for c in self.classes)

    @property
    def has_scores(self) -> bool:
        """Whether the accuracy of some class is known."""
        return any(c.accuracy is not None for c in self.classes)


def gallery(run: Run, accuracies: Sequence[float]) -> Gallery:
    """Collect the images of each class.

    Args:
        run: the run folder.
        accuracies: test accuracy of each class; used where groups are classes and the counts agree.
    """
    synthetic = run.synthetic
    names, by_class = group_names(synthetic)
    side = max(1, min(NATIVE, math.isqrt(PIXELS // len(names))))
    height, width = shrink(synthetic.images[0], side).shape[-2:]
    shown = max(1, min(SHOWN, PIXELS // (len(names) * height * width)))
    after = uris(synthetic.unit(), synthetic.group, len(names), shown, side)
    before = uris(*run.initial, len(names), shown, side) if run.initial else [[] for _ in names]
    counts = torch.bincount(synthetic.group, minlength=len(names)).tolist()
    fits = by_class and len(accuracies) == len(names)
    known = [None if math.isnan(value) else value for value in accuracies] if fits else [None] * len(names)
    rows = [ClassImages(*row) for row in zip(names, counts, known, before, after, strict=True)]
    factor = max(1, round(TILE / max(height, width)))
    return Gallery(rows, shown, width * factor, height * factor)


def group_names(synthetic: SyntheticSet) -> tuple[list[str], bool]:
    """Return a name for each group, and whether groups are the classes."""
    names = list(synthetic.spec.class_names)
    groups = max(len(synthetic.counts), 1)
    hard = synthetic.label_kind == "hard"
    if bool((synthetic.labels == synthetic.group).all()) if hard else groups <= len(names):
        return names, True
    return [f"group {k}" for k in range(groups)], False


def uris(images: Tensor, group: Tensor, groups: int, shown: int, side: int) -> list[list[str]]:
    """Encode the first images [n, ch, h, w] of each group as PNG data URIs, ``side`` pixels long at most."""
    chosen = [(group == k).nonzero().flatten()[:shown] for k in range(groups)]
    picked = images[torch.cat(chosen)]
    planes = shrink(picked.flatten(0, 1), side)
    small = planes.reshape(*picked.shape[:2], *planes.shape[-2:])
    return [[_uri(image) for image in part] for part in torch.split(small, [len(index) for index in chosen])]


def _uri(image: Tensor) -> str:
    return f"data:image/png;base64,{base64.b64encode(png(picture(image))).decode()}"
