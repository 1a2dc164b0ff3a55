"""Jacobian covariance: do images pull a fresh network in different directions?

Paper: Mellor et al., "Neural Architecture Search without Training" (arXiv:2006.04647, version 1): J has for each
image the derivative of the summed logits by its pixels; with s the eigenvalues of the correlation matrix of J's rows,
the score is -sum (log(s + k) + 1 / (s + k)), k = 1e-5. Public code: BayesWatch/nas-without-training (MIT) and
SamsungLabs/zero-cost-nas (Apache-2.0).

The same: correlation, k, batch norm in training mode. Different: double precision and eigenvalues of a symmetric
matrix, which are real; a batch of 64 where the paper takes 256 (``images`` gives more). A network that pulls an image
nowhere, or the same way at every pixel, has no correlation and is scored as the worst.
"""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck_applications.nas.proxies.untrained import OnBatch, batch_of, fresh
from limbeck_applications.nas.proxy import Candidate, Material

SHIFT = 1e-5
"""k, which keeps an eigenvalue of zero finite."""


class Jacov(OnBatch):
    """How unlike the input gradients of real images are."""

    def value(self, candidate: Candidate, material: Material) -> float:
        """Return the score of the Jacobian's rows, minus infinity where they have no correlation.

        Args:
            candidate: the architecture.
            material: holds the batch.
        """
        images = batch_of(material)[0].requires_grad_()
        total = candidate.network(fresh(candidate), images, dropout="off").sum()
        return spread(torch.autograd.grad(total, images)[0].flatten(1))


def spread(rows: Tensor) -> float:
    """Return -sum (log(s + k) + 1 / (s + k)), s the eigenvalues of the correlation matrix of rows [n, d]."""
    centred = rows - rows.mean(dim=1, keepdim=True)
    lengths = centred.norm(dim=1, keepdim=True)
    if not bool((lengths > 0).all()):
        return -float("inf")
    unit = centred / lengths
    shifted = torch.linalg.eigvalsh(unit @ unit.T).clamp(min=0) + SHIFT
    return -float((shifted.log() + 1 / shifted).sum())
