"""What a study consists of: its streams and its cells, all checked before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from limbeck.config import Spec
from limbeck.data import DataSet, load_dataset
from limbeck.errors import UsageError
from limbeck.execution.device import resolve_device
from limbeck.files import content_key
from limbeck.networks import build_network
from limbeck.plugins import registry
from limbeck_applications.continual.bridge.library import require
from limbeck_applications.continual.bridge.strategy import AvalancheStrategy
from limbeck_applications.continual.memory.budget import Budget, image_bytes
from limbeck_applications.continual.memory.distiller import Distiller, MemorySpec
from limbeck_applications.continual.memory.memory import DistilledMemory
from limbeck_applications.continual.strategy import FromMemory, Strategy
from limbeck_applications.continual.stream import ContinualBenchmark, Stream
from limbeck_applications.continual.study.asked import IMAGES, StudySettings
from limbeck_applications.continual.study.cell import context_of
from limbeck_applications.continual.study.rows import Cell

KIND = "continual_strategies"


@dataclass(frozen=True)
class Part:
    """A strategy with one memory, or with none; it has a cell for each class order and seed.

    Attributes:
        spec: the strategy, as users name it.
        strategy: made from it.
        label: what tables call it.
        memory: the memory, for strategies that keep distilled images.
    """

    spec: Spec
    strategy: Strategy
    label: str
    memory: MemorySpec | None = None


@dataclass(frozen=True)
class Plan:
    """Everything that is to be done.

    Attributes:
        settings: what was asked.
        data: the images.
        streams: one for each class order.
        parts: strategies with their memories, in the order they were asked for.
        budget: what each strategy may keep.
        device: where to compute.
    """

    settings: StudySettings
    data: DataSet
    streams: tuple[Stream, ...]
    parts: tuple[Part, ...]
    budget: Budget
    device: torch.device

    @cached_property
    def cells(self) -> dict[Cell, Part]:
        """Every cell with its part: strategy by strategy, order by order."""
        found: dict[Cell, Part] = {}
        for part in self.parts:
            for order in range(self.settings.orders):
                for seed in range(self.settings.seeds):
                    name = "" if part.memory is None else part.memory.name
                    found[Cell(part.label, name, order, seed, self._key(part, order, seed))] = part
        return found

    def context(self, data_root: Path | None, cache: Path | None) -> dict[str, Any]:
        """Return the plain values that a job makes a strategy's context of."""
        settings = self.settings
        return {
            "network": settings.network,
            "training": settings.training.model_dump(mode="json"),
            "retraining": settings.retraining.model_dump(mode="json"),
            "budget": vars(self.budget),
            "device": str(self.device),
            "data_root": None if data_root is None else str(data_root),
            "cache": None if cache is None else str(cache),
        }

    def _key(self, part: Part, order: int, seed: int) -> str:
        settings = self.settings
        entry = registry().entry(KIND, part.spec.name)
        retrains = isinstance(part.strategy, FromMemory)
        identity = [
            settings.benchmark.model_dump(mode="json"),
            order,
            [
                entry.qualified,
                "" if entry.is_shipped else entry.revision,
                part.strategy.options.model_dump(mode="json"),
            ],
            None if part.memory is None else part.memory.model_dump(mode="json"),
            settings.network,
            None if retrains else settings.training.model_dump(mode="json"),
            settings.retraining.model_dump(mode="json", exclude={"networks_a_call"}),
            vars(self.budget),
            seed,
            self.data.train.digest(),
            self.device.type,
        ]
        return content_key(identity)[:16]


def plan(settings: StudySettings, *, data_root: Path | None = None, download: bool = False) -> Plan:
    """Resolve names, load the images, make the streams, and let every strategy refuse what it cannot do.

    Raises:
        UsageError: an unknown name, a budget that holds too little, memories that no strategy uses.
        DataError: the images are not there.
    """
    parts = _parts(settings)
    benchmark: ContinualBenchmark = registry().create("continual_benchmarks", settings.benchmark.model_dump())
    device = resolve_device(settings.device)
    data = load_dataset(
        benchmark.source,
        max_per_class=settings.max_per_class,
        data_root=data_root,
        download=download,
        device=device,
    )
    streams = tuple(benchmark.stream(data, order) for order in range(settings.orders))
    build_network(settings.network, data.spec, device)
    made = Plan(settings, data, streams, parts, _budget(settings, streams[0], device), device)
    for part in parts:
        _check(made, part)
    return made


def _parts(settings: StudySettings) -> tuple[Part, ...]:
    if not settings.strategies:
        raise UsageError(
            "nothing to run: name strategies, for example --strategies naive,distilled_gdumb. "
            "'limbeck list continual_strategies' shows them."
        )
    parts: list[Part] = []
    for spec in settings.strategies:
        strategy: Strategy = registry().create(KIND, spec.model_dump())
        if isinstance(strategy, AvalancheStrategy):
            require()
        label = spec.name + "".join(f" {key}={value}" for key, value in spec.options().items())
        distilled = strategy.memory == "distilled"
        if distilled and not settings.memories:
            raise UsageError(f"'{spec.name}' needs a distilled memory. Name one, for example --memory dm:ipc=10.")
        parts += [Part(spec, strategy, label, memory) for memory in (settings.memories if distilled else (None,))]
    if settings.memories and all(part.memory is None for part in parts):
        raise UsageError(
            f"no strategy uses the memory '{settings.memories[0].name}'. Add distilled_gdumb or distilled_replay to "
            "--strategies, or drop --memory."
        )
    names = [(part.label, part.memory and part.memory.name) for part in parts]
    twice = next((each for each in names if names.count(each) > 1), None)
    if twice is not None:
        raise UsageError(f"'{twice[0]}'{f' with the memory {twice[1]}' if twice[1] else ''} is asked for twice.")
    return tuple(parts)


def _budget(settings: StudySettings, stream: Stream, device: torch.device) -> Budget:
    """Return what may be kept: as many uint8 images as were asked for, else the bytes of the largest memory."""
    classes = sum(len(experience.classes) for experience in stream.experiences)
    if settings.images is not None:
        return Budget.of_images(settings.images, stream.spec, classes, settings.grows)
    own = [
        memory.ipc * Distiller(memory, network=settings.network, device=device).cost(stream.spec, len(first.classes))
        for memory in settings.memories
        if memory.ipc is not None
        for first in stream.experiences[:1]
    ]
    return Budget(max(own, default=IMAGES * image_bytes(stream.spec)), classes, settings.grows)


def _check(made: Plan, part: Part) -> None:
    part.strategy.check(made.streams[0], context_of(made.context(None, None), 0))
    if part.memory is None:
        return
    distiller = Distiller(part.memory, network=made.settings.network, device=made.device)
    memory = DistilledMemory(distiller, made.budget, 0)
    for position, experience in enumerate(made.streams[0].experiences):
        seen = sum(len(each.classes) for each in made.streams[0].experiences[: position + 1])
        memory.share_of(experience.classes, made.budget.a_class(seen), made.data.spec)
