"""What a study has found: cells, their rows on disk, and the outcome that tables and pages are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from limbeck.files import append
from limbeck_applications.continual.strategy import Row
from limbeck_applications.continual.study.asked import StudySettings

NAME = "rows.jsonl"


@dataclass(frozen=True)
class Cell:
    """One stream learned once.

    Attributes:
        strategy: registered name, with its options where they are not the defaults.
        memory: name of the memory, "" where the strategy keeps none that is distilled.
        order: number of the class order.
        seed: number of the network.
        key: changes with everything that its rows depend on.
    """

    strategy: str
    memory: str
    order: int
    seed: int
    key: str

    @property
    def name(self) -> str:
        """What tables call its strategy."""
        return f"{self.strategy} [{self.memory}]" if self.memory else self.strategy

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"{self.name}, order {self.order}, seed {self.seed}"


@dataclass(frozen=True)
class Outcome:
    """A study as far as it has come.

    Attributes:
        settings: what was asked.
        cells: rows of each cell, in the order of experiences; fewer than experiences where it is not finished.
        failures: why a cell came to nothing, one line each.
        experiences: names of the classes of each experience, for each class order.
        memories: folders of the pieces each memory is made of at the end, by its name and class order.
        scenario: "class" or "domain".
        per_class: bytes that may be kept for each class.
        deviations: in what a named protocol was not followed.
        command: what was typed.
    """

    settings: StudySettings
    cells: dict[Cell, list[Row]]
    failures: dict[Cell, str]
    experiences: list[list[list[str]]]
    memories: dict[tuple[str, int], list[Path]] = field(default_factory=dict)
    scenario: str = "class"
    per_class: int = 0
    deviations: tuple[str, ...] = ()
    command: str = ""

    @property
    def finished(self) -> dict[Cell, list[Row]]:
        """The cells that have a row for every experience."""
        return {cell: rows for cell, rows in self.cells.items() if len(rows) == len(self.experiences[cell.order])}


class Rows:
    """Rows of a folder by the key of their cell and the experience; one line each, appended as they come.

    A line that cannot be read counts as absent: a kill in the middle of writing loses that row alone.

    Args:
        folder: of the study.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._known: dict[str, dict[int, tuple[Row, str]]] = {}
        text = self.path.read_text(encoding="utf-8", errors="replace") if self.path.exists() else ""
        self._is_cut = not text.endswith("\n") and text != ""
        for line in text.splitlines():
            try:
                values = json.loads(line)
                found = Row.from_dict(values["row"]), values.get("held", "")
                self._known.setdefault(values["key"], {})[values["experience"]] = found
            except (ValueError, KeyError, TypeError):
                continue

    def of(self, cell: Cell, held: Sequence[str] | None = None) -> dict[int, Row]:
        """Return what is known of a cell, by experience.

        Args:
            cell: which.
            held: what the memory holds after each experience, where that is known; rows of another content are left
                out, as they may be when a piece was damaged and made again within a limit of time.
        """
        known = self._known.get(cell.key, {})
        return {t: row for t, (row, of) in known.items() if held is None or (t < len(held) and of == held[t])}

    def add(self, cell: Cell, position: int, row: Row, held: str = "") -> None:
        """Keep a row, with a digest of what its memory held."""
        self._known.setdefault(cell.key, {})[position] = row, held
        where = {"strategy": cell.strategy, "memory": cell.memory, "order": cell.order, "seed": cell.seed}
        line = {"key": cell.key, **where, "experience": position, "held": held, "row": row.to_dict()}
        append(self.path, ("\n" if self._is_cut else "") + json.dumps(line) + "\n")
        self._is_cut = False


def unbroken(rows: Mapping[int, Row]) -> list[Row]:
    """Return rows from the first experience on, as far as none is missing."""
    end = next(t for t in range(len(rows) + 1) if t not in rows)
    return [rows[t] for t in range(end)]
