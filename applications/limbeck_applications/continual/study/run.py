"""Running a study: memories first, then every cell that is missing; what is finished is never done again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from limbeck.errors import LimbeckError, UsageError
from limbeck.evaluation.job import PREPROCESSING
from limbeck.execution.device import keep_freed_memory
from limbeck.execution.executors import Executor, Job, Result
from limbeck.files import content_key, folder_lock, sha256
from limbeck.plugins import registry
from limbeck.runs import CONFIG
from limbeck_applications.continual.memory.distiller import Distiller, MemorySpec
from limbeck_applications.continual.memory.memory import DistilledMemory, piece_seed
from limbeck_applications.continual.memory.piece import Piece
from limbeck_applications.continual.strategy import FromMemory, Kept, Row
from limbeck_applications.continual.stream import Stream
from limbeck_applications.continual.study.asked import StudySettings
from limbeck_applications.continual.study.cell import HERE
from limbeck_applications.continual.study.kept import save_outcome
from limbeck_applications.continual.study.plan import Part, Plan, plan
from limbeck_applications.continual.study.rows import Cell, Outcome, Rows

MEMORIES = "memories"

PAGE_SECONDS = 60
"""Least time between two pages while rows are still missing."""


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


@dataclass(frozen=True)
class Timeline:
    """A memory after each experience of one class order."""

    kept: list[Kept]
    pieces: tuple[Piece, ...]


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
    if (folder / CONFIG).exists():
        raise UsageError(f"{folder} holds a run of 'limbeck distill'. Give the study a folder of its own: --out.")
    made = plan(settings, data_root=data_root, download=download)
    if made.device.type == "cpu":
        keep_freed_memory()
    with folder_lock(folder):
        work = _Study(made, folder, data_root, cache or folder / "cache", audience or Audience())
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
    pieces: dict[tuple[str, int], tuple[Piece, ...]] = field(default_factory=dict)

    def run(self) -> Outcome:
        """Make the memories that are needed, then learn what is missing."""
        self.rows, self._shown = Rows(self.folder), time.monotonic()
        self.executor: Executor = registry().create("executors", self.plan.settings.executor.model_dump())
        known = {cell: self.rows.of(cell) for cell in self.plan.cells}
        self.told.planned(self.plan, {cell: len(rows) for cell, rows in known.items()})
        save_outcome(self.folder, self.outcome())
        timelines = self._memories()
        missing = [cell for cell in self.plan.cells if self._missing(cell) and cell not in self.failures]
        self.told.begins(missing)
        asked = [*self._retraining(missing, timelines), *self._running(missing, timelines)]
        self.executor.run([job for job, _ in asked], None, lambda i, result: self._arrived(asked[i][1], result))
        return self._table()

    # Memories

    def _memories(self) -> dict[tuple[str, int], Timeline]:
        """Make every memory, pieces first, in whatever process has time; then put them together."""
        wanted: dict[tuple[str, int], MemorySpec] = {}
        for cell, part in self.plan.cells.items():
            if part.memory is not None:
                wanted[cell.memory, cell.order] = part.memory
        self._make_pieces(wanted)
        timelines: dict[tuple[str, int], Timeline] = {}
        for (name, order), memory in wanted.items():
            try:
                timelines[name, order] = self._timeline(memory, order)
            except LimbeckError as error:
                self._fail(name, order, str(error))
                continue
            self.pieces[name, order] = timelines[name, order].pieces
        return timelines

    def _make_pieces(self, wanted: Mapping[tuple[str, int], MemorySpec]) -> None:
        asked: list[tuple[Job, tuple[str, int, int]]] = []
        for (name, order), memory in wanted.items():
            for position in range(len(self.plan.streams[order])):
                job = self._piece_job(memory, order, position)
                if job is not None:
                    asked.append((job, (name, order, position)))
                    self.told.distils(name, order, position)

        def arrived(index: int, result: Result) -> None:
            name, order, position = asked[index][1]
            if "failed" in result:
                self._fail(name, order, result["failed"])
            else:
                self.told.distilled(name, order, position, result["seconds"])

        self.executor.run([job for job, _ in asked], None, arrived)

    def _piece_job(self, memory: MemorySpec, order: int, position: int) -> Job | None:
        """Return the job that makes a piece, or None where it is stored."""
        stream, distiller = self.plan.streams[order], self._distiller(memory)
        experience, keeper = stream.experiences[position], DistilledMemory(distiller, self.plan.budget, order)
        share = self.plan.budget.a_class(sum(len(each.classes) for each in stream.experiences[: position + 1]))
        ipc, seed = keeper.share_of(experience.classes, share, stream.spec), piece_seed(order, position)
        if distiller.stored(experience.train, experience.classes, ipc, seed):
            return None
        config = {
            "job": "distil",
            "data": stream.spec.to_dict(),
            "device": str(self.plan.device),
            "memory": memory.model_dump(mode="json"),
            "network": self.plan.settings.network,
            "folder": str(self.folder / MEMORIES),
            "cache": str(self.cache),
            "classes": list(experience.classes),
            "ipc": ipc,
            "seed": seed,
            "experience": position,
        }
        train = experience.train
        tensors = {"train_images": train.images, "train_labels": train.labels, **self._preprocessing()}
        return Job(f"{HERE}:guarded", config, tensors, f"memory {memory.name}, order {order}, experience {position}")

    def _timeline(self, memory: MemorySpec, order: int) -> Timeline:
        stream, distiller = self.plan.streams[order], self._distiller(memory)
        keeper, kept = DistilledMemory(distiller, self.plan.budget, order), []
        for experience in stream.experiences:
            keeper.add(experience.train, experience.classes)
            kept.append(keeper.kept(stream.spec))
        return Timeline(kept, tuple(_stored(piece, distiller) for piece in keeper.pieces))

    def _distiller(self, memory: MemorySpec) -> Distiller:
        network, place = self.plan.settings.network, self.folder / MEMORIES
        return Distiller(memory, network=network, device=self.plan.device, folder=place, cache=self.cache)

    # Cells

    def _retraining(
        self, missing: Sequence[Cell], timelines: Mapping[tuple[str, int], Timeline]
    ) -> list[tuple[Job, list[tuple[Cell, int]]]]:
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
                    asked.append((self._retrain_job(part, position, cells, timelines), [(c, position) for c in cells]))
        return asked

    def _retrain_job(
        self, part: Part, position: int, cells: Sequence[Cell], timelines: Mapping[tuple[str, int], Timeline]
    ) -> Job:
        memories = {cell.order: timelines[cell.memory, cell.order].kept[position] for cell in cells}
        config = {
            "job": "retrain",
            **self._shared(part),
            "position": position,
            "memory": {str(order): _plain(kept) for order, kept in memories.items()},
            "networks": [[cell.order, cell.seed] for cell in cells],
        }
        tensors = {k: v for order, kept in memories.items() for k, v in _tensors(kept, f"{order}.").items()}
        return Job(f"{HERE}:guarded", config, self._data() | tensors, f"{cells[0].name}, experience {position}")

    def _running(
        self, missing: Sequence[Cell], timelines: Mapping[tuple[str, int], Timeline]
    ) -> list[tuple[Job, list[tuple[Cell, int]]]]:
        """Return a job for each cell that is learned from beginning to end."""
        asked = []
        for cell in missing:
            part = self.plan.cells[cell]
            if isinstance(part.strategy, FromMemory):
                continue
            kept = timelines[cell.memory, cell.order].kept if part.memory is not None else []
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
            **self.plan.context(self.data_root, self.cache),
        }

    def _data(self) -> dict[str, Tensor]:
        train, test = self.plan.data.train, self.plan.data.test
        return {
            "train_images": train.images,
            "train_labels": train.labels,
            "test_images": test.images,
            "test_labels": test.labels,
            **self._preprocessing(),
        }

    def _preprocessing(self) -> dict[str, Tensor]:
        return {PREPROCESSING + name: tensor for name, tensor in self.plan.data.spec.tensors().items()}

    def _missing(self, cell: Cell) -> list[int]:
        known = self.rows.of(cell)
        return [t for t in range(len(self.plan.streams[cell.order])) if t not in known]

    # Results

    def _arrived(self, places: Sequence[tuple[Cell, int]], result: Result) -> None:
        if "failed" in result:
            for cell in dict.fromkeys(cell for cell, _ in places):
                self._keep_failure(cell, result["failed"])
            return
        for (cell, position), values in zip(places, result["rows"], strict=True):
            row = Row.from_dict(values)
            self.rows.add(cell, position, row)
            self.told.row(cell, position, row)
        if time.monotonic() - self._shown > PAGE_SECONDS:
            self._table()

    def _table(self) -> Outcome:
        outcome = self.outcome()
        save_outcome(self.folder, outcome)
        self.told.tabled(outcome)
        self._shown = time.monotonic()
        return outcome

    def _fail(self, memory: str, order: int, reason: str) -> None:
        """A memory that could not be made ends the cells that need it."""
        for cell in self.plan.cells:
            if (cell.memory, cell.order) == (memory, order) and cell not in self.failures:
                self._keep_failure(cell, reason)

    def _keep_failure(self, cell: Cell, reason: str) -> None:
        self.failures[cell] = reason
        self.told.failed(cell, reason)


def _stored(piece: Piece, distiller: Distiller) -> Piece:
    """Store a piece that was made smaller, so that it can be shown; one that has a folder already is left alone."""
    if piece.name:
        return piece
    digest = sha256(piece.made.images.contiguous().numpy().tobytes())
    key = f"{distiller.spec.method}-{content_key([digest, piece.classes, distiller.spec.storage])[:12]}"
    return distiller.load(key) or distiller.save(piece, key)


def _outcome(work: _Study, command: str, deviations: tuple[str, ...]) -> Outcome:
    made, place = work.plan, work.folder / MEMORIES
    return Outcome(
        settings=made.settings,
        cells=work.rows.complete(made.cells, len(made.streams[0])),
        failures=dict(work.failures),
        experiences=[_names(stream) for stream in made.streams],
        memories={key: [place / piece.name for piece in pieces] for key, pieces in work.pieces.items()},
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
