"""What one job of a study does, in any process: plain values and tensors in, rows out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.data import DataSet, DataSpec, RealData
from limbeck.entries import is_strict
from limbeck.errors import LimbeckError, UsageError
from limbeck.evaluation.job import PREPROCESSING
from limbeck.execution.device import threads_that_pay
from limbeck.plugins import registry
from limbeck.seeding import derive_seed
from limbeck_applications.continual.bridge.randomness import lent_generators
from limbeck_applications.continual.memory.budget import Budget
from limbeck_applications.continual.memory.distiller import Distiller, MemorySpec
from limbeck_applications.continual.settings import Retraining, StreamTraining
from limbeck_applications.continual.strategy import (
    Context,
    FromMemory,
    Kept,
    Retrained,
    Row,
    Strategy,
    retraining_seed,
)
from limbeck_applications.continual.stream import ContinualBenchmark, Stream

HERE = "limbeck_applications.continual.study.cell"

STOPPED = 130
"""Exit code of what the user stopped."""


def distil(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Make one piece of a memory and store it.

    Args:
        config: ``data`` (a specification), ``device``, ``memory`` (a description), ``network``, ``folder``, ``cache``,
            ``classes``, ``ipc``, ``seed`` and ``experience``.
        tensors: the images of the experience, ``train_images`` and ``train_labels``, and the preprocessing's own.

    Returns:
        The piece's ``name`` and the ``seconds`` it took.
    """
    data = data_of(config, tensors)
    distiller = Distiller(
        MemorySpec.model_validate(config["memory"]),
        network=config["network"],
        device=config["device"],
        folder=Path(config["folder"]),
        cache=_path(config["cache"]),
    )
    piece = distiller.distil(data.train, config["classes"], config["ipc"], config["seed"], config["experience"])
    return {"name": piece.name, "seconds": piece.seconds}


def guarded(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Do a job of the study, ``config["job"]``, and return what ended it as ``failed``, so that others go on.

    LIMBECK_STRICT=1 raises it instead.
    """
    jobs: dict[str, Callable[..., dict[str, Any]]] = {"distil": distil, "run": run, "retrain": retrain}
    try:
        return jobs[config["job"]](config, tensors)
    except LimbeckError as error:
        if is_strict() or error.exit_code == STOPPED:
            raise
        return {"failed": str(error)}
    except Exception as error:
        if is_strict():
            raise
        return {"failed": f"{type(error).__name__}: {error}. LIMBECK_STRICT=1 shows where."}


def run(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Learn one stream by one strategy.

    Args:
        config: ``data``, ``device``, ``benchmark``, ``order``, ``strategy``, and what ``context_of`` reads.
        tensors: the data, and what the memory holds after each experience.

    Returns:
        ``rows``, one for each experience.
    """
    data = data_of(config, tensors)
    stream = stream_of(config["benchmark"], data, config["order"])
    strategy: Strategy = registry().create("continual_strategies", config["strategy"])
    memory = [kept_in(tensors, each, f"{t}.") for t, each in enumerate(config["memory"])]
    context = context_of(config, cell_seed(config["order"], config["seed"]), memory)
    network = context.build(stream)
    with lent_generators(context.seed_of("lent")), threads_that_pay(network.largest_activation(), context.device):
        rows = list(strategy.run(stream, context))
    return {"rows": _checked(rows, len(stream), len(stream), config["strategy"])}


def retrain(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Train the networks of several class orders and seeds on their memories after one experience.

    Args:
        config: as of ``run``, with ``position`` of the experience, ``memory`` by order, and ``networks``, pairs of
            an order and a seed.
        tensors: the data, and what the memory of each order holds.

    Returns:
        ``rows``, one for each network.
    """
    data = data_of(config, tensors)
    strategy: FromMemory = registry().create("continual_strategies", config["strategy"])
    orders = {order for order, _ in config["networks"]}
    streams = {order: stream_of(config["benchmark"], data, order) for order in sorted(orders)}
    memories = {order: kept_in(tensors, config["memory"][str(order)], f"{order}.") for order in orders}
    context, position = context_of(config, 0), config["position"]
    networks = [
        Retrained(streams[order], position, memories[order], retraining_seed(cell_seed(order, seed), position))
        for order, seed in config["networks"]
    ]
    with threads_that_pay(context.build(networks[0].stream).largest_activation(), context.device):
        rows = strategy.retrain(networks, context)
    return {"rows": _checked(rows, len(networks), len(networks[0].stream), config["strategy"])}


def _checked(rows: Sequence[Row], number: int, width: int, strategy: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return rows as plain values.

    Raises:
        UsageError: a strategy gave another number of rows, or something else than accuracies.
    """
    if len(rows) != number:
        raise UsageError(f"'{strategy['name']}' gave {len(rows)} rows, but {number} are due: one an experience.")
    for row in rows:
        if len(row.accuracies) != width or not all(0 <= value <= 1 for value in row.accuracies):
            raise UsageError(
                f"'{strategy['name']}' gave {list(row.accuracies)} as a row; it has an accuracy in [0, 1] for each of "
                f"{width} experiences."
            )
    return [row.to_dict() for row in rows]


def data_of(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> DataSet:
    """Return the data set among a job's tensors, on the job's device; without test images none is to be tested on."""
    own = {k.removeprefix(PREPROCESSING): v for k, v in tensors.items() if k.startswith(PREPROCESSING)}
    spec, device = DataSpec.from_dict(config["data"], own), torch.device(config["device"])

    def part(name: str) -> RealData:
        return RealData(tensors[f"{name}_images"], tensors[f"{name}_labels"], spec, device=device)

    train = part("train")
    return DataSet(spec, train, part("test") if "test_images" in tensors else train)


def stream_of(benchmark: Mapping[str, Any], data: DataSet, order: int) -> Stream:
    """Return a registered benchmark's stream of the data."""
    made: ContinualBenchmark = registry().create("continual_benchmarks", benchmark)
    return made.stream(data, order)


def cell_seed(order: int, seed: int) -> int:
    """Return the seed of everything random in the cell of a class order and a network's number."""
    return derive_seed(seed, "order", order)


def context_of(config: Mapping[str, Any], seed: int, memory: Sequence[Kept] = ()) -> Context:
    """Return what a strategy is given, of a job's plain values."""
    return Context(
        network=config["network"],
        training=StreamTraining.model_validate(config["training"]),
        retraining=Retraining.model_validate(config["retraining"]),
        budget=Budget(**config["budget"]),
        seed=seed,
        device=torch.device(config["device"]),
        memory=memory,
        data_root=_path(config["data_root"]),
        cache=_path(config["cache"]),
    )


def kept_in(tensors: Mapping[str, Tensor], values: Mapping[str, Any], prefix: str) -> Kept:
    """Return what a memory holds, of a job's tensors and values."""
    return Kept(tensors[f"{prefix}images"], tensors[f"{prefix}labels"], **values)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
