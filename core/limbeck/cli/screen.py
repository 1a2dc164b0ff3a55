"""What a person sees while a run goes on: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Any

import rich.box
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from limbeck.config import RunConfig
from limbeck.distillation.run import Progress as News
from limbeck.distillation.run import total_steps
from limbeck.distillation.setup import Estimate, Parts
from limbeck.evaluation import Evaluation
from limbeck.execution.memory import format_bytes
from limbeck.runs import Finished, Listener

PLAIN_SECONDS = 10
"""Time between two plain lines where there is no terminal."""

ROW_NAMES = {
    "synthetic": "this set",
    "random": "random, same number",
    "random_bytes": "random, same bytes",
    "whole": "whole data set",
}


class Screen:
    """Progress of one run; use as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[news]}"),
            TimeRemainingColumn(compact=True),
        )
        self._bars = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self._bar: TaskID | None = None
        self._spoken = 0.0
        self._first: News | None = None

    def __enter__(self) -> Screen:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def title(self, config: RunConfig, folder: Path) -> None:
        """Say what is about to happen, and where it goes."""
        what = config.method or (config.matcher.name if config.matcher else "run")
        matcher = f" with matcher {config.matcher.name}" if config.matcher and config.method else ""
        self.console.print(
            f"[bold]{what}[/bold]{matcher} on {config.data.name}, {config.ipc} image(s) a class, "
            f"{config.network} -> {folder}"
        )

    def listener(self) -> Listener:
        """Return the callbacks a run is given."""
        return Listener(planned=self.planned, progress=self.progress, network=self.network, row=self.row)

    def planned(self, parts: Parts, cost: Estimate | None) -> None:
        """Say what the run will cost, from a trial step."""
        total = total_steps(parts.config.budget, parts.source.num_outer)
        self._bar = self._bars.add_task("distilling", total=1.0, news="")
        if cost is None:
            self.console.print(f"continuing on {parts.plan.device}")
            return
        chunk, growth = parts.plan.chunks.synthetic, "" if cost.growth is None else f", {format_bytes(cost.growth)} of memory"
        steps = "until its time is up" if total is None else f"{total:,} steps, about {duration(cost.seconds * total)}"
        self.console.print(
            f"{steps} ({cost.seconds:.3g} s a step{growth}; {parts.plan.device}, "
            f"{parts.plan.threads} threads, at most {chunk} images a pass)"
        )

    def progress(self, news: News) -> None:
        """Move the bar, or say a line now and then."""
        first = self._first = self._first or news
        steps, seconds = news.step - first.step, news.seconds - first.seconds
        pace = f"{seconds / steps:.3g} s/step" if steps else ""
        text = f"step {news.step}{f'/{news.total}' if news.total else ''}  loss {news.loss:.4g}  {pace}"
        if self._bar is not None:
            self._bars.update(self._bar, completed=news.fraction, news=f"{text}  {memory_in_use()}")
        self._say(f"{text}  {duration(news.seconds)}", last=news.fraction >= 1)

    def network(self, label: str, number: int, accuracy: float) -> None:
        """Name one evaluation network's accuracy."""
        text = f"{ROW_NAMES.get(label, label)}: network {number + 1} {accuracy:.1%}"
        if self._bar is not None:
            self._bars.update(self._bar, description="measuring", completed=1.0, news=text)
        self._say(text, last=False)

    def row(self, row: Evaluation) -> None:
        """Say one finished row."""
        name = ROW_NAMES.get(row.label, row.label)
        self.console.print(f"{name}: {row.mean:.1%} ± {row.std:.1%} ({row.networks} networks, {row.seconds:.0f} s)")

    def done(self, finished: Finished, seconds: float) -> None:
        """Show the table and where everything lies."""
        self._bars.stop()
        if finished.rows:
            self.console.print(table(finished.rows))
        self.console.print(f"done in {duration(seconds)}. Open {finished.folder}/report.html to see the images.")

    def _say(self, text: str, *, last: bool) -> None:
        if self.console.is_terminal:
            return
        if last or time.monotonic() - self._spoken >= PLAIN_SECONDS:
            self._spoken = time.monotonic()
            self.console.print(text)


def table(rows: list[Evaluation]) -> Table:
    """Return evaluation rows as a table, each with what makes it comparable."""
    found = Table(box=rich.box.SIMPLE)
    for column in ("trained on", "images", "bytes", "accuracy", "networks", "epochs", "augmentation", "labels"):
        found.add_column(column, justify="left" if column in ("trained on", "augmentation", "labels") else "right")
    for row in rows:
        values: list[Any] = [
            ROW_NAMES.get(row.label, row.label),
            f"{row.images:,}",
            format_bytes(row.bytes),
            f"{row.mean:.2%} ± {row.std:.2%}",
            row.networks,
            f"{row.recipe['epochs']:,}",
            row.augmentation,
            row.labels,
        ]
        found.add_row(*map(str, values))
    return found


def duration(seconds: float) -> str:
    """Write a length of time for people."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def memory_in_use() -> str:
    """Return the process's memory, or nothing where it cannot be read."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return ""
    return format_bytes(pages * 4096)
