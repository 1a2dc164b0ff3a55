"""Gradient matching: real and synthetic images should pull a network's weights the same way.

Papers: Zhao, Mopuri, Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021, arXiv:2006.05929 (Eq. 4, 7);
Zhao, Bilen, "Dataset Condensation with Differentiable Siamese Augmentation", ICML 2021, arXiv:2102.08259 (Eq. 6).
Public code: VICO-UoE/DatasetCondensation (MIT). Same numbers: ``ours`` sums one cosine term per output channel,
skips one-dimensional weights, and neither averages over layers nor over classes.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from limbeck import Options as OptionsBase
from limbeck.matching import GradientMatcher, StepContext

Gradients = dict[str, Tensor]
EPSILON = 1e-6


def rowwise_cosine(syn: Tensor, real: Tensor) -> Tensor:
    """Sum over rows of one minus the cosine, arXiv:2006.05929 Eq. 7.

    Args:
        syn: gradient of one weight, first axis its output units, [out, ...].
        real: the real batch's, same shape.

    Returns:
        Scalar in [0, 2 out]. A weight with three axes (layer norm, [ch, h, w]) has ch rows of h w numbers.
    """
    syn, real = syn.flatten(1), real.flatten(1)
    lengths = syn.norm(dim=1) * real.norm(dim=1)
    cosines: Tensor = (syn * real).sum(1) / (lengths + EPSILON)
    return (1 - cosines).sum()


def ours(syn: Gradients, real: Gradients) -> Tensor:
    """Row-wise cosine distance summed over all weights with at least two axes."""
    return torch.stack([rowwise_cosine(syn[name], real[name]) for name in syn if syn[name].ndim > 1]).sum()


def mse(syn: Gradients, real: Gradients) -> Tensor:
    """Squared Euclidean distance over all weights, summed."""
    return torch.stack([(syn[name] - real[name]).square().sum() for name in syn]).sum()


def cos(syn: Gradients, real: Gradients) -> Tensor:
    """One minus the cosine of all weights as a single vector."""
    one, other = (torch.cat([grads[name].flatten() for name in syn]) for grads in (syn, real))
    cosine: Tensor = (one @ other) / (one.norm() * other.norm() + EPSILON)
    return 1 - cosine


DISTANCES = {"ours": ours, "mse": mse, "cos": cos}


class Gradient(GradientMatcher):
    """Distance between the weight gradients of a class's real and synthetic images (arXiv:2006.05929 Eq. 4)."""

    class Options(OptionsBase):
        """Settings of gradient matching."""

        distance: Literal["ours", "mse", "cos"] = Field(
            "ours", description="row-wise cosine (the paper's), squared error, or one cosine over everything"
        )

    def uses(self, name: str, weight: Tensor) -> bool:
        """Leave out what contributes nothing: biases and norm weights under ``ours``."""
        return self.options.distance != "ours" or weight.ndim > 1

    def distance(self, syn: Gradients, real: Gradients, step: StepContext) -> Tensor:
        """Return the chosen distance, a scalar."""
        return DISTANCES[self.options.distance](syn, real)
