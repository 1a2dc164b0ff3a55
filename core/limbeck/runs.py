"""A whole run: configuration in, run folder out. Everything is written whole, and any part can be repeated.

A run folder is also an artifact folder. It holds ``config.yaml``, ``plan.json`` and ``environment.json`` before the
first step, ``checkpoint.safetensors`` and ``log.jsonl`` during it, and the set, ``evaluation.json`` and
``report.html`` after it.
"""

from __future__ import annotations

import contextlib
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from limbeck.config import CHANGEABLE, RunConfig, build, flatten, merge, read_yaml
from limbeck.configure import configure
from limbeck.data import DataSet, load_dataset
from limbeck.data.views import split_view
from limbeck.distillation import checkpoint, log
from limbeck.distillation.parts import Parts
from limbeck.distillation.result import distilled_set, recipe_of, selected_set
from limbeck.distillation.run import Interrupted, Progress, distil, is_out_of_memory, total_steps
from limbeck.distillation.setup import asked_of, prepare_labels, set_up
from limbeck.distillation.trial import Estimate, estimate, fit_to_memory
from limbeck.environment import environment
from limbeck.errors import CheckpointError, LimbeckError, LimbeckWarning, UsageError
from limbeck.evaluation import Evaluation, Recipe, evaluate_with_baselines
from limbeck.evaluation.kept import forget, keep_rows
from limbeck.events import EvaluationInfo, RunInfo, RunResult
from limbeck.execution.device import compute_settings, keep_freed_memory, resolve_device, threads_that_pay
from limbeck.execution.plan import Plan
from limbeck.files import checked_text, folder_lock, signed, signed_text, write_atomic, write_json
from limbeck.lifecycle import Lifecycle
from limbeck.networks import build_network
from limbeck.plugins import registry
from limbeck.preflight import cautions, check_names
from limbeck.synthetic import SyntheticSet
from limbeck.synthetic.artifact import TENSORS

CONFIG, ENVIRONMENT, INITIAL = "config.yaml", "environment.json", "initial.safetensors"


@dataclass(frozen=True)
class Listener:
    """Who is told what while a run goes on; every part may be left out.

    Attributes:
        warned: a caution before the run begins; a ``LimbeckWarning`` unless somebody listens.
        planned: the parts of the run and, before a first step, what a trial step cost.
        learning: finished and all epochs of networks that a selector or a network source trains.
        progress: after each flush of losses.
        network: an evaluation network finished: row label, its number, its accuracy in [0, 1].
        row: a row of the evaluation finished.
    """

    warned: Callable[[str], None] = lambda text: warnings.warn(text, LimbeckWarning, stacklevel=5)
    planned: Callable[[Parts, Estimate | None], None] = lambda parts, cost: None
    learning: Callable[[int, int], None] = lambda finished, epochs: None
    progress: Callable[[Progress], None] = lambda news: None
    network: Callable[[str, int, float], None] = lambda label, number, accuracy: None
    row: Callable[[Evaluation], None] = lambda row: None


@dataclass(frozen=True)
class Finished:
    """What a run returns: the set, the rows measured with it, and where it is kept."""

    synthetic: SyntheticSet
    rows: list[Evaluation] = field(default_factory=list)
    folder: Path | None = None


def run(
    config: RunConfig,
    data: Any = None,
    *,
    folder: Path | None = None,
    resume: bool = False,
    data_root: Path | None = None,
    download: bool = False,
    cache: Path | None = None,
    listener: Listener = Listener(),
    page: bool = True,
) -> Finished:
    """Distil, measure and write a report.

    Args:
        config: what to do.
        data: real images in place of the data set that ``config`` names.
        folder: the run folder; without one nothing is written and nothing is evaluated.
        resume: continue what ``folder`` holds.
        data_root: where data sets lie.
        download: whether missing data may be fetched.
        cache: folder for results that do not depend on this run, such as the whole data set's.
        listener: who is told.
        page: whether the folder gets a report, which takes a second or two; else whoever asked shows the set.

    Raises:
        LimbeckError: anything a user can cause; the folder keeps its last good state.
    """
    section = config.execution
    device = resolve_device(section.device)
    check_names(config, recipe_of(config), data)
    if folder is not None and device.type == "cpu":
        keep_freed_memory()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_memory_explained())
        kept = Kept() if folder is None else stack.enter_context(_claimed(folder, config, resume))
        threads = section.threads or (kept.plan.threads if kept.plan else None)
        stack.enter_context(compute_settings(device, threads=threads, deterministic=section.deterministic))
        named, view = split_view(config.data.source())
        dataset = load_dataset(
            named if data is None else data,
            **view,
            data_root=data_root,
            download=download,
            device=device,
            seed=config.seed,
        )
        if folder is not None:
            if kept.start is not None:
                checkpoint.require_same_data(kept.start[0], dataset.train.digest(), folder)
            write_atomic(folder / CONFIG, signed_text(config.to_yaml()).encode())
            write_json(folder / ENVIRONMENT, signed(environment(str(device))))
        network = build_network(config.network, dataset.spec, device)
        for text in cautions(config, network):
            listener.warned(text)
        if threads is None:
            stack.enter_context(threads_that_pay(network.largest_activation(), device))
        return _run(config, dataset, folder, kept, cache, listener, page)


def resumed_config(folder: Path, changes: Mapping[str, Any]) -> RunConfig:
    """Return the configuration of a run folder with budget, evaluation or execution changed.

    Raises:
        UsageError: no run there, or a setting that may not change is another than it was.
    """
    if not (folder / CONFIG).exists():
        raise UsageError(f"{folder} holds no run to resume: there is no {CONFIG}. Start one with --out {folder}.")
    stored = read_yaml(folder / CONFIG)
    try:
        checked_text((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{folder / CONFIG} is altered ({error}). Start a new run with another --out.") from None
    merged = merge({**stored, "budget": {}} if "budget" in changes else stored, changes)
    found, asked = (flatten(build(settings).identity()) for settings in (stored, merged))
    for key in {**found, **asked}:
        if found.get(key) != asked.get(key):
            raise UsageError(
                f"'{key}' cannot change when a run is resumed: it is {found.get(key)}, and {asked.get(key)} was asked. "
                f"Only {', '.join(CHANGEABLE)} can; for a new run choose another folder with --out."
            )
    return configure(settings=merged)


@contextlib.contextmanager
def _memory_explained() -> Iterator[None]:
    """Turn running out of memory outside the loop, which halves its passes, into one line."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise LimbeckError(
            "memory does not suffice for training a network before, beside or after the steps. Lower the network's "
            "width or the batch size of what trains it (source, labels, selector, evaluation.protocol), or type "
            "--set execution.chunk=64."
        ) from error


@dataclass(frozen=True)
class Kept:
    """What a run folder holds of an earlier part of the run: checkpoint and plan, where they are of use."""

    start: tuple[checkpoint.Position, dict[str, torch.Tensor]] | None = None
    plan: Plan | None = None


@contextlib.contextmanager
def _claimed(folder: Path, config: RunConfig, resume: bool) -> Iterator[Kept]:
    """Hold the folder for this run and yield what is there to continue, or refuse one that holds another's.

    A new run that fails before there is anything to continue or to look at leaves nothing behind.
    """
    with folder_lock(folder):
        if not resume and any((folder / name).exists() for name in (CONFIG, TENSORS)):
            raise UsageError(
                f"{folder} already holds a run. Continue it with --resume {folder}, or choose another --out."
            )
        found = set(folder.iterdir())
        try:
            yield _kept(folder, config) if resume else Kept()
        except BaseException as error:
            is_begun = any((folder / name).exists() for name in (TENSORS, checkpoint.NAME, log.NAME))
            if isinstance(error, KeyboardInterrupt) and (resume or is_begun):
                raise Interrupted(f"stopped; nothing is lost. Continue: limbeck distill --resume {folder}") from None
            if not resume and not is_begun:
                for path in set(folder.iterdir()) - found:
                    path.unlink() if path.is_file() else shutil.rmtree(path)
            if isinstance(error, KeyboardInterrupt):
                raise Interrupted(
                    "stopped before the first step; no run is left. Networks that had finished training are kept, "
                    "and the same command finds them."
                ) from None
            raise


def _kept(folder: Path, config: RunConfig) -> Kept:
    """Return what a run folder holds that belongs to this configuration.

    Raises:
        CheckpointError: the checkpoint is damaged, or of another configuration.
    """
    start = checkpoint.load(folder)
    if start is None:
        return Kept()
    checkpoint.require_same(start[0], config.identity(), folder)
    done, asked = start[0].step, config.budget.steps
    if asked is not None and asked < done:
        raise UsageError(
            f"{folder} has taken {done} steps already, and {asked} were asked for. Type --steps {done} or more."
        )
    plan = Plan.load(folder)
    return Kept(start, plan if plan is not None and plan.asked == asked_of(config) else None)


def _run(
    config: RunConfig,
    data: DataSet,
    folder: Path | None,
    kept: Kept,
    cache: Path | None,
    listener: Listener,
    page: bool,
) -> Finished:
    started = time.perf_counter()
    info = _info(config, folder)
    made = registry()
    hooks = made.hooks.with_observers([made.create("observers", each.model_dump()) for each in config.observers])
    try:
        if config.matcher is None:
            hooks.before_run(info)
            synthetic, steps = selected_set(config, data, cache, listener.learning), 0
        else:
            parts = _prepare(config, data, folder, kept, cache, listener)
            first = 0 if kept.start is None else kept.start[0].step
            info = _with_plan(info, parts, first)
            hooks.before_run(info)
            loop = distil(parts, folder=folder, hooks=hooks, report=listener.progress, start=kept.start)
            synthetic, steps = distilled_set(config, parts, loop.step, loop.seconds, loop.growth), loop.step
        rows = _keep_and_measure(config, data, synthetic, folder, cache, listener, hooks)
        if folder is not None and page:
            from limbeck.report import write_report  # matplotlib and jinja2 only when a page is written

            write_report(folder)
    except BaseException as error:
        hooks.on_run_error(info, error)
        raise
    accuracy = rows[0].mean if rows else None
    hooks.after_run(info, RunResult(steps, time.perf_counter() - started, len(synthetic), synthetic.bytes, accuracy))
    return Finished(synthetic, rows, folder)


def _prepare(
    config: RunConfig, data: DataSet, folder: Path | None, kept: Kept, cache: Path | None, listener: Listener
) -> Parts:
    """Set up from the folder's plan and checkpoint where they are, else afresh."""
    parts = set_up(config, data, kept.plan, cache, listener.learning)
    if kept.start is not None:
        parts.projector.load_state_dict(checkpoint.split(kept.start[1], "projector"))
    prepare_labels(parts)
    if kept.plan is None:
        fit_to_memory(parts)
    cost = None
    if folder is not None and kept.start is None:
        images = {"images": parts.parameters.normalised.cpu(), "group": parts.parameters.group.cpu()}
        write_atomic(folder / INITIAL, checkpoint.sealed("", images))
        cost = estimate(parts)
    if folder is not None:
        parts.plan.save(folder)
    listener.planned(parts, cost)
    return parts


def _keep_and_measure(
    config: RunConfig,
    data: DataSet,
    synthetic: SyntheticSet,
    folder: Path | None,
    cache: Path | None,
    listener: Listener,
    hooks: Lifecycle,
) -> list[Evaluation]:
    if folder is None:
        return []
    if _is_stored(synthetic, folder):
        synthetic = synthetic.with_(figures=SyntheticSet.load(folder).figures)
    else:
        forget(folder)
    synthetic.save(folder)
    rows = []
    if config.evaluation.networks:
        rows = measure(config, data, synthetic, folder / "networks", cache, listener, hooks)
        keep_rows(folder, synthetic, rows)
    return rows


def _is_stored(synthetic: SyntheticSet, folder: Path) -> bool:
    """Tell whether the folder holds this very set, so that figures measured with it still stand."""
    try:
        stored = SyntheticSet.load(folder)
    except LimbeckError:
        return False
    described = [(each.storage, each.label_kind, each.recipe) for each in (stored, synthetic)]
    return (
        described[0] == described[1]
        and torch.equal(stored.stored_images(), synthetic.stored_images())
        and torch.equal(stored.stored_labels(), synthetic.stored_labels())
    )


def measure(
    config: RunConfig,
    data: DataSet,
    synthetic: SyntheticSet,
    networks_folder: Path | None,
    cache: Path | None,
    listener: Listener,
    hooks: Lifecycle | None = None,
) -> list[Evaluation]:
    """Evaluate a set by its recipe, beside the baselines the configuration asks for; tell hooks of each row."""
    section, hooks = config.evaluation, hooks or registry().hooks

    def told(row: Evaluation) -> None:
        hooks.after_evaluation(
            EvaluationInfo(row.label, row.protocol, row.networks, row.mean, row.std, tuple(row.accuracies))
        )
        listener.row(row)

    return evaluate_with_baselines(
        synthetic,
        data,
        Recipe.from_dict(synthetic.recipe),
        baselines=section.baselines,
        networks=section.networks,
        seed=config.seed,
        device=data.train.device,
        dtype=getattr(torch, config.execution.precision),
        executor=registry().create("executors", config.execution.executor.model_dump()),
        cache=networks_folder,
        whole_cache=cache,
        on_result=lambda label, number, result: listener.network(label, number, result["accuracy"]),
        on_row=told,
    )


def _info(config: RunConfig, folder: Path | None) -> RunInfo:
    return RunInfo(
        folder=None if folder is None else str(folder),
        method=config.method or "",
        matcher=config.matcher.name if config.matcher else None,
        data=config.data.name,
        ipc=config.ipc,
        network=config.network,
        seed=config.seed,
        first_step=0,
        total_steps=None,
        device=str(resolve_device(config.execution.device)),
        plan={},
    )


def _with_plan(info: RunInfo, parts: Parts, first: int) -> RunInfo:
    total = total_steps(parts.config.budget, parts.source.num_outer)
    return replace(info, first_step=first, total_steps=total, plan=parts.plan.to_dict())
