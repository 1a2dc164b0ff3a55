"""Gradient norm: how long the loss's gradient is before the first update.

Paper: Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS" (arXiv:2101.08134), section 3. Public code:
SamsungLabs/zero-cost-nas (Apache-2.0).

The same: the Euclidean norms of the gradients of each convolution's and linear layer's weight are added, on one batch,
with batch norm in training mode. Different: double precision.
"""

from __future__ import annotations

import torch

from limbeck_applications.nas.proxies.untrained import OnBatch, loss_gradients
from limbeck_applications.nas.proxy import Candidate, Material


class GradNorm(OnBatch):
    """The sum over layers of the gradient's length."""

    def value(self, candidate: Candidate, material: Material) -> float:
        """Return the sum over layers of the Euclidean norm of dL/dw.

        Args:
            candidate: the architecture.
            material: holds the batch.
        """
        return float(torch.stack([gradient.norm() for _, gradient in loss_gradients(candidate, material)]).sum())
