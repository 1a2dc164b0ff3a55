"""Observers: what writes a run down for other programs, chosen by name for one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from limbeck.component import Component

if TYPE_CHECKING:
    from limbeck.events import CheckpointInfo, EvaluationInfo, RunInfo, RunResult


class Observer(Component):
    """Is told of one run what the life-cycle hooks of plugins are told; override what is of interest.

    Every method is called on rank 0, in the order of this page, with plain Python values. An observer that raises is
    reported without stopping the run. One whose library is missing says so when it is made: before the first step.
    """

    def before_run(self, run: RunInfo) -> None:
        """Open what is to be written; ``run.first_step`` is above 0 when a run continues.

        Args:
            run: what will be done. Without ``run.folder`` nothing may be written.
        """

    def after_steps(self, first: int, last: int, losses: Sequence[float], seconds: float) -> None:
        """Take note of finished steps.

        Args:
            first: number of the first step, counted from 0 over the whole run.
            last: number of the last step, inclusive.
            losses: the loss at each of them.
            seconds: spent distilling so far, those before a resume included.
        """

    def after_evaluation(self, evaluation: EvaluationInfo) -> None:
        """Take note of one row of an evaluation, accuracies in [0, 1]."""

    def after_checkpoint(self, checkpoint: CheckpointInfo) -> None:
        """Take note of a checkpoint that is on disk."""

    def on_run_error(self, run: RunInfo, error: BaseException) -> None:
        """Close what is open: the run ends by an error or by Ctrl-C."""

    def after_run(self, run: RunInfo, result: RunResult) -> None:
        """Close what is open: the run finished and its set is saved."""
