"""Making a table of truth: every architecture trained on all the images, from several seeds."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from limbeck.environment import environment
from limbeck.errors import LimbeckError, UsageError
from limbeck.execution.device import keep_freed_memory
from limbeck.execution.executors import Executor, Job, OnResult, Result, job_keys, read_result
from limbeck.files import folder_lock, write_json
from limbeck.plugins import registry
from limbeck_applications.nas.candidates.job import HERE, tensors_of
from limbeck_applications.nas.space import Architecture
from limbeck_applications.nas.study.asked import TruthSettings
from limbeck_applications.nas.study.audience import Audience
from limbeck_applications.nas.study.images import Images, images_of
from limbeck_applications.nas.study.kept import JOBS, TABLE, Keeper, check_folder, check_names, load_outcome, title_of
from limbeck_applications.nas.study.rows import TruthOutcome
from limbeck_applications.nas.truth import Measured, Truth, write_truth

AND = " && "
"""Between the commands that made a table one after the other."""


def make_truth(
    settings: TruthSettings,
    folder: Path,
    *,
    data_root: Path | None = None,
    download: bool = False,
    cache: Path | None = None,
    audience: Audience | None = None,
    command: str = "",
) -> TruthOutcome:
    """Train what ``folder`` does not hold yet and write its table, ``truth.csv``.

    Rows that are there stay, also of architectures and seeds that are not asked for this time.

    Args:
        settings: what to train, and how.
        folder: keeps every finished training; the same call continues it.
        data_root: where data sets lie.
        download: whether missing data may be fetched.
        cache: for what does not depend on this study alone.
        audience: who is told.
        command: what was typed; stands in the table.

    Raises:
        UsageError: an unknown name, an architecture that does not fit the images, or trainings that came to nothing;
            the table has the others; a folder whose table is of another space, of other images or training.
        DataError: the images are not there, or too few.
    """
    check_names(settings)
    check_folder(folder, settings)
    images = images_of(settings, data_root=data_root, download=download, cache=cache)
    chosen = images.architectures(settings.sample)
    if images.device.type == "cpu":
        keep_freed_memory()
    executor: Executor = registry().create("executors", settings.executor.model_dump())
    costs = {each.name: images.space.cost(each, images.problem.spec) for each in chosen}
    truth = Truth((), _notes(settings, images, command))
    outcome = TruthOutcome(settings, chosen, costs, truth, TABLE, command, len(images.problem.train))
    outcome = _begun(outcome, folder)
    asked = [(each, seed) for seed in range(settings.seeds) for each in chosen]
    with folder_lock(folder):
        jobs = training_jobs(images, asked, settings.training.model_dump(mode="json"))
        outcome = _Trainings(outcome, folder, audience or Audience(), asked).run(executor, jobs)
    if lost := outcome.failed:
        raise UsageError(
            f"{len(lost)} of {len(asked)} trainings came to nothing, the first: {lost[0].rstrip('.')}. The others are "
            "kept; the same command trains what is missing."
        )
    return outcome


def _begun(outcome: TruthOutcome, folder: Path) -> TruthOutcome:
    """Return an outcome with the rows that are there, and the architectures and commands that they are of.

    Raises:
        UsageError: they are of another space, of other images or of other training.
    """
    there = None
    with contextlib.suppress(LimbeckError):
        there = load_outcome(folder)
    if not isinstance(there, TruthOutcome) or not there.truth.rows:
        return outcome
    its, own = _made_with(there), _made_with(outcome)
    for what in own:
        if its[what] != own[what]:
            raise UsageError(
                f"{what} {own[what]} was asked for, but the table in {folder} was made with {its[what]}: choose "
                f"another folder with --out, or go on with that table: limbeck nas truth --resume {folder}."
            )
    more = {row.architecture for row in there.truth.rows} - set(outcome.costs)
    architectures = [*outcome.architectures, *(each for each in there.architectures if each.name in more)]
    costs = {**outcome.costs, **{name: there.costs[name] for name in more}}
    command, commands = outcome.command, there.command.split(AND)
    held = {(row.architecture, row.seed) for row in there.truth.rows}
    if outcome.asked < held:
        command = there.command
    elif not held <= outcome.asked:
        command = AND.join(commands if command in commands else [*commands, command])
    truth = Truth(there.truth.rows, {**outcome.truth.notes, "command": command})
    return replace(outcome, architectures=architectures, costs=costs, truth=truth, command=command)


def _made_with(outcome: TruthOutcome) -> dict[str, Any]:
    """Return what all rows of a table have in common."""
    return {
        "space": title_of("nas_spaces", outcome.settings.space),
        "images": outcome.images,
        "validation": outcome.truth.notes.get("validation"),
        **outcome.settings.training.model_dump(mode="json"),
    }


class _Trainings:
    def __init__(
        self, outcome: TruthOutcome, folder: Path, told: Audience, asked: Sequence[tuple[Architecture, int]]
    ) -> None:
        self._begun, self.folder, self.told, self.asked = outcome, folder, told, asked
        self.rows = {(row.architecture, row.seed): row for row in outcome.truth.rows}
        self.lost: dict[int, str] = {}
        self._keeper, self._done = Keeper(folder, told), 0

    @property
    def outcome(self) -> TruthOutcome:
        """As far as it has come, in the order asked; what was not asked for comes last."""
        order = dict.fromkeys([*((each.name, seed) for each, seed in self.asked), *self.rows])
        rows = tuple(self.rows[each] for each in order if each in self.rows)
        return replace(
            self._begun,
            truth=replace(self._begun.truth, rows=rows),
            failed=[self.lost[place] for place in sorted(self.lost)],
        )

    def run(self, executor: Executor, jobs: Sequence[Job]) -> TruthOutcome:
        """Train, and keep what there is also where that is stopped."""
        self._keeper.save(self.outcome)
        self.told.planned(self.outcome)
        try:
            run_trainings(executor, jobs, self.folder / JOBS, self._arrived)
        finally:
            self._keeper.save(self.outcome)
        if self.rows:
            write_truth(self.folder / TABLE, self.outcome.truth)
        self.told.tabled(self.outcome)
        return self.outcome

    def _arrived(self, place: int, result: Result) -> None:
        name, seed = self.asked[place][0].name, self.asked[place][1]
        if "failed" in result:
            self.lost[place] = f"{name}, seed {seed}: {result['failed']}"
            self.rows.pop((name, seed), None)
            return
        row = self.rows[name, seed] = Measured(name, seed, **result)
        self._done += 1
        self.told.trained(self._done, len(self.asked), row)
        self._keeper.goes_on(lambda: self.outcome)


def run_trainings(
    executor: Executor, jobs: Sequence[Job], folder: Path, told: OnResult, *, weights: bool = False
) -> list[Path]:
    """Run what ``folder`` does not hold; what came to nothing is not kept there, so that it is tried again.

    Args:
        executor: runs them.
        jobs: of ``training_jobs``.
        folder: of results by content.
        told: of each result as it comes, with its job's position.
        weights: whether what is learned is kept; a training whose weights are not there is done again.

    Returns:
        Where the weights of each lie if they are kept.
    """
    paths = [folder / f"{key}.json" for key in job_keys(jobs)]
    learned = [path.with_suffix(".safetensors") for path in paths]
    missing = []
    for place, path in enumerate(paths):
        stored = read_result(path)
        if stored is None or (weights and not learned[place].exists()):
            missing.append(place)
        else:
            told(place, stored)

    def finished(number: int, result: Result) -> None:
        place = missing[number]
        stored = read_result(paths[place]) if "failed" in result else None
        if "failed" not in result:
            write_json(paths[place], result)
        told(place, result)
        if stored is not None:  # only its weights were missing
            told(place, stored)

    kept = {place: {"weights": str(learned[place])} if weights else {} for place in missing}  # no part of a key
    wanted = [replace(jobs[place], config={**jobs[place].config, **own}) for place, own in kept.items()]
    executor.run(wanted, None, finished)
    return learned


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
        "classes": f"{problem.spec.num_classes}",
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
