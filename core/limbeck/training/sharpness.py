"""Sharpness-aware updates: where uphill is, and what to make of the two gradients.

With w the weights and g the gradient there, a network that is to end in a flat region learns from its gradient g' at
w + e, where a batch's loss is higher: e = rho g / |g| (SAM, arXiv:2010.01412, eq. 2 and algorithm 1). Measured by
each weight's own size, so that rescaling layers changes nothing, e = rho w^2 g / |w g|, elementwise (ASAM,
arXiv:2102.11600, algorithm 1 with T = |w|). What the two losses differ by, the surrogate gap, shrinks faster when the
part of g across g' is taken off g' (GSAM, arXiv:2203.08065, algorithm 1): g' - alpha (g - <g, u> u) with u = g' / |g'|.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from limbeck.errors import UsageError

SMALLEST = 1e-12
"""What a norm is at least, so that a gradient of zero moves nothing."""


@dataclass(frozen=True)
class Sharpness:
    """How far uphill a sharpness-aware update looks, and how it uses what it finds.

    Attributes:
        rho: how far, in units of the gradient's norm (or of |w g|).
        gap: alpha, how strongly the surrogate gap is pressed; 0: not at all.
        adaptive: measure each weight by its own size.

    Raises:
        UsageError: a number out of range, in ``fit``'s words.
    """

    rho: float
    gap: float = 0.0
    adaptive: bool = False

    def __post_init__(self) -> None:
        if not self.rho > 0:
            raise UsageError(f"sharpness is {self.rho}: give a number above 0, or None.")
        if not self.gap >= 0:
            raise UsageError(f"the gap of sharpness is {self.gap}: give 0 or more.")

    @classmethod
    def of(cls, given: float | Sharpness | None) -> Sharpness | None:
        """Return what was given; a number is the radius of the plain kind."""
        return given if given is None or isinstance(given, Sharpness) else cls(given)

    def climb(self, weights: list[Tensor], gradients: list[Tensor]) -> None:
        """Move the weights uphill, in place."""
        with torch.no_grad():
            sizes = torch._foreach_mul(weights, gradients) if self.adaptive else gradients
            scale = self.rho / torch.nn.utils.get_total_norm(sizes).clamp_min(SMALLEST)
            if self.adaptive:
                torch._foreach_addcmul_(weights, weights, torch._foreach_mul(sizes, scale))
            else:
                torch._foreach_add_(weights, torch._foreach_mul(gradients, scale))

    def turn(self, above: list[Tensor], below: list[Tensor]) -> None:
        """Take ``gap`` times the part of ``below`` across ``above`` off ``above``, in place.

        Args:
            above: the gradient uphill.
            below: the gradient at the weights themselves.
        """
        if not self.gap:
            return
        along = sum((left * right).sum() for left, right in zip(above, below, strict=True))
        share = along / torch.nn.utils.get_total_norm(above).square().clamp_min(SMALLEST**2)
        torch._foreach_mul_(above, 1 + self.gap * share)
        torch._foreach_add_(above, below, alpha=-self.gap)
