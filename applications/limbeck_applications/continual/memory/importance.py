"""In what order a memory gives up its images: every first part of a class is as good as it can be made.

A memory of fixed size loses images of old classes whenever new ones arrive. Images that were distilled together
complement each other, and a part of them drawn by lot is worse than a set distilled for that size: He et al.,
"Multisize Dataset Condensation" (arXiv:2403.06075), call it subset degradation, and judge a part of a set by how far
its mean feature is from that of the real images. He, Xiao and Zhou, "You Only Condense Once" (arXiv:2310.14019), order
images once, easy ones first, and keep as many of each class. The order here is that of herding: Rebuffi et al., "iCaRL"
(arXiv:1611.07725), equation 4 and algorithm 4, by which images are also dropped from the end (algorithm 5). Public
codes he-y/Multisize-Dataset-Condensation and he-y/you-only-condense-once (no licence file) were read for how parts are
judged.

The same: the image taken next is the one that brings the mean feature of those taken nearest to the mean feature of the
real class, and as many are kept of each class.

Different: candidates are synthetic images, and the mean is that of the real ones of the experience, at the last time
that they are there to be asked. Features are those of several networks with random weights side by side, each scaled so
that real images lie at distance 1 from the mean of their class, in the square mean; nothing is trained, so that the
order costs next to nothing. A stored image that forms several training images counts with the mean of their features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.data import RealData
from limbeck.errors import DataError
from limbeck.networks import FunctionalNetwork, State
from limbeck.networks.functional import EMBEDDING
from limbeck_applications.continual.memory.piece import Piece

NETWORKS = 8
"""Networks whose features are compared."""

IMAGES = 256
"""Real images of each class that stand for its mean; all where there are fewer."""

IMAGES_A_PASS = 256


def by_importance(piece: Piece, real: RealData, network: FunctionalNetwork, generator: torch.Generator) -> Tensor:
    """Return an order of a piece's images in which any first part of a class stands for the whole class.

    Args:
        piece: its images, in whatever order.
        real: training images of the experience; labels are the stream's.
        network: a structure for images of that shape; random weights are drawn for it.
        generator: owner of these weights and of which real images are looked at, on the network's device.

    Returns:
        Rows of the piece int64 [n], class by class in the order of its ``classes``, the most important first.

    Raises:
        DataError: a class of the piece has no real images.
    """
    targets = [real.take(sample(real, label, generator)) for label in piece.classes]
    states = [network.initial(generator) for _ in range(NETWORKS)]
    return nested_order(piece, targets, network, states)


def nested_order(piece: Piece, targets: list[Tensor], network: FunctionalNetwork, states: list[State]) -> Tensor:
    """Return the order as networks of given weights see it.

    Args:
        piece: the images to order.
        targets: normalised real images of each of its classes, [r, ch, h, w] each.
        network: a structure for images of that shape.
        states: weights of one network or more.

    Returns:
        As ``by_importance``.
    """
    images, stored = piece.training_images()
    offsets = [_offsets(network, state, images, stored.to(network.device), piece, targets) for state in states]
    features = torch.cat(offsets, 1).cpu()
    found = []
    for place in range(len(piece.classes)):
        rows = (piece.made.group == place).nonzero().flatten()
        found.append(rows[herded(features[rows])])
    return torch.cat(found)


def herded(offsets: Tensor, count: int | None = None) -> Tensor:
    """Return rows in an order that keeps the mean of those taken nearest to zero, each step by itself.

    With sum S of the k rows taken, the next is the one that makes |S + row| least. The first of equal ones is taken.

    Args:
        offsets: features of the candidates less the mean they should have, [n, d].
        count: how many rows are wanted at most; all by default.

    Returns:
        Rows in order, int64 [min(n, count)].
    """
    squares = offsets.square().sum(1)
    total = torch.zeros_like(offsets[0]) if len(offsets) else offsets.sum(0)
    order = []
    for _ in range(len(offsets) if count is None else min(count, len(offsets))):
        row = int((squares + 2 * (offsets @ total)).argmin())
        order.append(row)
        total = total + offsets[row]
        squares[row] = torch.inf
    return torch.tensor(order, dtype=torch.int64)


def sample(real: RealData, label: int, generator: torch.Generator) -> Tensor:
    """Return real images of one class that stand for it, indices int64 [min(IMAGES, size)].

    Raises:
        DataError: there is none.
    """
    members = (real.labels == label).nonzero().flatten()
    if not len(members):
        name = real.spec.class_names[label]
        raise DataError(f"no training image of class {label} ('{name}') is there to compare synthetic ones with.")
    order = torch.randperm(len(members), generator=generator, device=generator.device)[:IMAGES]
    return members[order.to(members.device)]


@torch.no_grad()
def _offsets(
    network: FunctionalNetwork, state: State, images: Tensor, stored: Tensor, piece: Piece, targets: list[Tensor]
) -> Tensor:
    """Return stored images' features less the mean of their real class, in units of how real images spread, [n, d]."""
    real = [_embedded(network, state, rows) for rows in targets]
    means = torch.stack([rows.mean(0) for rows in real])
    spread = torch.cat([rows - mean for rows, mean in zip(real, means, strict=True)]).square().sum(1).mean().sqrt()
    formed = _embedded(network, state, images)
    sums = formed.new_zeros(len(piece.made), formed.shape[1]).index_add_(0, stored, formed)
    counts = torch.bincount(stored, minlength=len(piece.made)).to(sums.dtype)
    group = piece.made.group.to(means.device)
    return (sums / counts[:, None] - means[group]) / spread.clamp_min(torch.finfo(spread.dtype).tiny)


def _embedded(network: FunctionalNetwork, state: State, images: Tensor) -> Tensor:
    parts = torch.split(images.to(network.device, network.dtype), IMAGES_A_PASS)
    found = [network.features(state, part, [EMBEDDING], train=False)[EMBEDDING] for part in parts]
    return torch.cat(found).double()
