"""Gradient matching: real and synthetic images should pull a network's weights the same way.

Papers: Zhao, Mopuri, Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021, arXiv:2006.05929 (Eq. 4, 7);
Zhao, Bilen, "Dataset Condensation with Differentiable Siamese Augmentation", ICML 2021, arXiv:2102.08259 (Eq. 6).
Public code: VICO-UoE/DatasetCondensation (MIT). Same numbers: ``ours`` sums one cosine term per output channel,
skips one-dimensional weights, and neither averages over layers nor over classes.

Kim et al., "Dataset Condensation via Efficient Synthetic-Data Parameterization" (IDC), ICML 2022, arXiv:2205.14959,
section 4, compares gradients of convolutions alone, by squared error or by ``l1``, summed and not averaged, as its
public code snu-mllab/Efficient-Dataset-Condensation (MIT) does.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from limbeck import Options as OptionsBase
from limbeck.errors import UsageError
from limbeck.matching import GradientMatcher, MatcherContext, StepContext

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


def l1(syn: Gradients, real: Gradients) -> Tensor:
    """Sum of absolute differences over all weights."""
    return torch.stack([(syn[name] - real[name]).abs().sum() for name in syn]).sum()


def cos(syn: Gradients, real: Gradients) -> Tensor:
    """One minus the cosine of all weights as a single vector."""
    one, other = (torch.cat([grads[name].flatten() for name in syn]) for grads in (syn, real))
    cosine: Tensor = (one @ other) / (one.norm() * other.norm() + EPSILON)
    return 1 - cosine


DISTANCES = {"ours": ours, "mse": mse, "l1": l1, "cos": cos}
CONVOLUTION = 4
"""Axes of a convolution's weight: output and input channels, height and width of the kernel."""


class Gradient(GradientMatcher):
    """Distance between the weight gradients of a class's real and synthetic images (arXiv:2006.05929 Eq. 4)."""

    class Options(OptionsBase):
        """Settings of gradient matching."""

        distance: Literal["ours", "mse", "l1", "cos"] = Field(
            "ours",
            description="row-wise cosine (the paper's), squared or absolute differences, or one cosine over everything",
        )
        weights: Literal["all", "convolutions"] = Field(
            "all", description="whose gradients are compared: all that the distance looks at, or convolutions alone"
        )

    def prepare(self, context: MatcherContext) -> None:
        """Refuse a network that has nothing to compare.

        Raises:
            UsageError: it has no convolution, and they alone are asked for.
        """
        if not any(self.uses(*weight) for weight in context.network.module.named_parameters()):
            raise UsageError(
                f"network '{context.network.name}' has no convolutions, whose gradients alone are compared: "
                "type matcher.weights=all, or choose another network."
            )

    def uses(self, name: str, weight: Tensor) -> bool:
        """Leave out what contributes nothing, biases and norm weights under ``ours``, and what is not asked for."""
        if self.options.weights == "convolutions":
            return weight.ndim == CONVOLUTION
        return self.options.distance != "ours" or weight.ndim > 1

    def distance(self, syn: Gradients, real: Gradients, step: StepContext) -> Tensor:
        """Return the chosen distance, a scalar."""
        return DISTANCES[self.options.distance](syn, real)
