"""SNIP: how much the loss would change if a weight were taken away.

Paper: Lee, Ajanthan, Torr, "SNIP: Single-shot Network Pruning based on Connection Sensitivity" (arXiv:1810.02340),
section 4: the loss's derivative by a factor on each weight, which at 1 is w dL/dw. As a proxy: Abdelfattah et al.,
"Zero-Cost Proxies for Lightweight NAS" (arXiv:2101.08134), section 3: the sum of absolute values over all weights.
Public code: SamsungLabs/zero-cost-nas (Apache-2.0).

The same: one batch, fresh weights, weights of convolutions and linear layers, batch norm in training mode. Different:
no factors are put into the network, since w dL/dw is the same number; double precision.
"""

from __future__ import annotations

import torch

from limbeck_applications.nas.proxies.untrained import OnBatch, loss_gradients
from limbeck_applications.nas.proxy import Candidate, Material


class Snip(OnBatch):
    """The sum of what the loss would change by, weight by weight, to first order."""

    def value(self, candidate: Candidate, material: Material) -> float:
        """Return the sum of |w dL/dw|.

        Args:
            candidate: the architecture.
            material: holds the batch.
        """
        pairs = loss_gradients(candidate, material)
        return float(torch.stack([(weight * gradient).abs().sum() for weight, gradient in pairs]).sum())
