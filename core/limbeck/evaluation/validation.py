"""Real training images kept aside, on which a learning rate is chosen without looking at a test image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from limbeck.data import RealData
from limbeck.errors import DataError
from limbeck.seeding import generator

SHARE, MOST = 0.1, 5000
"""Of the training images, the share that is kept aside, and how many at most."""


@dataclass(frozen=True)
class Split:
    """A training set in two parts.

    Attributes:
        rest: where the images lie that random baselines draw from, ascending int64.
        held: the images that rates are compared on.
    """

    rest: Tensor
    held: RealData


def split(train: RealData, seed: int) -> Split:
    """Keep a tenth of every class aside, at least 1 image, at most about 5,000 in all and never a whole class.

    A distilled set has seen these images, as it has seen all of the training set; no network of the evaluation has.

    Args:
        train: the real training images.
        seed: the evaluation's seed; the same for every row, so that rows choose on the same images.

    Raises:
        DataError: no class has an image to spare.
    """
    share, chance = min(SHARE, MOST / len(train)), generator(seed, "eval", "validation")
    chosen = []
    for label in range(train.spec.num_classes):
        members = (train.labels == label).nonzero().flatten()
        count = min(max(1, int(share * len(members))), len(members) - 1)
        chosen.append(members[torch.randperm(len(members), generator=chance)[: max(0, count)].to(members.device)])
    held = torch.cat(chosen).sort().values
    if not len(held):
        raise DataError(
            f"'{train.spec.name}' has one training image a class: none can be kept aside to search a learning rate on. "
            "Leave lr_search out."
        )
    rest = torch.ones(len(train), dtype=torch.bool, device=held.device).index_fill(0, held, False)
    return Split(rest.nonzero().flatten(), train.subset(held))
