"""Tiny data, a tiny network and tiny batches that every check is made with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from limbeck.data import DataSpec, RealData
from limbeck.matching import StepContext
from limbeck.matching.base import Minibatch, Relabelling
from limbeck.networks import FunctionalNetwork
from limbeck.seeding import generator
from limbeck.testing.suite import require

CLASSES, CHANNELS, SIDE = 3, 3, 8
SPEC = DataSpec(
    "tiny", (CHANNELS, SIDE, SIDE), CLASSES, ("a", "b", "c"), (0.5,) * CHANNELS, (0.25,) * CHANNELS, mirror=True
)
STEP = StepContext(0, 0, 1, 0)
DIRECTIONS, STEP_SIZE = 3, 1e-6
STUDENT_RATE = 0.1


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
    """Three groups of images in float64, and what students learn of them.

    Attributes:
        leaf: synthetic images [3, n, ch, h, w], a leaf.
        reals: real images [3, B, ch, h, w].
        log_rate: logarithm of students' learning rate, a scalar leaf.
        logits: soft labels before softmax [3, n, C], a leaf; None: class ids.
        taught: labels that students were given in place of the set's, [3 * n] or [3 * n, C]. They are constants, so who
            asks for slopes hands them on to the batches beside these.
    """

    leaf: Tensor
    reals: Tensor
    log_rate: Tensor = field(default_factory=lambda: torch.tensor(STUDENT_RATE, dtype=torch.float64).log())
    logits: Tensor | None = None
    taught: Tensor | None = None

    def __post_init__(self) -> None:
        for tensor in self.learned().values():
            tensor.requires_grad_()

    def learned(self) -> dict[str, Tensor]:
        """Return the leaves by name."""
        given = {"leaf": self.leaf, "log_rate": self.log_rate, "logits": self.logits}
        return {name: tensor for name, tensor in given.items() if tensor is not None}

    def real(self, group: int) -> tuple[Tensor, Tensor]:
        """Return a group's real images [B, ch, h, w] and labels [B]."""
        return self.reals[group], torch.full((self.reals.shape[1],), group)

    def synthetic(self, group: int) -> tuple[Tensor, Tensor]:
        """Return a group's synthetic images [n, ch, h, w], with their graph, and labels [n] or [n, C]."""
        if self.logits is not None:
            return self.leaf[group], self.logits[group].softmax(1)
        return self.leaf[group], torch.full((self.leaf.shape[1],), group)

    def calibration(self, per_group: int) -> Tensor:
        """Return real images of every group, [n, ch, h, w]."""
        return self.reals[:, :per_group].flatten(0, 1)

    def students(self, steps: int, size: int | None, relabel: Relabelling | None = None) -> list[Minibatch]:
        """Return what gives each update's images and labels; every update sees them in a brightness of its own."""
        images, labels = self._all()
        if relabel is not None and self.taught is None:
            self.taught = relabel(images.detach(), labels.detach())
        draw, total = generator(0, "tiny", "order"), len(images)
        passes = [torch.randperm(total, generator=draw) for _ in range(steps)]
        rows = [part for order in passes for part in torch.split(order, size or total)]

        def minibatch(place: int) -> tuple[Tensor, Tensor]:
            images, labels = self._all()
            taught = labels if relabel is None or self.taught is None else self.taught
            return images[rows[place]] * (1 + place / 10), taught[rows[place]]

        return [partial(minibatch, place) for place in range(steps)]

    def syn_lr(self) -> Tensor:
        """Return students' learning rate, with its graph."""
        return self.log_rate.exp()

    def _all(self) -> tuple[Tensor, Tensor]:
        images, labels = zip(*map(self.synthetic, range(len(self.leaf))), strict=True)
        return torch.cat(images), torch.cat(labels)


def tiny_batches(*, soft: bool = False) -> TinyBatches:
    """Return 3 synthetic and 5 real images for each of 3 groups; with soft labels if asked."""
    leaf, reals = normal(CLASSES, 3, *SPEC.shape, owner="synthetic"), normal(CLASSES, 5, *SPEC.shape, owner="real")
    return TinyBatches(leaf, reals, logits=normal(CLASSES, 3, CLASSES, owner="labels") if soft else None)


class TinyTrajectories:
    """Experts whose weights wander from epoch to epoch.

    Args:
        network: whose weights these are.
        dead: nothing flows through the network; only the last layer's biases move.
    """

    experts, epochs = 2, 100

    def __init__(self, network: FunctionalNetwork, *, dead: bool = False) -> None:
        draw = generator(0, "tiny", "experts")
        first = [network.flatten(network.initial(draw)) for _ in range(self.experts)]
        size = (self.experts, self.epochs, len(first[0]))
        moves = torch.randn(size, generator=draw, dtype=network.dtype) / 50
        self._weights = torch.cat([torch.stack(first)[:, None], moves], 1).cumsum(1)
        if dead:
            self._weights[..., : -network.num_classes] = 0

    def weights(self, expert: int, epoch: int) -> Tensor:
        """Return all weights of an expert after an epoch as one vector [P]."""
        return self._weights[expert, epoch]


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
