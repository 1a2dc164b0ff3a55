"""A distilled memory: pieces of past experiences within a budget of bytes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from limbeck.data import DataSpec, RealData
from limbeck.errors import UsageError
from limbeck.files import format_bytes
from limbeck.seeding import derive_seed
from limbeck_applications.continual.memory.budget import Budget
from limbeck_applications.continual.memory.distiller import Distiller
from limbeck_applications.continual.memory.piece import Piece
from limbeck_applications.continual.memory.shrink import fitting, keep_best, redistil
from limbeck_applications.continual.strategy import Kept


class DistilledMemory:
    """What is kept of a stream so far.

    Attributes:
        pieces: one an experience, in order.
        distilling: seconds spent on the experience that was added last.

    Args:
        distiller: makes the pieces.
        budget: what may be kept.
        seed: of the distillations.
    """

    def __init__(self, distiller: Distiller, budget: Budget, seed: int) -> None:
        self.distiller, self.budget, self.seed = distiller, budget, seed
        self.pieces: tuple[Piece, ...] = ()
        self.distilling = 0.0

    def add(self, real: RealData, classes: Sequence[int]) -> Piece:
        """Distil an experience from its images alone, and make room for it.

        Args:
            real: its training images.
            classes: their classes.

        Returns:
            The piece that was added.

        Raises:
            UsageError: the budget does not hold an image of each class, or not what travels with the images.
        """
        position = len(self.pieces)
        share = self.budget.a_class(self.seen + len(classes))
        old = tuple(self._fitted(piece, share) for piece in self.pieces)
        ipc = self.ipc(real, classes, self.seen + len(classes))
        piece = self.distiller.distil(real, classes, ipc, piece_seed(self.seed, position), position)
        piece = keep_best(piece, self.room(piece, share))
        changed = [p for p, before in zip(old, self.pieces, strict=True) if p is not before]
        again = changed if self.distiller.spec.shrink == "redistil" else []
        self.distilling = piece.seconds + sum(each.seconds for each in again)
        self.pieces = (*old, piece)
        return piece

    def ipc(self, real: RealData, classes: Sequence[int], seen: int) -> int:
        """Return how many images of each class of an experience are distilled.

        Args:
            real: its training images; where nobody says how many to keep, not more than there are.
            classes: its classes.
            seen: classes so far, its own included.

        Raises:
            UsageError: not one, or fewer than were asked for.
        """
        fits = self.share_of(classes, self.budget.a_class(seen), real.spec)
        return fits if self.distiller.spec.ipc is not None else min(fits, self.distiller.most(real, classes))

    def share_of(self, classes: Sequence[int], share: int, spec: DataSpec) -> int:
        """Return how many images of each class ``share`` bytes a class hold, not more than were asked for.

        Raises:
            UsageError: not one, or fewer than were asked for.
        """
        cost, asked = self.distiller.cost(spec, len(classes)), self.distiller.spec.ipc
        fits = share // cost
        if fits < 1:
            raise UsageError(
                f"a class may take {format_bytes(share)}, but one {self.distiller.spec.storage} image of it takes "
                f"{format_bytes(cost)}. Allow more, for example --images 10, or keep less a number: storage=uint8."
            )
        if asked is not None and asked > fits and self.budget.grows:
            raise UsageError(
                f"{asked} images a class kept as {self.distiller.spec.storage} take {format_bytes(asked * cost)}, but "
                f"a class may take {format_bytes(share)}, which is {fits}. Drop ipc, or allow more with --images."
            )
        return min(fits, asked or fits)

    def room(self, piece: Piece, share: int) -> int:
        """Return how many of a piece's images of each class ``share`` bytes a class hold; see ``fitting``."""
        return fitting(piece, share)

    @property
    def seen(self) -> int:
        """Classes so far; a class that came again in another domain counts again."""
        return sum(len(piece.classes) for piece in self.pieces)

    @property
    def bytes(self) -> int:
        """What is kept in all."""
        return sum(piece.bytes for piece in self.pieces)

    @property
    def images(self) -> int:
        """Stored images in all."""
        return sum(len(piece.made) for piece in self.pieces)

    def kept(self, spec: DataSpec) -> Kept:
        """Return what networks are trained on; labels are probabilities as soon as one piece has them."""
        formed = [piece.formed(spec) for piece in self.pieces]
        soft = any(labels.ndim == 2 for _, labels in formed)
        labels = [_soft(each, spec.num_classes) if soft else each for _, each in formed]
        images = torch.cat([each for each, _ in formed])
        return Kept(images, torch.cat(labels), self.bytes, self.images, self.distilling)

    def _fitted(self, piece: Piece, share: int) -> Piece:
        """Return an old piece that fits its share."""
        ipc = self.room(piece, share)
        if self.distiller.spec.shrink == "importance" or max(piece.counts) <= ipc:
            return keep_best(piece, ipc)
        return redistil(piece, ipc, self.distiller, piece_seed(self.seed, piece.experience, ipc))


def piece_seed(seed: int, *names: int) -> int:
    """Return the seed of a piece's distillation, small enough to be read."""
    return derive_seed(seed, "memory", *names) % 2**31


def _soft(labels: torch.Tensor, num_classes: int) -> torch.Tensor:
    return labels if labels.ndim == 2 else torch.nn.functional.one_hot(labels, num_classes).float()
