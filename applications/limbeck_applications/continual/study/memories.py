"""The memories of a study: every piece made once, in whatever process has time, then put together in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from limbeck.data import DataSpec
from limbeck.errors import LimbeckError
from limbeck.evaluation.job import PREPROCESSING
from limbeck.execution.executors import Executor, Job, Result, TensorDigests
from limbeck.files import content_key
from limbeck_applications.continual.memory.distiller import Distiller, MemorySpec
from limbeck_applications.continual.memory.memory import DistilledMemory, piece_seed
from limbeck_applications.continual.memory.piece import Piece
from limbeck_applications.continual.strategy import Kept
from limbeck_applications.continual.study.audience import Audience
from limbeck_applications.continual.study.cell import HERE, STOPPED
from limbeck_applications.continual.study.plan import Plan

Which = tuple[str, int]
"""A memory by its name and the number of the class order."""


@dataclass(frozen=True)
class Timeline:
    """A memory of one class order.

    Attributes:
        kept: what it holds after each experience.
        pieces: what it is made of at the end, each with its folder.
    """

    kept: list[Kept]
    pieces: tuple[Piece, ...]

    @cached_property
    def digests(self) -> list[str]:
        """A short digest of what networks are trained on after each experience."""
        digest = TensorDigests()
        return [content_key([digest(each.images), digest(each.labels)])[:12] for each in self.kept]


@dataclass(frozen=True)
class Memories:
    """Makes the memories of a study.

    Attributes:
        plan: of the study.
        folder: keeps the pieces.
        cache: for networks that several pieces share.
    """

    plan: Plan
    folder: Path
    cache: Path

    def make(
        self, wanted: Mapping[Which, MemorySpec], executor: Executor, told: Audience
    ) -> tuple[dict[Which, Timeline], dict[Which, str]]:
        """Make every memory, and return those that were made and why others were not."""
        failures = self._make_pieces(wanted, executor, told)
        timelines: dict[Which, Timeline] = {}
        for which, memory in wanted.items():
            if which in failures:
                continue
            try:
                timelines[which] = self._timeline(memory, which[1])
            except LimbeckError as error:
                if error.exit_code == STOPPED:
                    raise
                failures[which] = str(error)
        return timelines, failures

    def _make_pieces(self, wanted: Mapping[Which, MemorySpec], executor: Executor, told: Audience) -> dict[Which, str]:
        asked: list[tuple[Job, Which, int]] = []
        for (name, order), memory in wanted.items():
            for position in range(len(self.plan.streams[order])):
                job = self._piece_job(memory, order, position)
                if job is not None:
                    asked.append((job, (name, order), position))
                    told.distils(name, order, position)
        failures: dict[Which, str] = {}

        def arrived(index: int, result: Result) -> None:
            _, which, position = asked[index]
            if "failed" in result:
                failures.setdefault(which, result["failed"])
            else:
                told.distilled(*which, position, result["seconds"])

        executor.run([job for job, _, _ in asked], None, arrived)
        return failures

    def _piece_job(self, memory: MemorySpec, order: int, position: int) -> Job | None:
        """Return the job that makes a piece, or None where it is stored."""
        stream, distiller = self.plan.streams[order], self._distiller(memory)
        experience, keeper = stream.experiences[position], DistilledMemory(distiller, self.plan.budget, order)
        ipc = keeper.ipc(experience.train, experience.classes, stream.count(position))
        seed = piece_seed(order, position)
        if distiller.stored(experience.train, experience.classes, ipc, seed):
            return None
        config = {
            "job": "distil",
            "data": stream.spec.to_dict(),
            "device": str(self.plan.device),
            "memory": memory.model_dump(mode="json"),
            "network": self.plan.settings.network,
            "folder": str(self.folder),
            "cache": str(self.cache),
            "classes": list(experience.classes),
            "ipc": ipc,
            "seed": seed,
            "experience": position,
        }
        train = experience.train
        tensors = {"train_images": train.images, "train_labels": train.labels, **preprocessing(stream.spec)}
        return Job(f"{HERE}:guarded", config, tensors, f"memory {memory.name}, order {order}, experience {position}")

    def _timeline(self, memory: MemorySpec, order: int) -> Timeline:
        stream, distiller = self.plan.streams[order], self._distiller(memory)
        keeper, kept = DistilledMemory(distiller, self.plan.budget, order), []
        for experience in stream.experiences:
            keeper.add(experience.train, experience.classes)
            kept.append(keeper.kept(stream.spec))
        return Timeline(kept, tuple(_stored(piece, distiller) for piece in keeper.pieces))

    def _distiller(self, memory: MemorySpec) -> Distiller:
        network = self.plan.settings.network
        return Distiller(memory, network=network, device=self.plan.device, folder=self.folder, cache=self.cache)


def preprocessing(spec: DataSpec) -> dict[str, Tensor]:
    """Return the tensors of a data set's preprocessing as a job takes them."""
    return {PREPROCESSING + name: tensor for name, tensor in spec.tensors().items()}


def _stored(piece: Piece, distiller: Distiller) -> Piece:
    """Store a piece that was made smaller, so that it can be shown; one that has a folder already is left alone."""
    if piece.name:
        return piece
    digest = TensorDigests()(piece.made.images)
    key = f"{distiller.spec.method}-{content_key([digest, piece.classes, distiller.spec.storage])[:12]}"
    return distiller.load(key) or distiller.save(piece, key)
