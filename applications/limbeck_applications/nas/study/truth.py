"""Making a table of truth: every architecture trained on all the images, from several seeds."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from limbeck.environment import environment
from limbeck.errors import UsageError
from limbeck.execution.device import keep_freed_memory
from limbeck.execution.executors import Executor, Job, OnResult, Result, job_keys, read_result
from limbeck.files import folder_lock, write_json
from limbeck.plugins import registry
from limbeck_applications.nas.candidates.job import HERE, tensors_of
from limbeck_applications.nas.space import Architecture
from limbeck_applications.nas.study.asked import TruthSettings
from limbeck_applications.nas.study.images import Images, images_of
from limbeck_applications.nas.study.kept import TABLE, check_names
from limbeck_applications.nas.truth import Measured, Truth, write_truth

JOBS = "trained"

OnTrained = Callable[[int, int, Measured], None]
"""Told of finished trainings, of how many there are, and of the last one."""


def make_truth(
    settings: TruthSettings,
    folder: Path,
    *,
    data_root: Path | None = None,
    download: bool = False,
    command: str = "",
    on_trained: OnTrained | None = None,
) -> Truth:
    """Train what ``folder`` does not hold yet and write its table, ``truth.csv``.

    Args:
        settings: what to train, and how.
        folder: keeps every finished training; the same call continues it.
        data_root: where data sets lie.
        download: whether missing data may be fetched.
        command: what was typed; stands in the table.
        on_trained: told of each training that is finished.

    Raises:
        UsageError: an unknown name, an architecture that does not fit the images, or trainings that came to nothing;
            the table has the others.
        DataError: the images are not there, or too few.
    """
    check_names(settings)
    images = images_of(settings, data_root=data_root, download=download)
    chosen = images.architectures(settings.sample)
    if images.device.type == "cpu":
        keep_freed_memory()
    executor: Executor = registry().create("executors", settings.executor.model_dump())
    asked = [(each, seed) for seed in range(settings.seeds) for each in chosen]
    rows: dict[int, Measured] = {}
    lost: list[str] = []

    def arrived(place: int, result: Result) -> None:
        name, seed = asked[place][0].name, asked[place][1]
        if "failed" in result:
            lost.append(f"{name}, seed {seed}: {result['failed']}")
            return
        rows[place] = Measured(name, seed, **result)
        if on_trained is not None:
            on_trained(len(rows), len(asked), rows[place])

    with folder_lock(folder):
        jobs = training_jobs(images, asked, settings.training.model_dump(mode="json"))
        run_trainings(executor, jobs, folder / JOBS, arrived)
        truth = Truth(tuple(rows[place] for place in sorted(rows)), _notes(settings, images, command))
        if rows:
            write_truth(folder / TABLE, truth)
    if lost:
        raise UsageError(
            f"{len(lost)} of {len(asked)} trainings came to nothing, the first: {lost[0].rstrip('.')}. The others are "
            "kept; the same command trains what is missing."
        )
    return truth


def run_trainings(executor: Executor, jobs: Sequence[Job], folder: Path, told: OnResult) -> None:
    """Run what ``folder`` does not hold; what came to nothing is not kept there, so that it is tried again.

    Args:
        executor: runs them.
        jobs: of ``training_jobs``.
        folder: of results by content.
        told: of each result as it comes, with its job's position.
    """
    paths = [folder / f"{key}.json" for key in job_keys(jobs)]
    missing = []
    for place, path in enumerate(paths):
        stored = read_result(path)
        if stored is None:
            missing.append(place)
        else:
            told(place, stored)

    def finished(number: int, result: Result) -> None:
        if "failed" not in result:
            write_json(paths[missing[number]], result)
        told(missing[number], result)

    executor.run([jobs[place] for place in missing], None, finished)


def training_jobs(images: Images, asked: Sequence[tuple[Architecture, int]], training: dict[str, Any]) -> list[Job]:
    """Return a job for each architecture and seed that trains it on all the images and tests it."""
    problem = images.problem
    tensors = tensors_of(problem.spec, train=problem.train, validation=problem.validation, test=images.test)
    shared = {
        "space": images.space_spec,
        "training": training,
        "data": problem.spec.to_dict(),
        "device": str(images.device),
    }
    return [
        Job(
            f"{HERE}:guarded_train",
            {**shared, "genome": list(architecture.genome), "seed": seed},
            tensors,
            f"{architecture.name}, seed {seed}",
        )
        for architecture, seed in asked
    ]


def _notes(settings: TruthSettings, images: Images, command: str) -> dict[str, str]:
    problem = images.problem
    return {
        "command": command,
        "space": settings.space.name,
        "data": problem.spec.name,
        "images": f"{len(problem.train)}",
        "validation": f"{len(problem.validation)}",
        "test": f"{len(images.test)}",
        "training": ", ".join(f"{key} {value}" for key, value in settings.training.model_dump(mode="json").items()),
        "machine": _machine(str(images.device)),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _machine(device: str) -> str:
    found = environment(device)
    name = found["cpu"] if found["device"] == "cpu" else found["device"]
    return f"{name}, python {found['python']}, torch {found['torch']}"
