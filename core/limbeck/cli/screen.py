"""What a person sees while a run goes on: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import rich.box
import torch
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from limbeck.config import RunConfig
from limbeck.distillation.parts import Parts
from limbeck.distillation.run import Progress as News
from limbeck.distillation.run import total_steps
from limbeck.distillation.trial import Estimate
from limbeck.evaluation import Evaluation
from limbeck.evaluation.cross import CrossTable
from limbeck.execution.memory import format_bytes
from limbeck.runs import Finished, Listener

WIDEST = 1000
"""Columns of text that no table exceeds."""

PLAIN_SECONDS = 10
"""Time between two plain lines where there is no terminal; rows that took longer are told as they arrive."""

LONG_SECONDS = 600
"""Time from which a run with published settings on a CPU is told of smaller ones."""

ROW_NAMES = {
    "synthetic": "this set",
    "random": "random, same ipc",
    "random_bytes": "random, same bytes",
    "random_soft": "random, own labels",
    "random_plain": "random, plain",
    "synthetic_plain": "this set, plain",
    "synthetic_hard": "this set, hard",
    "whole": "whole data set",
}


def bars(console: Console) -> Progress:
    """Return bars that have news of their own, are shown on terminals only and vanish at the end."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[news]}"),
        TimeRemainingColumn(compact=True),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal, expand=True, transient=True)


class Screen:
    """Progress of one run; use as a context manager."""

    def __init__(self, console: Console | None = None, networks: int | None = None) -> None:
        """Prepare the bars.

        Args:
            console: where to write; standard output by default.
            networks: how many will be trained to measure, where that is known before.
        """
        self.console = console or Console(highlight=False, markup=False, soft_wrap=True)
        self._bars = bars(self.console)
        self._config: RunConfig | None = None
        self._bar: TaskID | None = None
        self._spoken = time.monotonic()
        self._start: tuple[int, float] | None = None
        self._changes = 0
        self._memory: Callable[[], str] = str
        self._trained, self._networks = 0, None if networks is None else float(networks)

    def __enter__(self) -> Screen:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def title(self, config: RunConfig, folder: Path) -> None:
        """Say what is about to happen, and where it goes."""
        self._config, by = config, ""
        if config.matcher and any(change.startswith("matcher: ") for change in config.deviations):
            by = f" with matcher {config.matcher.name}"
        what = f"{by} on {config.data.name}, {plural(config.ipc, 'image')} a class, network {config.network}"
        self.console.print(Text.assemble((run_name(config), "bold"), what))
        self.console.print(f"everything goes into {folder}")

    def listener(self) -> Listener:
        """Return the callbacks a run is given."""
        return Listener(
            warned=self.warned,
            planned=self.planned,
            learning=self.learning,
            progress=self.progress,
            network=self.network,
            row=self.row,
        )

    def warned(self, text: str) -> None:
        """Say a caution."""
        self.console.print(f"warning: {text}")

    def learning(self, finished: int, epochs: int) -> None:
        """Follow networks that a selector or a network source trains."""
        text = f"training networks: epoch {finished} of {epochs}"
        if self._bar is None:
            self._bar = self._bars.add_task("training networks", total=epochs, news="")
        self._bars.update(self._bar, completed=finished, news=f"epoch {finished}/{epochs}")
        self._say(text, last=False)
        if finished == epochs:
            self._bars.remove_task(self._bar)
            self._bar = None

    def planned(self, parts: Parts, cost: Estimate | None) -> None:
        """Say what the run will cost, from trial steps."""
        plan, total = parts.plan, total_steps(parts.config.budget, parts.source.num_outer)
        place = f"{plan.device}, {plural(plan.threads, 'thread')}" if plan.device == "cpu" else plan.device
        self._memory, self._changes = memory_of(parts.network.device), len(plan.changes)
        self._bar = self._bars.add_task("distilling", total=1.0, news="")
        if cost is None:
            self.console.print(f"continuing on {place}")
            return
        self._start = (0, 0.0)
        growth = "" if cost.growth is None else f", {format_bytes(cost.growth)} more memory"
        passes = f", at most {plural(plan.chunks.synthetic, 'image')} a pass" if plan.memory else ""
        self.console.print(f"{_extent(parts, cost, total)} on {place} ({pace(cost.seconds)}{growth}{passes})")
        is_long = parts.config.budget.seconds is None and cost.seconds * (total or 0) > LONG_SECONDS
        if is_long and plan.device == "cpu" and parts.config.method and parts.config.profile == "published":
            self.console.print("these are the published settings; --profile small has ones for a CPU")

    def progress(self, news: News) -> None:
        """Move the bar, or say a line now and then; changes of the plan are said at once."""
        self._tell_changes(news.changes)
        step, seconds = self._start = self._start or (news.step, news.seconds)
        done, spent = news.step - step, news.seconds - seconds
        count = f"step {news.step:,}{f' of {news.total:,}' if news.total else ''}"
        rate = [] if news.syn_lr is None else [f"syn_lr {news.syn_lr:.3g}"]
        measured = [*([pace(spent / done)] if done else []), *filter(None, [self._memory()])]
        words = [f"loss {news.loss:.4g}", *rate, *measured]
        if self._bar is not None:
            short = count.removeprefix("step ").replace(" of ", "/")
            self._bars.update(self._bar, completed=news.fraction, news="  ".join([short, *words]))
        left = news.seconds * (1 / news.fraction - 1) if news.fraction else 0
        words += [f"{duration(left)} left"] if news.fraction < 1 else [f"{duration(news.seconds)} in all"]
        self._say(", ".join([count, *words]), last=news.fraction >= 1)
        if news.fraction >= 1:
            self._measure("")

    def _tell_changes(self, changes: Sequence[Mapping[str, Any]]) -> None:
        for change in changes[self._changes :]:
            passes = plural(max(change["real"], change["synthetic"]), "image")
            self.console.print(f"{change['reason']} at step {change['step']:,}: from here at most {passes} a pass")
        self._changes = len(changes)

    def network(self, label: str, number: int, accuracy: float) -> None:
        """Name one evaluation network's accuracy."""
        text = f"{ROW_NAMES.get(label, label)}: network {number + 1} reached {100 * accuracy:.1f} %"
        self._trained += 1
        self._measure(text)
        self._say(text, last=False)

    def _measure(self, text: str) -> None:
        """Show a bar, without an end where nobody knows how many networks there are."""
        if self._bar is not None:
            self._bars.remove_task(self._bar)
        self._bar = self._bars.add_task("measuring", total=self._networks, completed=self._trained, news=text)

    def row(self, row: Evaluation) -> None:
        """Say one finished row, unless the table is about to."""
        if row.seconds >= PLAIN_SECONDS:
            name, networks = ROW_NAMES.get(row.label, row.label), plural(row.networks, "network")
            self.console.print(f"{name}: {accuracy_of(row)} % ({networks}, {duration(row.seconds)})")

    def done(self, finished: Finished, seconds: float) -> None:
        """Show the table, the published figure, and where everything lies."""
        self.measured(finished.rows)
        if self._config is not None and self._config.reference:
            figure, changed = self._config.reference, len(self._config.deviations)
            differs = f"; this run differs in {plural(changed, 'setting')}" if changed else ""
            self.console.print(f"published: {figure['accuracy']} % ({figure['source']}){differs}")
        self.console.print(f"done in {duration(seconds)}; open {finished.folder}/report.html to see the images")

    def measured(self, rows: Sequence[Evaluation]) -> None:
        """Show rows as a table."""
        self._bars.stop()
        if rows:
            columns, common = split_columns(rows)
            show(self.console, table(columns))
            self.console.print(", ".join(f"{name}: {value}" for name, value in common.items()))

    def scored(self, scores: Mapping[str, Any]) -> None:
        """Say the scores of a set, and what they were made of."""
        for name, score in scores.items():
            inputs = (f"{ROW_NAMES.get(label, label)} {100 * mean:.2f}" for label, mean in score["inputs"].items())
            self.console.print(f"{name.upper()} {score['value']:.4f} ({'; '.join(inputs)}): {score['note']}")

    def crossed(self, table_of_networks: CrossTable) -> None:
        """Show one set on many networks as a table, and why some are not in it."""
        self._bars.stop()
        if table_of_networks.rows:
            columns, common = cross_columns(table_of_networks)
            show(self.console, table(columns))
            self.console.print(", ".join(f"{name}: {value}" for name, value in common.items()))
        for name, reason in table_of_networks.failures.items():
            self.console.print(f"{name} was not measured: {reason}")

    def _say(self, text: str, *, last: bool) -> None:
        """Write a line: the last one always, others where there is no terminal, now and then."""
        is_due = not self.console.is_terminal and time.monotonic() - self._spoken >= PLAIN_SECONDS
        if last or is_due:
            self._spoken = time.monotonic()
            self.console.print(text)


def _extent(parts: Parts, cost: Estimate, total: int | None) -> str:
    """Say how long a run will take."""
    limit = parts.config.budget.seconds
    if total is None:
        return f"steps for {duration(limit or 0)}"
    expected = min(cost.seconds * total, limit or float("inf"))
    return f"{plural(total, 'step')}, about {duration(expected)}"


def split_columns(rows: Sequence[Evaluation]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the columns of evaluation rows, and what is the same for all of them and needs no column."""
    varying = {
        "networks": [str(row.networks) for row in rows],
        "epochs": [f"{row.recipe['epochs']:,}" for row in rows],
        "augmentation": [row.augmentation for row in rows],
        "labels": [row.labels for row in rows],
        **({"rate": [rate_of(row) for row in rows]} if any(row.lr_searched for row in rows) else {}),
    }
    common = {name: values[0] for name, values in varying.items() if len(set(values)) == 1}
    best, notes = best_columns(rows)
    return {
        "trained on": [ROW_NAMES.get(row.label, row.label) for row in rows],
        "images": [f"{row.images:,}" for row in rows],
        "bytes": [format_bytes(row.bytes) for row in rows],
        "accuracy, %": [accuracy_of(row) for row in rows],
        **best,
        **{name: values for name, values in varying.items() if name not in common},
    }, {**common, **notes}


def best_columns(rows: Sequence[Evaluation]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the best tests as a column of their own beside the last pass, and how they were chosen; or nothing."""
    notes = list(dict.fromkeys(row.best_note for row in rows if row.best_note))
    if not notes:
        return {}, {}
    cells = ["" if row.best is None else best_of(row) for row in rows]
    return {"best test, %": cells}, {"best test": " or ".join(notes)}


def best_of(row: Evaluation) -> str:
    """Write the mean of each network's best test in per cent."""
    spread = f" ± {100 * (row.best_std or 0):.2f}" if row.networks > 1 else ""
    return f"{100 * (row.best_mean or 0):.2f}{spread}"


def rate_of(row: Evaluation) -> str:
    """Write a row's learning rate, and among how many it was found."""
    return f"{row.lr:g}" + (f" of {len(row.lr_searched)}" if row.lr_searched else "")


def cross_columns(found: CrossTable) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the columns of a table over networks, and what is the same for all of them and needs no column."""
    rows = [one.row for one in found.rows]
    varying = {
        "networks": [str(row.networks) for row in rows],
        "epochs": [f"{row.recipe['epochs']:,}" for row in rows],
    }
    common = {name: values[0] for name, values in varying.items() if len(set(values)) == 1}
    best, notes = best_columns(rows)
    return {
        "network": [one.network for one in found.rows],
        "parameters": [f"{one.parameters:,}" for one in found.rows],
        "accuracy, %": [accuracy_of(row) for row in rows],
        **best,
        **{name: values for name, values in varying.items() if name not in common},
        "time": [duration(row.seconds) for row in rows],
    }, {**common, **notes}


def show(console: Console, found: Table) -> None:
    """Print a table as wide as it is: on a narrow screen lines wrap, but no column is lost."""
    found.width = Measurement.get(console, console.options.update(max_width=WIDEST), found).maximum
    console.print(found, soft_wrap=False, crop=False)


def table(columns: Mapping[str, Sequence[str]]) -> Table:
    """Return columns as a table, words to the left and numbers to the right."""
    found = Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for name, values in columns.items():
        words = name in ("trained on", "network", "augmentation", "labels")
        found.add_column(name, justify="left" if words else "right", min_width=max(map(len, values), default=0))
    for row in zip(*columns.values(), strict=True):
        found.add_row(*row)
    return found


def run_name(config: RunConfig) -> str:
    """Return what a run is called: its method, else its matcher or selector."""
    part = config.matcher or config.selector
    return config.method or (part.name if part else "run")


def accuracy_of(row: Evaluation) -> str:
    """Write a mean accuracy in per cent, with its deviation where there are several networks."""
    spread = f" ± {100 * row.std:.2f}" if row.networks > 1 else ""
    return f"{100 * row.mean:.2f}{spread}"


def plural(count: int, noun: str) -> str:
    """Write a number of things: ``1 image``, ``2,000 images``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def pace(seconds: float) -> str:
    """Write the length of one step."""
    return f"{1000 * seconds:.3g} ms a step" if seconds < 1 else f"{seconds:.3g} s a step"


def duration(seconds: float) -> str:
    """Write a length of time for people."""
    if seconds < 59.5:
        return f"{seconds:.0f} s" if seconds >= 0.95 else f"{seconds:.1g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def memory_of(device: torch.device) -> Callable[[], str]:
    """Return what tells the memory in use: the device's greatest, or the process's; nothing where it cannot be read."""
    if device.type == "cuda":
        return lambda: format_bytes(torch.cuda.max_memory_allocated(device))
    return _process_memory


def _process_memory() -> str:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return ""
    return format_bytes(pages * os.sysconf("SC_PAGE_SIZE"))
