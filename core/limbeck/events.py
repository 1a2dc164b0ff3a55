"""What life-cycle hooks are told: frozen records of plain Python values, never a tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RunInfo:
    """A distillation about to start or to continue.

    Attributes:
        folder: the run folder, or None when nothing is written.
        method: the method's name.
        matcher: the matcher's name, or None for a method that selects real images.
        data: the real data set's name.
        ipc: synthetic images per class.
        network: the network's name.
        seed: the run's seed.
        first_step: the number of the first step still to do, 0 for a fresh run.
        total_steps: the number of steps when the run is complete, or None when there are none.
        device: where it runs, as torch writes it ("cpu", "cuda:0").
        plan: the execution plan as plain values (chunks, precision, threads).
    """

    folder: str | None
    method: str
    matcher: str | None
    data: str
    ipc: int
    network: str
    seed: int
    first_step: int
    total_steps: int | None
    device: str
    plan: Mapping[str, Any]


@dataclass(frozen=True)
class EvaluationInfo:
    """One row of an evaluation: networks trained from scratch on one set of images.

    Attributes:
        label: what they were trained on ("synthetic", "random", "whole").
        protocol: the name of the evaluation procedure.
        networks: how many networks were trained.
        mean: mean test accuracy over the networks, in [0, 1].
        std: population standard deviation of the accuracies, in [0, 1].
        accuracies: test accuracy of each network, in [0, 1].
    """

    label: str
    protocol: str
    networks: int
    mean: float
    std: float
    accuracies: tuple[float, ...]


@dataclass(frozen=True)
class CheckpointInfo:
    """A checkpoint that is safely on disk.

    Attributes:
        step: how many steps were finished when it was taken.
        path: the file.
    """

    step: int
    path: str


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        steps: steps done in all, those before a resume included.
        seconds: wall-clock seconds of this process's part of the run.
        images: number of stored synthetic images.
        bytes: size of the stored images, labels and label projector.
        accuracy: mean test accuracy in [0, 1], or None when the set was not evaluated.
    """

    steps: int
    seconds: float
    images: int
    bytes: int
    accuracy: float | None
