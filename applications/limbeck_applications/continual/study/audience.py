"""Who is told what while a study goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limbeck_applications.continual.strategy import Row
    from limbeck_applications.continual.study.plan import Plan
    from limbeck_applications.continual.study.rows import Cell, Outcome


class Audience:
    """Told of everything that happens; what it does not override is nothing."""

    def planned(self, made: Plan, cells: Mapping[Cell, int]) -> None:
        """Called first: what is to be done, and how many rows of each cell are there already."""

    def distils(self, memory: str, order: int, experience: int) -> None:
        """Called for each piece of a memory that is not there yet, before the first is made."""

    def distilled(self, memory: str, order: int, experience: int, seconds: float) -> None:
        """Called when a piece is made."""

    def begins(self, cells: Sequence[Cell]) -> None:
        """Called before the cells are learned that have rows missing."""

    def row(self, cell: Cell, position: int, row: Row) -> None:
        """Called when a row is kept."""

    def failed(self, cell: Cell, reason: str) -> None:
        """Called when a cell came to nothing; the others go on."""

    def tabled(self, outcome: Outcome) -> None:
        """Called with what there is now and then, and at the end."""
