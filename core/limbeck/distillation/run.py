"""The loop: one flat counter of steps, from the first or from a checkpoint to the end of the budget."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from limbeck.config import BudgetSection
from limbeck.distillation import checkpoint
from limbeck.distillation.log import LossLog
from limbeck.distillation.parts import Parts, Term
from limbeck.errors import DivergenceError, LimbeckError
from limbeck.events import CheckpointInfo
from limbeck.execution.memory import PeakGrowth
from limbeck.lifecycle import Lifecycle
from limbeck.networks import State

T = TypeVar("T")

LEARNED = ("parameters", "source", "projector")
"""What a checkpoint never holds in numbers that are not finite."""


class Interrupted(LimbeckError):
    """The user stopped the run; it can be continued."""

    exit_code = 130


@dataclass(frozen=True)
class Progress:
    """News after each flush.

    Attributes:
        step: steps finished.
        total: steps in all, or None when only time limits the run.
        loss: mean loss of the steps since the last news.
        seconds: time spent distilling so far.
        fraction: finished part of the budget in [0, 1].
        changes: what had to change in the plan so far, each with its step.
        syn_lr: the learning rate of students after the last step, or None where there are none.
    """

    step: int
    total: int | None
    loss: float
    seconds: float
    fraction: float
    changes: tuple[dict[str, Any], ...] = ()
    syn_lr: float | None = None


def total_steps(budget: BudgetSection, num_outer: int) -> int | None:
    """Return the steps a budget allows, or None when only time limits it."""
    limits = [] if budget.steps is None else [budget.steps]
    if budget.iterations is not None:
        limits.append(budget.iterations * num_outer)
    return min(limits) if limits else None


class Loop:
    """One run from where it stands to the end of its budget.

    Args:
        parts: what it consists of, labels prepared.
        folder: where checkpoints and losses go, or None to write nothing.
        hooks: life-cycle hooks, or None.
        report: called after each flush.
    """

    def __init__(
        self,
        parts: Parts,
        folder: Path | None,
        hooks: Lifecycle | None,
        report: Callable[[Progress], None] | None,
    ) -> None:
        self.parts, self.folder, self.hooks, self.report = parts, folder, hooks, report
        self.step, self.seconds = 0, 0.0
        self.growth: int | None = None
        self.total = total_steps(parts.config.budget, parts.source.num_outer)
        self._stop = threading.Event()
        self._kept: int | None = None

    def restore(self, position: checkpoint.Position, tensors: dict[str, Tensor]) -> None:
        """Continue from a checkpoint."""
        parts, device = self.parts, self.parts.network.device
        placed = {k: v if k.startswith("generators.") else v.to(device) for k, v in tensors.items()}
        parts.parameters.load_state_dict(checkpoint.split(placed, "parameters"))
        for prefix, term in named_terms(parts):
            term.source.load_state_dict(checkpoint.split(placed, f"{prefix}source"))
            term.matcher.load_state_dict(checkpoint.split(placed, f"{prefix}matcher"))
        parts.generators.load_state_dict(checkpoint.split(placed, "generators"))
        self.step, self.seconds, self.growth = position.step, position.seconds, position.growth
        self._kept = position.step

    def run(self) -> None:
        """Take every step that is left; save at the end, on a stop request, and now and then between.

        Raises:
            DivergenceError: a loss or what is learned stopped being finite; no bad checkpoint is written.
            LimbeckError: memory does not suffice for one image a pass.
            Interrupted: a signal asked to stop; the checkpoint is on disk.
        """
        self.log = LossLog(self.folder, self.step)
        self._memory = None if self.folder is None else PeakGrowth(self.parts.network.device)
        self._started, self._saved = time.perf_counter() - self.seconds, time.perf_counter()
        with self._signals():
            while not self._finished():
                self.log.add(self._update(), self.parts.parameters.syn_lr)
                self.step += 1
                if len(self.log) >= self.parts.config.execution.flush_every:
                    self._flush()
                    self._save_if_due()
                if self._stop.is_set():
                    self._stop_here()
        if len(self.log):
            self._flush()
        self._save()

    def _update(self) -> Tensor:
        """One step: an update of the synthetic set by the matcher, and by each term that has one of its own."""
        parts = self.parts
        losses = [loss for terms in parts.updates for loss in self._moved(terms)]
        parts.parameters.update_average()
        if parts.headroom is not None:
            parts.headroom.keep()
        for term in parts.terms:
            self._in_memory(partial(term.source.advance, term.at(self.step)))
        loss = torch.stack(losses).sum()
        if parts.parameters.plateau is not None:
            parts.parameters.plateau.observe(loss, self.step)
        return loss

    def _moved(self, terms: Sequence[Term]) -> list[Tensor]:
        """Move the synthetic set by some terms together, in one update or group by group, and return their losses."""
        parts = self.parts
        looks = [(term, term.at(self.step), term.state(term.at(self.step))) for term in terms]
        batches, groups = parts.batches(), parts.parameters.groups
        joint = parts.config.optimiser.order == "joint"
        losses: list[Tensor] = []

        def gradients(groups: Sequence[int]) -> list[Tensor]:
            return [term.accumulate(batches, state, step, groups) for term, step, state in looks]

        for part in [groups] if joint else [[group] for group in groups]:
            losses += self._in_memory(partial(gradients, part), *(state for _, _, state in looks))
            parts.parameters.move()
        return losses

    def _in_memory(self, work: Callable[[], T], *states: State) -> T:
        """Do a piece of a step; out of memory halves the chunk and repeats all of it with the same random numbers."""
        parts = self.parts
        before = parts.generators.state_dict()
        names = parts.network.buffer_names
        buffers = [{name: state[name].clone() for name in names if name in state} for state in states]
        while True:
            try:
                return work()
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._require_smaller_passes(error)
            parts.use(parts.plan.halved(self.step))
            if self.folder is not None:
                parts.plan.save(self.folder)
            parts.parameters.optimiser.zero_grad(set_to_none=True)
            parts.generators.load_state_dict(before)
            for state, kept in zip(states, buffers, strict=True):
                for name, value in kept.items():
                    state[name].copy_(value)

    def _require_smaller_passes(self, error: RuntimeError) -> None:
        """Give up where passes cannot be cut further, or where that saves nothing.

        Raises:
            LimbeckError: says what to lower or to leave out.
        """
        refusal = next((term.engine.refusal for term in self.parts.terms if term.engine.refusal), "")
        advice = f"at step {self.step}. Leave out {refusal}."
        if not refusal:
            if self.parts.plan.chunks.synthetic > 1:
                return
            advice = (
                f"at step {self.step}, even for one image a pass. Lower data.batch_real, source.batch_train, "
                "matcher.batch_syn or the network's width."
            )
        raise LimbeckError(f"memory does not suffice {advice}{self._saved_hint()}") from error

    def _finished(self) -> bool:
        limit = self.parts.config.budget.seconds
        if limit is not None and self._elapsed() >= limit:
            return True
        return self.total is not None and self.step >= self.total

    def _elapsed(self) -> float:
        return time.perf_counter() - self._started

    def _flush(self) -> None:
        first, losses = self.log.flush(self._elapsed(), self.parts.parameters.images.detach(), self._hint())
        self.seconds = self._elapsed()
        if self.hooks is not None:
            self.hooks.after_steps(first, self.step - 1, losses, self.seconds)
        if self.report is not None:
            mean = sum(losses) / len(losses)
            changes = self.parts.plan.changes
            rate = self.log.rows[-1].get("syn_lr")
            self.report(Progress(self.step, self.total, mean, self.seconds, self._fraction(), changes, rate))

    def _hint(self) -> str:
        section = self.parts.config.optimiser
        lower = f"--set optimiser.lr_img={section.lr_img / 10:g}"
        if section.lr_lr is not None:
            lower += f", or that of students, --set optimiser.lr_lr={section.lr_lr / 10:g}"
        return f"Lower the learning rate, for example {lower}.{self._saved_hint()}"

    def _saved_hint(self) -> str:
        return "" if self._kept is None else f" The checkpoint after {self._kept} steps is kept."

    def _fraction(self) -> float:
        limit = self.parts.config.budget.seconds
        parts = [] if limit is None else [self.seconds / limit]
        if self.total:
            parts.append(self.step / self.total)
        return min(max(parts), 1.0)

    def _save_if_due(self) -> None:
        if time.perf_counter() - self._saved >= self.parts.config.execution.checkpoint_seconds:
            self._save()

    def _save(self) -> None:
        if self.folder is None:
            return
        parts = self.parts
        tensors = {
            **checkpoint.join("parameters", parts.parameters.state_dict()),
            **checkpoint.join("projector", parts.projector.state_dict()),
            **checkpoint.join("generators", parts.generators.state_dict()),
        }
        for prefix, term in named_terms(parts):
            tensors |= checkpoint.join(f"{prefix}source", term.source.state_dict())
            tensors |= checkpoint.join(f"{prefix}matcher", term.matcher.state_dict())
        for name, tensor in tensors.items():
            if is_learned(name) and not torch.isfinite(tensor).all():
                raise DivergenceError(f"'{name}' stopped being finite by step {self.step - 1}. {self._hint()}")
        digest = parts.data.train.digest()
        grown = None if self._memory is None else self._memory.bytes
        self.growth = max((found for found in (self.growth, grown) if found is not None), default=None)
        position = checkpoint.Position(self.step, self.seconds, parts.config.identity(), digest, self.growth)
        path = checkpoint.save(self.folder, position, tensors)
        self._saved, self._kept = time.perf_counter(), self.step
        if self.hooks is not None:
            self.hooks.after_checkpoint(CheckpointInfo(self.step, str(path)))

    def _stop_here(self) -> None:
        if len(self.log):
            self._flush()
        self._save()
        raise Interrupted(
            f"stopped after step {self.step}; nothing is lost. Continue: limbeck distill --resume {self.folder}"
        )

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Let the first Ctrl-C or SIGTERM end the run between two steps; a second one ends it at once."""
        if self.folder is None or threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: object) -> None:
            if self._stop.is_set():
                raise KeyboardInterrupt
            self._stop.set()

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def distil(
    parts: Parts,
    *,
    folder: Path | None = None,
    hooks: Lifecycle | None = None,
    report: Callable[[Progress], None] | None = None,
    start: tuple[checkpoint.Position, dict[str, Tensor]] | None = None,
) -> Loop:
    """Run the loop and return it, finished.

    Args:
        parts: what the run consists of, labels prepared.
        folder: the run folder, or None to write nothing.
        hooks: life-cycle hooks, or None.
        report: called after each flush.
        start: a checkpoint to continue from.
    """
    loop = Loop(parts, folder, hooks, report)
    if start is not None:
        loop.restore(*start)
    loop.run()
    return loop


def named_terms(parts: Parts) -> list[tuple[str, Term]]:
    """Return every term with what the names of its tensors begin with in a checkpoint: nothing for the matcher's."""
    return [("" if place == 0 else f"terms.{place}.", term) for place, term in enumerate(parts.terms)]


def is_learned(name: str) -> bool:
    """Tell whether a checkpoint's tensor, of the matcher's term or another, is something learned and must be finite."""
    return re.sub(r"^terms\.\d+\.", "", name).partition(".")[0] in LEARNED


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether torch could not get memory, on either device."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
