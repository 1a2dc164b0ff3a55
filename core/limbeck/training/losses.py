"""The losses a network can train with, one number per sample, and how a batch of them is averaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import UsageError, unknown_name

Loss = Literal["ce", "soft_ce", "kl", "mse"]
MaskNorm = Literal["constant", "sum"]
LOSSES: tuple[str, ...] = get_args(Loss)
MASK_NORMS: tuple[str, ...] = get_args(MaskNorm)

MASKED_LOGIT = -1e9
"""Stands for minus infinity, which would turn a zero target into NaN."""


@dataclass(frozen=True)
class Objective:
    """What a batch's loss is; the arguments of ``fit`` under the same names.

    Raises:
        UsageError: an unknown name, or a temperature that has no meaning.
    """

    loss: str = "ce"
    temperature: float = 1.0
    mask_norm: str = "constant"

    def __post_init__(self) -> None:
        known("loss", self.loss, LOSSES)
        known("mask_norm", self.mask_norm, MASK_NORMS)
        if self.temperature <= 0:
            raise UsageError(f"temperature is {self.temperature}: give a number above 0.")
        if self.temperature != 1 and self.loss == "mse":
            raise UsageError("mse compares logits and has no temperature: leave it at 1, or use loss='kl'.")

    def __call__(
        self, logits: Tensor, targets: Tensor, weights: Tensor | None = None, class_mask: Tensor | None = None
    ) -> Tensor:
        """Return the scalar loss of a batch; see ``sample_losses`` and ``batch_loss``."""
        losses = sample_losses(logits, targets, self.loss, temperature=self.temperature, class_mask=class_mask)
        return batch_loss(losses, weights, self.mask_norm)

    def divisor(self, size: int, weights: Tensor | None) -> Tensor | int:
        """Return what the weighted sum of a batch of ``size`` losses is divided by; see ``batch_loss``."""
        return batch_divisor(size, weights, self.mask_norm)

    def share(
        self,
        logits: Tensor,
        targets: Tensor,
        weights: Tensor | None,
        class_mask: Tensor | None,
        divisor: Tensor | int,
    ) -> Tensor:
        """Return what some samples add to the loss of their batch, whose ``divisor`` is known."""
        losses = sample_losses(logits, targets, self.loss, temperature=self.temperature, class_mask=class_mask)
        return (losses if weights is None else losses * weights.to(losses.dtype)).sum() / divisor


def known(what: str, asked: str, allowed: tuple[str, ...]) -> None:
    """Raise UnknownNameError unless ``asked`` is one of ``allowed``."""
    if asked not in allowed:
        raise unknown_name(what, asked, allowed)


def mask_logits(logits: Tensor, class_mask: Tensor | None) -> Tensor:
    """Put the logits [n, C] of classes outside ``class_mask`` (bool [C]) out of reach."""
    return logits if class_mask is None else logits.masked_fill(~class_mask, MASKED_LOGIT)


def sample_losses(
    logits: Tensor,
    targets: Tensor,
    loss: str = "ce",
    *,
    temperature: float = 1.0,
    class_mask: Tensor | None = None,
) -> Tensor:
    """Return one loss per sample, shape [n].

    With z the logits and y the target, p = softmax(z / T):
    ``ce`` and ``soft_ce`` are -sum_c y_c log p_c, ``kl`` is sum_c y_c (log y_c - log p_c) without a factor
    T squared, ``mse`` is the mean over classes of (z_c - y_c) squared.

    Args:
        logits: [n, C].
        targets: classes int64 [n], or [n, C]: probabilities (any numbers for ``mse``).
        loss: one of ``LOSSES``.
        temperature: T, divides the logits before the softmax; ``mse`` has none.
        class_mask: bool [C]; classes that are False take no part, and soft targets are renormalised
            over the others.

    Raises:
        UsageError: soft targets of another number of classes.
    """
    if targets.is_floating_point():
        check_width(targets, logits.shape[1])
        targets = targets.to(logits.dtype)
    if loss == "mse":
        return _squared_error(logits, targets, class_mask)
    scaled = mask_logits(logits if temperature == 1.0 else logits / temperature, class_mask)
    if not targets.is_floating_point():
        # A one-hot target has no entropy, so the three losses are one.
        return F.cross_entropy(scaled, targets, reduction="none")
    if class_mask is not None:
        kept = targets * class_mask
        targets = kept / kept.sum(1, keepdim=True)
    cross = -(targets * F.log_softmax(scaled, dim=1)).sum(1)
    return cross + torch.xlogy(targets, targets).sum(1) if loss == "kl" else cross


def check_width(targets: Tensor, classes: int) -> None:
    """Refuse soft labels [n, C] of another width than the network's head.

    Raises:
        UsageError: says both.
    """
    if targets.shape[-1] != classes:
        raise UsageError(
            f"the soft labels have {targets.shape[-1]} classes, but the network's head has {classes}. "
            "Give labels and a network of the same classes."
        )


def batch_loss(losses: Tensor, weights: Tensor | None, mask_norm: str = "constant") -> Tensor:
    """Average the losses [n] of a batch into a scalar.

    Args:
        losses: one per sample, [n].
        weights: one per sample, [n], or none.
        mask_norm: the weighted sum is divided by n (``constant``) or by the sum of the weights (``sum``;
            a batch whose weights sum to zero gives its weighted sum undivided).
    """
    if weights is None:
        return losses.mean()
    weights = weights.to(losses.dtype)
    weighted = losses * weights
    if mask_norm == "constant":
        return weighted.mean()
    return weighted.sum() / batch_divisor(len(losses), weights, mask_norm)


def batch_divisor(size: int, weights: Tensor | None, mask_norm: str) -> Tensor | int:
    """Return what ``batch_loss`` divides by: the batch's size, or the sum of its weights unless that is zero."""
    if weights is None or mask_norm == "constant":
        return size
    total = weights.sum()
    return torch.where(total == 0, torch.ones_like(total), total)


def _squared_error(logits: Tensor, targets: Tensor, class_mask: Tensor | None) -> Tensor:
    if not targets.is_floating_point():
        classes = torch.arange(logits.shape[1], device=targets.device)
        targets = (targets[:, None] == classes).to(logits.dtype)
    squares = (logits - targets).square()
    return squares.mean(1) if class_mask is None else (squares * class_mask).sum(1) / class_mask.sum()
