"""Herding: images whose running mean stays near the mean of their class.

Welling, "Herding Dynamical Weights to Learn" (ICML 2009), as used for exemplars by Rebuffi et al., "iCaRL"
(arXiv:1611.07725), equation 4 and algorithm 4, on embeddings that are not brought to unit length.
"""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck_plugins.selectors.base import FeatureSelector, centred


class Herding(FeatureSelector):
    """Take next the image that brings the mean of those taken nearest to the mean of the group.

    With mean mu and sum S of the k features taken, that is the image nearest to (k+1) mu - S.
    """

    def choose(self, features: Tensor, ipc: int, seed: int) -> Tensor:
        """Return rows [ipc] of features [m, k] in the order they were taken; nothing is left to chance."""
        offsets = centred(features)
        squares = offsets.square().sum(1)
        total = torch.zeros_like(offsets[0])
        chosen = []
        for _ in range(ipc):
            # |(k+1) mu - S - f|^2 of offsets from mu, less |total|^2, which is the same for all
            gaps = squares + 2 * (offsets @ total)
            row = gaps.argmin()
            chosen.append(row)
            total = total + offsets[row]
            squares[row] = torch.inf
        return torch.stack(chosen)
