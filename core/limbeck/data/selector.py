"""Selectors: which real images stand for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from limbeck.component import Component
from limbeck.data.real import RealData
from limbeck.errors import DataError


@dataclass(frozen=True)
class Selection:
    """Chosen images, those of a group together and groups in order.

    Attributes:
        images: normalised [n, ch, h, w], on the real set's device.
        labels: classes int64 [n], or probabilities [n, C].
        group: int64 [n].
        index: where each image lies in the real set, int64 [n]; None when images are no exact copies.
        features: what the images were compared by ("convnet-d3-w32-in, 10 epochs"); empty when by nothing.
        features_seconds: what it took to train the network that gives features, in this choice or an earlier one.
        spared: the part of that which was not spent now, since the network was found in a cache.
    """

    images: Tensor
    labels: Tensor
    group: Tensor
    index: Tensor | None = None
    features: str = ""
    features_seconds: float = 0.0
    spared: float = 0.0


class Selector(Component, ABC):
    """Picks the same number of real images from every group.

    Attributes:
        cache: folder for what is worth keeping beyond one choice, such as a trained network; set by the caller.
        on_epoch: told of finished and of all epochs while a network is trained; set by the caller.
    """

    cache: Path | None = None
    on_epoch: Callable[[int, int], None] | None = None

    @abstractmethod
    def select(self, real: RealData, ipc: int, generator: torch.Generator) -> Selection:
        """Pick ``ipc`` images of every group.

        Args:
            real: where to pick from.
            ipc: images per group.
            generator: owner of every draw.

        Raises:
            DataError: a group has fewer images than that (see ``check_sizes``).
        """


def check_sizes(real: RealData, ipc: int) -> None:
    """Refuse to pick more images of a group than it has.

    Raises:
        DataError: names the first group that is too small, its size and what was asked.
    """
    for group, size in enumerate(real.group_sizes):
        if size < ipc:
            raise DataError(
                f"{_title(real, group)} of '{real.spec.name}' has {size} training images, but ipc is {ipc}. "
                f"Ask for --ipc {min(real.group_sizes)} or less."
            )


def take(
    real: RealData, index: Tensor, features: str = "", features_seconds: float = 0.0, spared: float = 0.0
) -> Selection:
    """Return the images at ``index`` (int64 [n], groups in order) as a selection; see there for the rest."""
    return Selection(real.take(index), real.labels[index], real.group[index], index, features, features_seconds, spared)


def draw(real: RealData, counts: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw images of each group without replacement.

    Args:
        real: where to draw from.
        counts: images wanted of each group; a smaller group gives all it has.
        generator: owner of the draw.

    Returns:
        Indices int64 [n], groups in order.
    """
    wanted = [(group, count) for group, count in enumerate(counts) if count]
    return torch.cat([real.sample(group, count, generator) for group, count in wanted])


def _title(real: RealData, group: int) -> str:
    return f"class {group} ('{real.spec.class_names[group]}')" if real.group is real.labels else f"group {group}"
