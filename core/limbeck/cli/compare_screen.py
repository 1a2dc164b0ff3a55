"""What a person sees while a comparison goes on: a line before and after each row, and its run between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rich.box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as Drawn
from rich.text import Text

from limbeck.cli.screen import Screen, duration, plural
from limbeck.compare import BASELINE, WHOLE, Audience, Comparison, Entry, Line, Outcome, Row, Table
from limbeck.errors import LimbeckError
from limbeck.execution.memory import format_bytes
from limbeck.runs import Listener

SPARED = ("over random", "ms/step", "KiB", "+MiB", "n", "LRS")
"""Columns that a narrow terminal goes without, the least first."""

GAP = 2
"""Letters between two columns."""

LEGEND = (
    "acc.: mean ± population standard deviation over the n networks of all seeds",
    "LRS: label-robust score; time: making a set (+ training networks for it)",
    "+MiB: memory that took; KiB: the set; table.csv and compare.html hold more",
)


class CompareScreen(Audience):
    """Progress of one comparison.

    Args:
        folder: of the comparison.
        console: where it is written; standard output when None.
    """

    def __init__(self, folder: Path, console: Console | None = None) -> None:
        self.folder = folder
        self.console = console or Console(highlight=False, markup=False, soft_wrap=True)
        self._screen: Screen | None = None
        self._number = 0

    def title(self, comparison: Comparison) -> None:
        """Say what is about to happen, and where it goes."""
        config, asked = comparison.config, comparison.asked
        methods, ipcs = ", ".join(asked.methods), ", ".join(map(str, asked.ipcs))
        self.console.print(f"comparing {methods} on {asked.data} at ipc {ipcs}")
        if asked.own_recipes:
            self.console.print("every method is measured by its own recipe: accuracies do not compare directly")
        else:
            protocol = config.evaluation.protocol
            options = " ".join(f"{key}={_short(value)}" for key, value in protocol.options().items())
            self.console.print(f"all with network {config.network}, protocol {protocol.name} {options}".rstrip())
        self.console.print(f"everything goes into {self.folder}")

    def planned(self, number: int, finished: int) -> None:
        """Say how much there is to do."""
        self._number = number
        self.console.print(plural(number, "row") + (f", {finished} of them finished already" if finished else ""))

    def begins(self, entry: Entry, number: int, left: float | None) -> None:
        """Name the row."""
        self._leave()
        known = "" if left is None else f" (about {duration(left)} left for all)"
        self.console.print(f"row {number} of {self._number}: {entry.name}{known}")

    def listener(self) -> Listener:
        """Show the run of the row below its name."""
        self._screen = Screen(self.console).__enter__()
        return self._screen.listener()

    def ends(self, entry: Entry, row: Row) -> None:
        """Say what the row came to."""
        self._leave()
        measured, words = row.measured, list[str]()
        spread = f" ± {100 * measured.std:.2f}" if measured.networks > 1 else ""
        words.append(f"{100 * measured.mean:.2f}{spread} % ({plural(measured.networks, 'network')})")
        if row.cost["steps"]:
            words.append(f"{plural(row.cost['steps'], 'step')} in {duration(row.cost['seconds'])}")
        if row.cost["growth"]:
            words.append(f"{format_bytes(row.cost['growth'])} more memory")
        self.console.print(f"  {entry.name}: {', '.join(words)}")

    def restarts(self, entry: Entry, error: LimbeckError) -> None:
        """Say why a row begins anew."""
        self._leave()
        self.console.print(f"  {entry.name} begins anew: {error}")

    def failed(self, entry: Entry, error: LimbeckError) -> None:
        """Say why a row is missing."""
        self._leave()
        self.console.print(f"  {entry.name} came to nothing: {error}")

    def tabled(self, outcome: Outcome) -> None:
        """Write the page."""
        self._leave()
        from limbeck.report.comparison import write_comparison  # matplotlib and jinja2 only when a page is written

        write_comparison(self.folder, outcome)

    def done(self, outcome: Outcome, seconds: float) -> None:
        """Show the table, and where everything lies."""
        self._leave()
        self.console.print()
        self.console.print(drawn(outcome.table, self.console.width))
        self.console.print()
        for text in LEGEND:
            self.console.print(text)
        for name, reason in outcome.failures.items():
            self.console.print(f"missing: {name}: {reason}")
        self.console.print(f"done in {duration(seconds)}; open {self.folder}/compare.html to see the images")

    def _leave(self) -> None:
        """Take the bars of the last run away."""
        if self._screen is not None:
            self._screen.__exit__(None, None, None)
            self._screen = None


def drawn(found: Table, width: int) -> Drawn:
    """Draw a table with one line a row, without the columns that ``width`` letters do not hold."""
    return fitted(_columns(found), width, SPARED)


def fitted(columns: Mapping[str, list[str]], width: int, spared: Sequence[str]) -> Drawn:
    """Draw columns, the first of words and the others of numbers.

    Args:
        columns: texts by heading; those without any text are left out.
        width: letters a line may have.
        spared: columns that are left out where there is not enough room, the least needed first.
    """
    shown = {name: values for name, values in columns.items() if any(values)}
    for name in spared:
        if _width(shown) > width:
            shown.pop(name, None)
    result = Drawn(box=rich.box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, show_edge=False)
    for number, name in enumerate(shown):
        result.add_column(name, justify="right" if number else "left", no_wrap=True)
    for values in zip(*shown.values(), strict=True):
        result.add_row(*map(Text, values))
    return result


def _width(columns: Mapping[str, list[str]]) -> int:
    return sum(max(map(cell_len, [name, *values])) + GAP for name, values in columns.items()) - GAP


def _columns(found: Table) -> dict[str, list[str]]:
    """Return every column there is, its unit in its name; ``table.csv`` holds still more."""
    lines = found.lines
    return {
        "method": ["(all images)" if line.method == WHOLE else line.method for line in lines],
        "ipc": [str(line.ipc or "") for line in lines],
        "acc. %": [_spread(line) for line in lines],
        "n": [str(len(line.accuracies)) for line in lines],
        "over random": [_gain(line) for line in lines],
        "LRS": ["" if line.lrs is None else f"{line.lrs:.3f}" for line in lines],
        "time s": [_time(line) for line in lines],
        "ms/step": ["" if line.pace is None else _number(1000 * line.pace) for line in lines],
        "+MiB": ["" if line.growth is None else _number(line.growth / 2**20) for line in lines],
        "KiB": [_number(line.rows[0].measured.bytes / 2**10) for line in lines],
    }


def _spread(line: Line) -> str:
    spread = f" ± {100 * line.std:.2f}" if len(line.accuracies) > 1 else ""
    return f"{100 * line.mean:.2f}{spread}"


def _gain(line: Line) -> str:
    return "" if line.over_random is None or line.method == BASELINE else f"{line.over_random:+.2f}"


def _time(line: Line) -> str:
    if line.seconds is None:
        return ""
    return _number(line.seconds) + (f" + {_number(line.features_seconds)}" if line.features_seconds else "")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _short(value: Any) -> str:
    return str(value.get("name", value)) if isinstance(value, dict) else str(value)
