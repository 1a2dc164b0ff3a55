"""Accuracy of a trained network, counted where the data lie."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from limbeck.networks.functional import FunctionalNetwork, State
from limbeck.training.data import Samples
from limbeck.training.losses import mask_logits, sample_losses


@dataclass(frozen=True)
class Accuracy:
    """How well one network predicts one set.

    Attributes:
        overall: fraction of samples predicted right, in [0, 1].
        per_class: the same for each class; NaN where the set has no sample of the class.
        loss: mean cross-entropy per sample.
    """

    overall: float
    per_class: list[float]
    loss: float


def autocast(device: torch.device, dtype: torch.dtype | None) -> Any:
    """Return the context in which a forward pass runs: mixed precision for bfloat16, nothing otherwise."""
    return torch.autocast(device.type, dtype) if dtype is torch.bfloat16 else nullcontext()


PREDICTED = {True: 64, False: 512}
"""Images predicted at once, on a CPU and elsewhere: activations that leave a CPU's caches cost three times the time."""


@torch.no_grad()
def accuracy(
    network: FunctionalNetwork,
    state: State,
    data: Samples,
    chunk: int | None = None,
    *,
    class_mask: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> Accuracy:
    """Predict a whole set in eval mode.

    Args:
        network: the structure.
        state: its weights and buffers; unchanged.
        data: the set; soft labels count as their most probable class.
        chunk: images predicted at once; as many as are fastest on the device when None.
        class_mask: bool [C]; classes that are False are never predicted.
        dtype: ``torch.bfloat16`` predicts in mixed precision; anything else in the weights' own type.
    """
    example = state[network.parameter_names[0]]
    device, floating = example.device, example.dtype
    labels = data.labels.to(device)
    predicted, total = [], torch.zeros((), device=device)
    num_classes = 0
    for index in torch.split(torch.arange(len(data), device=device), chunk or PREDICTED[device.type == "cpu"]):
        with autocast(device, dtype):
            logits = network(state, data.take(index).to(device, floating), train=False)
        logits = logits.to(floating)
        targets = labels[index]
        total += sample_losses(logits, targets, class_mask=class_mask).sum()
        predicted.append(mask_logits(logits, class_mask).argmax(1))
        num_classes = logits.shape[1]
    truth = labels.argmax(1) if labels.is_floating_point() else labels
    right = truth[torch.cat(predicted) == truth].bincount(minlength=num_classes)
    present = truth.bincount(minlength=num_classes)
    return Accuracy(
        overall=int(right.sum()) / len(data),
        per_class=(right.double() / present).tolist(),
        loss=float(total) / len(data),
    )
