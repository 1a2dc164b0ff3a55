"""Running a study: memories first, then every cell that is missing; what is finished is never done again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from limbeck.execution.device import keep_freed_memory
from limbeck.execution.executors import Executor, Job, Result
from limbeck.files import folder_lock
from limbeck.plugins import registry
from limbeck_applications.continual.strategy import FromMemory, Kept, Row
from limbeck_applications.continual.stream import Stream
from limbeck_applications.continual.study.asked import StudySettings
from limbeck_applications.continual.study.audience import Audience
from limbeck_applications.continual.study.cell import HERE
from limbeck_applications.continual.study.kept import check_folder, save_outcome
from limbeck_applications.continual.study.memories import Memories, Timeline, Which, preprocessing
from limbeck_applications.continual.study.plan import Part, Plan, plan
from limbeck_applications.continual.study.rows import Cell, Outcome, Rows, unbroken

MEMORIES = "memories"

PAGE_SECONDS = 60
"""Least time between two pages while rows are still missing."""


def run_study(
    settings: StudySettings,
    folder: Path,
    *,
    data_root: Path | None = None,
    download: bool = False,
    cache: Path | None = None,
    audience: Audience | None = None,
    command: str = "",
    deviations: tuple[str, ...] = (),
) -> Outcome:
    """Learn every cell that ``folder`` does not hold yet.

    Every row is kept under a key made of all that it depends on, as soon as it is there. A study that was killed is
    continued by the same call and comes to the same rows: a cell of a library's strategy is learned whole or again,
    a cell that is retrained from its memory goes on after its last experience, a piece of a memory from its checkpoint.

    Args:
        settings: what to do.
        folder: keeps the rows and the memories.
        data_root: where data sets lie.
        download: whether missing data may be fetched.
        cache: for what does not depend on a cell, such as an encoder; ``folder/cache`` when None.
        audience: who is told.
        command: what was typed.
        deviations: in what a named protocol is not followed.

    Raises:
        Interrupted: stopped by the user.
        LimbeckError: what would end every cell: data that is missing, a request that cannot be fulfilled.
    """
    check_folder(folder, settings)
    cache = cache or folder / "cache"
    made = plan(settings, data_root=data_root, download=download, cache=cache)
    if made.device.type == "cpu":
        keep_freed_memory()
    with folder_lock(folder):
        work = _Study(made, folder, data_root, cache, audience or Audience())
        work.outcome = lambda: _outcome(work, command, deviations)
        return work.run()


@dataclass
class _Study:
    plan: Plan
    folder: Path
    data_root: Path | None
    cache: Path
    told: Audience
    outcome: Callable[[], Outcome] = field(init=False)
    failures: dict[Cell, str] = field(default_factory=dict)
    timelines: dict[Which, Timeline] = field(default_factory=dict)

    def run(self) -> Outcome:
        """Make the memories that are needed, then learn what is missing."""
        self.rows, self._shown = Rows(self.folder), time.monotonic()
        self.executor: Executor = registry().create("executors", self.plan.settings.executor.model_dump())
        known = {cell: self.rows.of(cell) for cell in self.plan.cells}
        self.told.planned(self.plan, {cell: len(rows) for cell, rows in known.items()})
        save_outcome(self.folder, self.outcome())
        self._make_memories()
        missing = [cell for cell in self.plan.cells if self._missing(cell) and cell not in self.failures]
        self.told.begins(missing)
        asked = [*self._retraining(missing), *self._running(missing)]
        self.executor.run([job for job, _ in asked], None, lambda i, result: self._arrived(asked[i][1], result))
        return self._table()

    def _make_memories(self) -> None:
        """Make the memories; one that cannot be made ends the cells that need it."""
        wanted = {(cell.memory, cell.order): part.memory for cell, part in self.plan.cells.items() if part.memory}
        memories = Memories(self.plan, self.folder / MEMORIES, self.cache)
        self.timelines, failures = memories.make(wanted, self.executor, self.told)
        for cell in self.plan.cells:
            if (cell.memory, cell.order) in failures:
                self._fail(cell, failures[cell.memory, cell.order])

    # Cells

    def _retraining(self, missing: Sequence[Cell]) -> list[tuple[Job, list[tuple[Cell, int]]]]:
        """Return a job for each experience of a part that is retrained from memory: all its orders and seeds."""
        asked = []
        for position in range(max(map(len, self.plan.streams))):
            for part in self.plan.parts:
                cells = [
                    cell
                    for cell in missing
                    if self.plan.cells[cell] is part
                    and isinstance(part.strategy, FromMemory)
                    and position in self._missing(cell)
                ]
                if cells:
                    asked.append((self._retrain_job(part, position, cells), [(c, position) for c in cells]))
        return asked

    def _retrain_job(self, part: Part, position: int, cells: Sequence[Cell]) -> Job:
        memories = {cell.order: self.timelines[cell.memory, cell.order].kept[position] for cell in cells}
        config = {
            "job": "retrain",
            **self._shared(part),
            "position": position,
            "memory": {str(order): _plain(kept) for order, kept in memories.items()},
            "networks": [[cell.order, cell.seed] for cell in cells],
        }
        tensors = {k: v for order, kept in memories.items() for k, v in _tensors(kept, f"{order}.").items()}
        return Job(f"{HERE}:guarded", config, self._data() | tensors, f"{cells[0].name}, experience {position}")

    def _running(self, missing: Sequence[Cell]) -> list[tuple[Job, list[tuple[Cell, int]]]]:
        """Return a job for each cell that is learned from beginning to end."""
        asked = []
        for cell in missing:
            part = self.plan.cells[cell]
            if isinstance(part.strategy, FromMemory):
                continue
            kept = self.timelines[cell.memory, cell.order].kept if part.memory is not None else []
            config = {
                "job": "run",
                **self._shared(part),
                "order": cell.order,
                "seed": cell.seed,
                "memory": [_plain(each) for each in kept],
            }
            tensors = {k: v for t, each in enumerate(kept) for k, v in _tensors(each, f"{t}.").items()}
            places = [(cell, position) for position in range(len(self.plan.streams[cell.order]))]
            asked.append((Job(f"{HERE}:guarded", config, self._data() | tensors, cell.title), places))
        return asked

    def _shared(self, part: Part) -> dict[str, Any]:
        return {
            "data": self.plan.data.spec.to_dict(),
            "benchmark": self.plan.settings.benchmark.model_dump(mode="json"),
            "strategy": part.spec.model_dump(mode="json"),
            **self.plan.context(part, self.data_root, self.cache),
        }

    def _data(self) -> dict[str, Tensor]:
        train, test = self.plan.data.train, self.plan.data.test
        return {
            "train_images": train.images,
            "train_labels": train.labels,
            "test_images": test.images,
            "test_labels": test.labels,
            **preprocessing(self.plan.data.spec),
        }

    def known(self, cell: Cell) -> dict[int, Row]:
        """Return the rows of a cell that are of the memory it has now."""
        timeline = self.timelines.get((cell.memory, cell.order))
        return self.rows.of(cell, None if timeline is None else timeline.digests)

    def _missing(self, cell: Cell) -> list[int]:
        known = self.known(cell)
        return [t for t in range(len(self.plan.streams[cell.order])) if t not in known]

    # Results

    def _arrived(self, places: Sequence[tuple[Cell, int]], result: Result) -> None:
        if "failed" in result:
            for cell in dict.fromkeys(cell for cell, _ in places):
                self._fail(cell, result["failed"])
            return
        for (cell, position), values in zip(places, result["rows"], strict=True):
            row, timeline = Row.from_dict(values), self.timelines.get((cell.memory, cell.order))
            self.rows.add(cell, position, row, "" if timeline is None else timeline.digests[position])
            self.told.row(cell, position, row)
        if time.monotonic() - self._shown > PAGE_SECONDS:
            self._table()

    def _table(self) -> Outcome:
        outcome = self.outcome()
        save_outcome(self.folder, outcome)
        self.told.tabled(outcome)
        self._shown = time.monotonic()
        return outcome

    def _fail(self, cell: Cell, reason: str) -> None:
        self.failures[cell] = reason
        self.told.failed(cell, reason)


def _outcome(work: _Study, command: str, deviations: tuple[str, ...]) -> Outcome:
    made, place = work.plan, work.folder / MEMORIES
    return Outcome(
        settings=made.settings,
        cells={cell: unbroken(work.known(cell)) for cell in made.cells},
        failures=dict(work.failures),
        experiences=[_names(stream) for stream in made.streams],
        memories={key: [place / piece.name for piece in each.pieces] for key, each in work.timelines.items()},
        scenario=made.streams[0].scenario,
        per_class=made.budget.per_class,
        deviations=deviations,
        command=command,
    )


def _names(stream: Stream) -> list[list[str]]:
    names = stream.spec.class_names
    return [[names[c] for c in experience.classes] for experience in stream.experiences]


def _plain(kept: Kept) -> dict[str, Any]:
    return {"bytes": kept.bytes, "stored": kept.stored, "distilling": kept.distilling}


def _tensors(kept: Kept, prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}images": kept.images.cpu(), f"{prefix}labels": kept.labels.cpu()}
