"""The loss of a memory: cross-entropy with classes, or with probabilities where the method learns soft labels.

For soft labels q and the network's p, the loss of an image is −Σ_c q_c log p_c (equation 2 of arXiv:1910.02551); with
classes it is the same for q one-hot.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from limbeck.training.losses import sample_losses


def memory_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of a batch of the memory.

    Args:
        logits: [b, c]; a head that grows with the stream has the columns of the classes seen so far.
        labels: classes int64 [b], or probabilities [b, C] with C >= c, zero for classes not seen yet.

    Returns:
        Scalar, mean over the batch.
    """
    targets = labels if labels.ndim == 1 else labels[:, : logits.shape[1]]
    return sample_losses(logits, targets).mean()


class MemoryCriterion:
    """Stands for a strategy's criterion while it trains on a memory with soft labels.

    Avalanche hands a criterion the classes of a batch; the labels that belong to it wait here. Without any waiting,
    as while testing, the strategy's own criterion answers.

    Args:
        own: the strategy's criterion.
    """

    def __init__(self, own: Any) -> None:
        self.own = own
        self.waiting: Tensor | None = None

    def __call__(self, logits: Tensor, classes: Tensor, *more: Any) -> Any:
        """Return the loss of a batch [b, c] with the labels that wait for it, or with its classes."""
        if self.waiting is None or not torch.is_grad_enabled():
            return self.own(logits, classes, *more)
        return memory_loss(logits, self.waiting)
