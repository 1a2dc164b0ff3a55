"""PyTorch's optimisers in their fused form, and gradients as these read them."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.training.task import Settings


def gradients_of(loss: Tensor, parameters: list[Tensor]) -> list[Tensor | None]:
    """Return a loss's gradients; None for what it does not depend on.

    A gradient may come in another memory layout than its parameter, which fused optimisers take no notice of.

    Args:
        loss: a scalar.
        parameters: contiguous leaves.
    """
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [None if each is None else each.contiguous() for each in found]


def make_optimiser(parameters: list[Tensor], settings: Settings) -> torch.optim.Optimizer:
    """Build PyTorch's own optimiser in its fused form, one kernel for all the weights."""
    lr, decay = settings.lr, settings.weight_decay
    if settings.optimiser == "adam":
        return torch.optim.Adam(parameters, lr=lr, weight_decay=decay, fused=True)
    if settings.optimiser == "adamw":
        return torch.optim.AdamW(parameters, lr=lr, weight_decay=decay, fused=True)
    return torch.optim.SGD(parameters, lr=lr, weight_decay=decay, momentum=settings.momentum, fused=True)
