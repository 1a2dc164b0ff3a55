"""K-center: images so spread that every other one lies near one of them.

Sener and Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach" (arXiv:1708.00489),
algorithm 1: farthest first, which covers with at most twice the smallest radius possible. The first image, which the
algorithm leaves open, is the one nearest to the mean of its class.
"""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck_plugins.selectors.base import FeatureSelector, centred


class KCenter(FeatureSelector):
    """Take next the image farthest from those taken."""

    def choose(self, features: Tensor, ipc: int, seed: int) -> Tensor:
        """Return rows [ipc] of features [m, k] in the order they were taken; nothing is left to chance."""
        offsets = centred(features)
        row = offsets.square().sum(1).argmin()
        nearest = torch.full_like(offsets[:, 0], torch.inf)
        chosen = []
        for _ in range(ipc):
            chosen.append(row)
            nearest = torch.minimum(nearest, distances(offsets, offsets[row][None])[:, 0])
            nearest[row] = -1.0  # a copy of it, at distance 0, comes first
            row = nearest.argmax()
        return torch.stack(chosen)


def distances(left: Tensor, right: Tensor) -> Tensor:
    """Return Euclidean distances [m, n] of [m, k] and [n, k], each from its own differences."""
    return torch.cdist(left, right, compute_mode="donot_use_mm_for_euclid_dist")
