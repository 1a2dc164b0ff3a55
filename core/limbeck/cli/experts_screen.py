"""What a person sees while experts are trained, by one process or by many: the epochs that their files hold."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from limbeck.cli.screen import PLAIN_SECONDS, duration
from limbeck.execution.memory import format_bytes
from limbeck.experts import Buffer, Training
from limbeck.experts.options import extent

GLANCE = 0.5
"""Seconds between two looks at the files."""


class ExpertScreen:
    """Progress of experts; use as a context manager.

    Args:
        training: how they are trained.
        buffer: where they are kept.
        experts: how many there shall be.
        console: where to write; standard output by default.
    """

    def __init__(self, training: Training, buffer: Buffer, experts: int, console: Console | None = None) -> None:
        self.training, self.buffer, self.experts = training, buffer, experts
        self.console = console or Console(highlight=False, markup=False, soft_wrap=True)
        columns = (
            SpinnerColumn(),
            TextColumn("training experts"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[news]}"),
            TimeRemainingColumn(compact=True),
        )
        self._bars = Progress(
            *columns, console=self.console, disable=not self.console.is_terminal, expand=True, transient=True
        )
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._follow, daemon=True)
        self.total = experts * training.how.epochs

    def title(self, data: str, executor: str) -> None:
        """Say what will be trained, what it costs, and where it goes."""
        training = self.training
        there, done = len(training.real), self.epochs()
        part = f"{training.num_images:,} of {there:,}" if training.num_images < there else f"{there:,}"
        what = extent(self.experts, training.how.epochs, "flat expert" if training.how.sharpness else "expert")
        self.console.print(f"{what} of {training.network.name} on {part} images of {data}")
        seconds = training.seconds(self.total - done)
        one = "" if executor == "serial" else " for one at a time"
        size = format_bytes(training.bytes(self.experts))
        self.console.print(f"about {duration(seconds)}{one} on {training.network.device}, {size} on disk")
        self.console.print(f"everything goes into {self.buffer.folder}")
        if done:
            self.console.print(f"going on: {done:,} of {self.total:,} epochs are there")

    def epochs(self) -> int:
        """Return how many of the epochs asked for the files hold."""
        asked = self.training.how.epochs
        return sum(min(self.buffer.epochs_of(expert), asked) for expert in range(self.experts))

    def done(self, seconds: float) -> None:
        """Say what there is now."""
        heads = [head for expert in range(self.experts) if (head := self.buffer.head(expert)) is not None]
        first, last = (sum(head.losses[at] for head in heads) / len(heads) for at in (0, self.training.how.epochs - 1))
        size = format_bytes(self.buffer.bytes())
        self.console.print(
            f"done in {duration(seconds)}: training loss {first:.3g} -> {last:.3g}, {size}. Runs with the same data, "
            f"network and source find them; 'limbeck experts check {self.buffer.key}' looks them over."
        )

    def __enter__(self) -> ExpertScreen:
        self._bars.start()
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._watch.join()
        self._bars.stop()

    def _follow(self) -> None:
        began, first = time.monotonic(), self.epochs()
        spoken, bar = began, self._bars.add_task("", total=self.total, completed=first, news="")
        while not self._ended.wait(GLANCE):
            done, now = self.epochs(), time.monotonic()
            news = f"epoch {done:,}/{self.total:,}"
            self._bars.update(bar, completed=done, news=news)
            if not self.console.is_terminal and now - spoken >= PLAIN_SECONDS and done > first:
                left = (now - began) * (self.total - done) / (done - first)
                self.console.print(f"epoch {done:,} of {self.total:,}, {duration(left)} left")
                spoken = now
