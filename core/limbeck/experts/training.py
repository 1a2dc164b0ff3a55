"""Training experts: one after the other here, or as jobs of an executor; what is kept is found and gone on from."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.augment import Augmentation
from limbeck.data import DataSpec, RealData
from limbeck.errors import ArtifactError, DivergenceError
from limbeck.execution.device import threads_that_pay
from limbeck.execution.executors import Executor, Job
from limbeck.execution.plan import comfortable_chunk
from limbeck.experts.buffer import Buffer, folder_of, made_of
from limbeck.experts.options import ExpertTraining
from limbeck.experts.records import Record, read_record
from limbeck.files import content_key, folder_lock
from limbeck.networks import FunctionalNetwork, build_network
from limbeck.seeding import derive_seed, generator
from limbeck.trained import augmentation_of
from limbeck.training import Budget, Epochs, FitResult, Progress, Steps, fit

PREPROCESSING = "preprocessing."
"""Prefix of the tensors among a job's that are the data's own."""

PAUSE = 50
"""An expert's file is written when an epoch ends and this many times as long has passed as the last writing took."""


@dataclass(frozen=True)
class Training:
    """How experts of one buffer are trained.

    Attributes:
        network: their structure.
        real: the images they learn from, or are drawn from.
        how: they learn.
        seed: owner of every draw.
        chunk: images a pass, which changes results by rounding only; what runs fastest when None.
    """

    network: FunctionalNetwork
    real: RealData
    how: ExpertTraining
    seed: int = 0
    chunk: int | None = None

    def buffer(self, path: Path | None, cache: Path | None) -> Buffer:
        """Return the buffer of such experts, whether or not there are any yet.

        Args:
            path: its folder, or None for that in the cache.
            cache: folder of what outlives a run.

        Raises:
            UsageError: there is neither.
        """
        decides = self.made_of()
        return Buffer(folder_of(content_key(decides), path, cache), decides)

    def made_of(self) -> dict[str, Any]:
        """Return all that decides the weights, but for the number of experts and of their epochs."""
        return made_of(self.network, self.real, self.how, self.seed)

    def run(self, buffer: Buffer, expert: int, on_epoch: Callable[[int], None] = lambda epoch: None) -> Record:
        """Train an expert to its last epoch from where its file stands, and return it.

        The file is written now and then, at the end, and when Ctrl-C ends the training. An expert is the same however
        often it was interrupted, and whatever others there are.

        Args:
            buffer: it belongs to.
            expert: its number.
            on_epoch: told of finished epochs.

        Raises:
            UsageError: an augmentation that is none.
            DivergenceError: weights stopped being finite numbers.
        """
        record = self._begun(buffer, expert)
        keeper = _Keeper(record, buffer, expert)

        def finish(news: Progress) -> None:
            self._require_finite(news, expert)
            keeper.keep(self.network, news)
            on_epoch(news.epoch)

        try:
            self.fit(expert, Epochs(self.how.epochs), record.checkpoint, finish)
        finally:
            keeper.write()
        return record

    def fit(
        self,
        expert: int,
        budget: Budget,
        checkpoint: Mapping[str, Tensor] | None = None,
        on_epoch: Callable[[Progress], None] | None = None,
    ) -> FitResult:
        """Train an expert for a budget, from its start or from a checkpoint."""
        how, network = self.how, self.network
        return fit(
            network,
            start=[self.start(expert)],
            data=self._images(),
            lr=how.lr,
            momentum=how.momentum,
            weight_decay=how.weight_decay,
            budget=budget,
            batch_size=how.batch_size,
            chunk=self.chunk or comfortable_chunk(network.largest_activation(), network.device.type),
            sharpness=how.flatness,
            augmentation=self._augmentation(),
            seeds=[derive_seed(self.seed, "experts", expert, "train")],
            resume_from=checkpoint,
            on_epoch=on_epoch,
        )

    def start(self, expert: int) -> dict[str, Tensor]:
        """Return the weights and buffers an expert begins with."""
        return self.network.initial(generator(self.seed, "experts", expert, "init", device=self.network.device))

    def seconds(self, epochs: int) -> float:
        """Return what so many epochs of one expert take here, measured by three steps.

        Args:
            epochs: of one expert, or of several in turn.
        """
        self.fit(0, Steps(1))
        began = time.perf_counter()
        result = self.fit(0, Steps(2))
        float(self.network.flatten(result.states[0])[0])  # waits for the device
        return (time.perf_counter() - began) / 2 * -(-self.num_images // self.how.batch_size) * epochs

    def bytes(self, experts: int) -> int:
        """Return about what so many experts take on a disk."""
        return experts * (self.how.epochs + 2) * self.network.num_parameters * self.network.dtype.itemsize

    @property
    def num_images(self) -> int:
        """How many real images each expert learns from."""
        return min(self.how.images or len(self.real), len(self.real))

    def _begun(self, buffer: Buffer, expert: int) -> Record:
        """Return what the expert's file holds, or a beginning where there is none that can be used."""
        try:
            if buffer.head(expert) is not None:
                return read_record(buffer.file(expert))
        except ArtifactError:
            pass
        record = Record()
        record.add(self.network, self.start(expert))
        return record

    def _require_finite(self, news: Progress, expert: int) -> None:
        if not all(bool(torch.isfinite(value).all()) for value in news.state.values()):
            raise DivergenceError(
                f"'{self.network.name}' diverged in epoch {news.epoch} of expert {expert}, at lr {self.how.lr:g}. "
                f"Lower it: --set source.lr={self.how.lr / 10:g}"
            )

    def _images(self) -> RealData:
        if self.num_images == len(self.real):
            return self.real
        order = torch.randperm(len(self.real), generator=generator(self.seed, "experts", "images"))
        return self.real.subset(order[: self.num_images].to(self.real.device))

    def _augmentation(self) -> Augmentation | None:
        return augmentation_of(self.how.augmentation, self.real)


class _Keeper:
    """Adds epochs to an expert's record, and writes it when that is worth its time."""

    def __init__(self, record: Record, buffer: Buffer, expert: int) -> None:
        self.record, self._buffer, self._expert = record, buffer, expert
        self._before, self._started = record.seconds, time.perf_counter()
        self._written, self._due = len(record.losses), self._started

    def keep(self, network: FunctionalNetwork, news: Progress) -> None:
        """Take up a finished epoch."""
        record, now = self.record, time.perf_counter()
        record.add(network, news.state)
        record.losses.append(float(news.loss))
        record.checkpoint = news.checkpoint()
        record.seconds = self._before + now - self._started
        if now >= self._due:
            self.write()
            self._due = time.perf_counter() + PAUSE * (time.perf_counter() - now)

    def write(self) -> None:
        """Write the expert's file, if it lacks an epoch."""
        if len(self.record.losses) > self._written:
            self.record.write(self._buffer.file(self._expert), self._buffer.key, self._expert)
            self._written = len(self.record.losses)


def missing(buffer: Buffer, experts: int, epochs: int, *, thorough: bool = False) -> list[int]:
    """Return which of the first experts of a buffer lack epochs, or cannot be read.

    Args:
        buffer: the folder.
        experts: how many there shall be.
        epochs: of each.
        thorough: whether all of their files is read and held to its checksums.
    """
    return [
        expert
        for expert in range(experts)
        if buffer.epochs_of(expert) < epochs or (thorough and not buffer.is_whole(expert))
    ]


def train(
    training: Training,
    buffer: Buffer,
    experts: int,
    executor: Executor,
    on_expert: Callable[[int], None] = lambda expert: None,
) -> None:
    """Train those of the first experts of a buffer that lack epochs, as jobs of an executor.

    Args:
        training: how.
        buffer: where they are kept.
        experts: how many there shall be.
        executor: runs the jobs; it must reach the buffer's folder.
        on_expert: told of each that is finished.

    Raises:
        UsageError: somebody else trains experts of this buffer, or its folder cannot be written.
        DivergenceError: an expert's weights stopped being finite numbers.
    """
    with folder_lock(buffer.folder, "name another with --set source.path=FOLDER"):
        buffer.save()
        needed = missing(buffer, experts, training.how.epochs, thorough=True)
        jobs = [_job(training, buffer, expert) for expert in needed]
        executor.run(jobs, None, lambda index, _: on_expert(needed[index]))


def _job(training: Training, buffer: Buffer, expert: int) -> Job:
    network, real = training.network, training.real
    return Job(
        function="limbeck.experts.training:train_expert",
        config={
            "network": network.name,
            "spec": real.spec.to_dict(),
            "device": str(network.device),
            "how": training.how.model_dump(mode="json"),
            "seed": training.seed,
            "chunk": training.chunk,
            "folder": str(buffer.folder.absolute()),
            "expert": expert,
        },
        tensors={
            "images": real.images,
            "labels": real.labels,
            **{PREPROCESSING + name: value for name, value in real.spec.tensors().items()},
        },
        name=f"expert {expert}",
    )


def train_expert(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Train one expert into its buffer's folder; the job of an executor.

    Args:
        config: ``network``, ``spec``, ``device``, ``how`` (an ``ExpertTraining``), ``seed``, ``chunk``, ``folder`` of
            a buffer, and the number of the ``expert``.
        tensors: ``images`` uint8 [N, ch, h, w], ``labels`` [N], and the whitening's under ``preprocessing.``.

    Returns:
        The last ``loss`` and the ``seconds`` of all epochs.
    """
    own = {name.removeprefix(PREPROCESSING): value for name, value in tensors.items() if name.startswith(PREPROCESSING)}
    spec, device = DataSpec.from_dict(config["spec"], own), torch.device(config["device"])
    network = build_network(config["network"], spec, device)
    real = RealData(tensors["images"], tensors["labels"], spec, device=device)
    how = ExpertTraining.model_validate(config["how"])
    training = Training(network, real, how, config["seed"], config["chunk"])
    with threads_that_pay(network.largest_activation(), device):
        record = training.run(Buffer.load(Path(config["folder"])), config["expert"])
    return {"loss": record.losses[-1], "seconds": record.seconds}
