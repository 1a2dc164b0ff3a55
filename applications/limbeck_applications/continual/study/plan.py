"""What a study consists of: its streams and its cells, all checked before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
from limbeck_applications.continual.strategy import Context, Strategy
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
        memory_name: what tables call it, "" without one.
        identity: what its rows depend on for each class order, beside names and options; None before that is known.
    """

    spec: Spec
    strategy: Strategy
    label: str
    memory: MemorySpec | None = None
    memory_name: str = ""
    identity: tuple[Any, ...] = ()


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
                    key = self._key(part, order, seed)
                    found[Cell(part.label, part.memory_name, order, seed, key)] = part
        return found

    def context(self, part: Part, data_root: Path | None, cache: Path | None) -> dict[str, Any]:
        """Return the plain values that a job makes a strategy's context of: the settings that it reads."""
        settings, reads = self.settings, part.strategy.reads
        budget = self.budget if "budget" in reads else replace(self.budget, per_class=0)
        return {
            "network": settings.network,
            "training": settings.training.model_dump(mode="json") if "training" in reads else {},
            "retraining": settings.retraining.model_dump(mode="json") if "retraining" in reads else {},
            "budget": vars(budget),
            "device": str(self.device),
            "data_root": None if data_root is None else str(data_root),
            "cache": None if cache is None else str(cache),
        }

    def _key(self, part: Part, order: int, seed: int) -> str:
        settings = self.settings
        read = self.context(part, None, None)
        read["retraining"].pop("networks_a_call", None)
        identity = [
            settings.benchmark.model_dump(mode="json"),
            order,
            [registry().entry(KIND, part.spec.name).qualified, part.strategy.options.model_dump(mode="json")],
            None if part.memory is None else part.memory.model_dump(mode="json"),
            {**read, "device": self.device.type},
            seed,
            [self.data.train.digest(), self.data.test.digest()],
            _foreign(settings, part),
            part.identity[order],
        ]
        return content_key(identity)[:16]


def plan(
    settings: StudySettings, *, data_root: Path | None = None, download: bool = False, cache: Path | None = None
) -> Plan:
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
    return replace(made, parts=tuple(_checked(made, part, data_root, cache) for part in parts))


def _parts(settings: StudySettings) -> tuple[Part, ...]:
    if not settings.strategies:
        raise UsageError(
            "nothing to run: name strategies, for example --strategies naive,distilled_gdumb. "
            "'limbeck list continual_strategies' shows them."
        )
    memories: list[tuple[MemorySpec | None, str]] = [*zip(settings.memories, settings.memory_names, strict=True)]
    parts: list[Part] = []
    for spec in settings.strategies:
        strategy: Strategy = registry().create(KIND, spec.model_dump())
        if isinstance(strategy, AvalancheStrategy):
            require()
        label = spec.name + "".join(f" {key}={value}" for key, value in spec.options().items())
        distilled = strategy.memory == "distilled"
        if distilled and not settings.memories:
            raise UsageError(f"'{spec.name}' needs a distilled memory. Name one, for example --memory dm:ipc=10.")
        own = memories if distilled else [(None, "")]
        parts += [Part(spec, strategy, label, memory, name) for memory, name in own]
    if settings.memories and all(part.memory is None for part in parts):
        raise UsageError(
            f"no strategy uses the memory '{memories[0][1]}'. Add distilled_gdumb or distilled_replay to "
            "--strategies, or drop --memory."
        )
    names = [(part.label, part.memory_name) for part in parts]
    twice = next((each for each in names if names.count(each) > 1), None)
    if twice is not None:
        raise UsageError(f"'{twice[0]}'{f' with the memory {twice[1]}' if twice[1] else ''} is asked for twice.")
    return tuple(parts)


def _budget(settings: StudySettings, stream: Stream, device: torch.device) -> Budget:
    """Return what may be kept: as many uint8 images as were asked for, else the bytes of the largest memory."""
    classes = stream.count(len(stream) - 1)
    if settings.images is not None:
        return Budget.of_images(settings.images, stream.spec, classes, settings.grows)
    own = [
        memory.ipc * Distiller(memory, network=settings.network, device=device).cost(stream.spec, len(first.classes))
        for memory in settings.memories
        if memory.ipc is not None
        for first in stream.experiences[:1]
    ]
    return Budget(max(own, default=IMAGES * image_bytes(stream.spec)), classes, settings.grows)


def _checked(made: Plan, part: Part, data_root: Path | None, cache: Path | None) -> Part:
    """Let a strategy refuse what it cannot do in any class order, and learn what its rows depend on."""
    context = context_of(made.context(part, data_root, cache), 0)
    for stream in made.streams:
        _check(part, stream, context)
        if part.memory is None:
            continue
        memory = DistilledMemory(
            Distiller(part.memory, network=made.settings.network, device=made.device), made.budget, 0
        )
        for position, experience in enumerate(stream.experiences):
            memory.share_of(experience.classes, made.budget.a_class(stream.count(position)), made.data.spec)
    return replace(part, identity=tuple(part.strategy.identity(stream, context) for stream in made.streams))


def _check(part: Part, stream: Stream, context: Context) -> None:
    """Let a strategy refuse a stream, by its name."""
    try:
        part.strategy.check(stream, context)
    except UsageError as error:
        known = str(error) if part.spec.name in str(error) else f"{part.label}: {error}"
        raise UsageError(known) from error.__cause__


def _foreign(settings: StudySettings, part: Part) -> list[str]:
    """Return the revisions of what others provide; what ships is the same as long as its version is."""
    augmentation = settings.retraining.augmentation
    used = [
        (KIND, part.spec.name),
        ("continual_benchmarks", settings.benchmark.name),
        ("networks", settings.network),
        *([("augmentations", augmentation.name)] if augmentation is not None else []),
        *([("methods", part.memory.method)] if part.memory is not None else []),
    ]
    entries = [registry().entry(kind, name) for kind, name in used]
    return [f"{entry.qualified} {entry.revision}" for entry in entries if not entry.is_shipped]
