"""Tiny data, a tiny network and tiny batches that every check is made with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from limbeck.data import DataSpec, RealData
from limbeck.matching import StepContext
from limbeck.networks import FunctionalNetwork
from limbeck.seeding import generator
from limbeck.testing.suite import require

CLASSES, CHANNELS, SIDE = 3, 3, 8
SPEC = DataSpec(
    "tiny", (CHANNELS, SIDE, SIDE), CLASSES, ("a", "b", "c"), (0.5,) * CHANNELS, (0.25,) * CHANNELS, mirror=True
)
STEP = StepContext(0, 0, 1, 0)
DIRECTIONS, STEP_SIZE = 3, 1e-6


def tiny_data(per_class: int = 10) -> RealData:
    """Return real images of 3 classes, uint8 [3 * per_class, 3, 8, 8]; each class has its own brightness."""
    labels = torch.arange(CLASSES).repeat(per_class)
    noise = torch.rand(len(labels), *SPEC.shape, generator=generator(0, "tiny", "data"))
    return RealData((noise + labels[:, None, None, None]) / CLASSES, labels, SPEC)


def tiny_network(dtype: torch.dtype = torch.float32) -> FunctionalNetwork:
    """Return a network of two convolutions with norm, ReLU and pooling, and a linear classifier."""
    with torch.random.fork_rng(devices=[]):
        module = nn.Sequential(
            nn.Conv2d(CHANNELS, 4, 3, padding=1),
            nn.GroupNorm(4, 4),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.GroupNorm(4, 4),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(4 * (SIDE // 4) ** 2, CLASSES),
        )
    return FunctionalNetwork(module, SPEC.shape, dtype=dtype, name="tiny")


def normal(*shape: int, owner: str = "images", dtype: torch.dtype = torch.float64) -> Tensor:
    """Return normal numbers of a shape; the same for the same owner."""
    return torch.randn(shape, generator=generator(0, "tiny", owner), dtype=dtype)


@dataclass
class TinyBatches:
    """Three groups of images in float64; the synthetic ones, [3, n, ch, h, w], are a leaf."""

    leaf: Tensor
    reals: Tensor

    def real(self, group: int) -> tuple[Tensor, Tensor]:
        """Return a group's real images [B, ch, h, w] and labels [B]."""
        return self.reals[group], torch.full((self.reals.shape[1],), group)

    def synthetic(self, group: int) -> tuple[Tensor, Tensor]:
        """Return a group's synthetic images [n, ch, h, w], with their graph, and labels [n]."""
        return self.leaf[group], torch.full((self.leaf.shape[1],), group)

    def calibration(self, per_group: int) -> Tensor:
        """Return real images of every group, [n, ch, h, w]."""
        return self.reals[:, :per_group].flatten(0, 1)


def tiny_batches() -> TinyBatches:
    """Return 3 synthetic and 5 real images for each of 3 groups."""
    leaf = normal(CLASSES, 3, *SPEC.shape, owner="synthetic").requires_grad_()
    return TinyBatches(leaf, normal(CLASSES, 5, *SPEC.shape, owner="real"))


def require_slope(compute: Callable[[Tensor], Tensor], at: Tensor, gradient: Tensor, sign: float = 1.0) -> None:
    """Require that a gradient is the slope of a function, by central differences along random directions.

    Args:
        compute: returns a scalar of a tensor like ``at``.
        at: float64, any shape.
        gradient: what is said to be the slope there.
        sign: of the slope, -1 where the gradient is to lead uphill.

    Raises:
        Broken: the two differ by more than rounding.
    """
    for direction in _directions(at):
        up, down = (float(compute(at.detach() + s * STEP_SIZE * direction)) for s in (1, -1))
        slope, claimed = sign * (up - down) / (2 * STEP_SIZE), float((gradient * direction).sum())
        tolerance = 1e-5 * abs(slope) + 1e-6 * float(gradient.norm()) + 1e-9
        require(
            abs(slope - claimed) <= tolerance,
            f"the gradient says {claimed:.6g} along a random direction, differences {slope:.6g}",
        )


def require_close(one: Tensor, other: Tensor, what: str, relative: float = 1e-9) -> None:
    """Require two tensors of one shape to agree to a share of their size.

    Raises:
        Broken: they do not; ``what`` says of which they are.
    """
    require(one.shape == other.shape, f"{what}: shape {list(one.shape)} against {list(other.shape)}")
    error, size = float((one - other).abs().max()), float(other.abs().max())
    require(error <= relative * size + 1e-12, f"{what}: off by {error:.2g} where numbers reach {size:.2g}")


def _directions(like: Tensor) -> Iterator[Tensor]:
    draw = generator(0, "tiny", "directions")
    for _ in range(DIRECTIONS):
        direction = torch.randn(like.shape, generator=draw, dtype=like.dtype)
        yield direction / direction.norm()
