"""TensorBoard's event files, in the folder ``tensorboard`` of the run: ``tensorboard --logdir runs`` shows all runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from limbeck.events import EvaluationInfo, RunInfo, RunResult
from limbeck.observers import Observer

FOLDER = "tensorboard"


class TensorBoard(Observer):
    """Write loss and pace by step, accuracies by network, and the picture of the finished set."""

    writer: SummaryWriter | None = None

    def before_run(self, run: RunInfo) -> None:
        """Open the event file; steps that are done again replace those after ``run.first_step``."""
        self._seconds, self._step = 0.0, run.first_step
        if run.folder is not None:
            self.writer = SummaryWriter(str(Path(run.folder) / FOLDER), purge_step=run.first_step or None)

    def after_steps(self, first: int, last: int, losses: Sequence[float], seconds: float) -> None:
        """Write each loss, and the mean seconds a step of this lot."""
        if self.writer is None:
            return
        for step, loss in zip(range(first, last + 1), losses, strict=True):
            self.writer.add_scalar("loss", loss, step)
        if self._seconds:
            self.writer.add_scalar("seconds a step", (seconds - self._seconds) / len(losses), last)
        self._seconds, self._step = seconds, last

    def after_evaluation(self, evaluation: EvaluationInfo) -> None:
        """Write a row's mean, and each network's accuracy."""
        if self.writer is None:
            return
        for network, accuracy in enumerate(evaluation.accuracies):
            self.writer.add_scalar(f"accuracy of each network/{evaluation.label}", accuracy, network)
        self.writer.add_scalar(f"accuracy/{evaluation.label}", evaluation.mean, self._step)

    def on_run_error(self, run: RunInfo, error: BaseException) -> None:
        """Close the file."""
        self._close()

    def after_run(self, run: RunInfo, result: RunResult) -> None:
        """Add the picture of the set and close the file."""
        picture = Path(run.folder or "") / "preview.png"
        if self.writer is not None and picture.is_file():
            with Image.open(picture) as image:
                self.writer.add_image(
                    "synthetic set", np.asarray(image.convert("RGB")), result.steps, dataformats="HWC"
                )
        self._close()

    def _close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None
