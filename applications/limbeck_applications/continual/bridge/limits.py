"""What a memory for users' own scripts may keep, in images and in bytes, and by which keywords it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from limbeck.config import RunConfig
from limbeck.data import DataSpec, RealData
from limbeck.errors import UsageError, unknown_name
from limbeck.options import parse
from limbeck_applications.continual.bridge.preprocessing import given_statistics
from limbeck_applications.continual.memory.budget import Budget
from limbeck_applications.continual.memory.distiller import Distiller, MemorySpec
from limbeck_applications.continual.memory.memory import DistilledMemory
from limbeck_applications.continual.memory.piece import Piece

UNLIMITED = 2**62
"""Bytes where only images are counted."""


class Keeping(MemorySpec):
    """What is kept of a stream, and how it is made: the keywords of the classes for users' own scripts.

    Keywords that are sections of a run (``optimiser={"lr_img": 1.0}``) go to the method.
    """

    method: str = Field("dm", description="registered method that makes the images; random and herding pick real ones")
    max_size: int | None = Field(None, ge=1, description="stored images in all")
    max_bytes: int | None = Field(None, ge=1, description="bytes in all: pixels as stored, labels, what travels along")
    grows: bool = Field(
        False, description="a class's share of the whole from the start, and not all for the classes seen so far"
    )
    num_classes: int | None = Field(None, ge=1, description="classes of the stream; counted when not given")
    seed: int = Field(0, ge=0, description="of everything random about the memory")
    mean: tuple[float, ...] | None = Field(None, description="that the stream normalises with; found when not given")
    std: tuple[float, ...] | None = Field(None, description="that the stream normalises with; found when not given")
    mirror: bool | None = Field(
        None, description="whether a horizontal flip keeps a class; whether the stream flips when not given"
    )

    @classmethod
    def of(cls, where: str, options: Mapping[str, Any]) -> Keeping:
        """Read a class's keywords.

        Args:
            where: its name, for messages.
            options: what the user gave.

        Raises:
            UsageError: an unknown keyword or method, no limit at all, or a value out of range.
        """
        known, sections = set(cls.model_fields), set(RunConfig.model_fields)
        for name in options:
            if name not in known | sections:
                raise unknown_name(f"option of {where}", name, known | sections)
        settings = {**options.get("settings", {}), **{k: v for k, v in options.items() if k not in known}}
        given = {k: v for k, v in options.items() if k in known and k != "settings"}
        found = parse(cls, {**given, "settings": settings}, where)
        if found.max_size is None and found.max_bytes is None:
            raise UsageError(f"say how much may be kept: {where}(200) for images, or {where}(max_bytes=100_000).")
        given_statistics(found.mean, found.std)
        return found


@dataclass(frozen=True)
class Limit(Budget):
    """A budget that never exceeds its whole, also where classes come again in other experiences."""

    def a_class(self, seen: int) -> int:
        """Return the bytes of each class when ``seen`` classes share what is allowed."""
        return self.total // (max(seen, self.classes) if self.grows else seen)


class LimitedMemory(DistilledMemory):
    """A distilled memory limited in images, in bytes, or in both.

    Args:
        distiller: makes the pieces.
        keeping: the limits.
        num_classes: of the stream.
    """

    def __init__(self, distiller: Distiller, keeping: Keeping, num_classes: int) -> None:
        shares = num_classes if keeping.grows else 1
        total = keeping.max_bytes or UNLIMITED
        super().__init__(distiller, Limit(total // shares, shares, keeping.grows), keeping.seed)
        self.max_size, self.num_classes = keeping.max_size, num_classes
        self._sharing = 0

    def check(self, classes: Sequence[int], spec: DataSpec) -> None:
        """Refuse limits that are too small for the whole stream, as far as the classes of one experience tell.

        Raises:
            UsageError: not one image of each class fits.
        """
        self._sharing = self.num_classes
        self.share_of(classes, self.budget.a_class(self.num_classes), spec)

    def add(self, real: RealData, classes: Sequence[int]) -> Piece:
        """Distil an experience and make room for it; see ``DistilledMemory.add``."""
        self._sharing = self.seen + len(classes)
        return super().add(real, classes)

    def refit(self) -> None:
        """Make the pieces small enough for limits that have changed."""
        if self.pieces:
            self._sharing = self.seen
            share = self.budget.a_class(self.seen)
            self.pieces = tuple(self._fitted(piece, share) for piece in self.pieces)

    def share_of(self, classes: Sequence[int], share: int, spec: DataSpec) -> int:
        """Return how many images of each class may be kept while as many as now share the memory.

        Raises:
            UsageError: not one.
        """
        cost = self.distiller.cost(spec, len(classes))
        if share < cost:
            sharing = self.budget.total // share if share else self._sharing
            raise UsageError(
                f"a memory of {self.budget.total:,} bytes cannot hold one {self.distiller.spec.storage} image of "
                f"{cost:,} bytes of each of {sharing} classes: give max_bytes={sharing * cost} or more."
            )
        fits = min(share // cost, self._most())
        return min(fits, self.distiller.spec.ipc or fits)

    def room(self, piece: Piece, share: int) -> int:
        """Return how many of a piece's images of each class may be kept, by bytes and by number."""
        return min(super().room(piece, share), self._most())

    def _most(self) -> int:
        """Return the images of each class that the limit in images allows."""
        if self.max_size is None:
            return UNLIMITED
        sharing = max(self._sharing, self.num_classes) if self.budget.grows else self._sharing
        if self.max_size < sharing:
            raise UsageError(
                f"a memory of {self.max_size} images cannot hold one of each of {sharing} classes: "
                f"give it {sharing} or more."
            )
        return self.max_size // sharing
