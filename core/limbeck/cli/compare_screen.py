"""What a person sees while a comparison goes on: a line before and after each row, and its run between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from limbeck.cli.screen import Screen, duration, plural, table
from limbeck.compare import WHOLE, Audience, Comparison, Entry, Outcome, Row, Table
from limbeck.errors import LimbeckError
from limbeck.execution.memory import format_bytes
from limbeck.runs import Listener


class CompareScreen(Audience):
    """Progress of one comparison.

    Args:
        folder: of the comparison.
        command: what was typed, for the page.
        console: where it is written; standard output when None.
    """

    def __init__(self, folder: Path, command: str = "", console: Console | None = None) -> None:
        self.folder, self._command = folder, command
        self.console = console or Console(highlight=False, markup=False, soft_wrap=True)
        self._screen: Screen | None = None
        self._number = 0

    def title(self, asked: Comparison) -> None:
        """Say what is about to happen, and where it goes."""
        config, ipcs = asked.config, ", ".join(map(str, asked.ipcs))
        self.console.print(f"comparing {', '.join(asked.methods)} on {config.data.name} at ipc {ipcs}")
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

    def failed(self, entry: Entry, error: LimbeckError) -> None:
        """Say why a row is missing."""
        self._leave()
        self.console.print(f"  {entry.name} came to nothing: {error}")

    def tabled(self, outcome: Outcome) -> None:
        """Write the page."""
        self._leave()
        from limbeck.report.comparison import write_comparison  # matplotlib and jinja2 only when a page is written

        write_comparison(self.folder, outcome, self._command)

    def done(self, outcome: Outcome, seconds: float) -> None:
        """Show the table, and where everything lies."""
        self._leave()
        drawn = table(_columns(outcome.table))
        drawn.columns[0].justify = "left"
        for column in drawn.columns:
            column.no_wrap = True
        self.console.print(drawn, soft_wrap=True)
        self.console.print("accuracy: mean ± population standard deviation over all networks of all seeds")
        for name, reason in outcome.failures.items():
            self.console.print(f"missing: {name}: {reason}")
        self.console.print(f"done in {duration(seconds)}; open {self.folder}/compare.html to see the images")

    def _leave(self) -> None:
        """Take the bars of the last run away."""
        if self._screen is not None:
            self._screen.__exit__(None, None, None)
            self._screen = None


def _columns(outcome: Table) -> dict[str, list[str]]:
    """Return the columns of the table, narrow enough for 80 letters; ``table.csv`` holds the rest."""
    lines = outcome.lines
    columns = {
        "method": ["(all images)" if line.method == WHOLE else line.method for line in lines],
        "ipc": [str(line.ipc or "") for line in lines],
        "accuracy, %": [f"{100 * line.mean:.2f} ± {100 * line.std:.2f}" for line in lines],
        "n": [str(len(line.accuracies)) for line in lines],
        "LRS": ["" if line.lrs is None else f"{line.lrs:.3f}" for line in lines],
        "time": ["" if line.seconds is None else duration(line.seconds) for line in lines],
        "features": [duration(line.features_seconds) if line.features_seconds else "" for line in lines],
        "memory": ["" if line.growth is None else format_bytes(line.growth) for line in lines],
        "bytes": [format_bytes(line.rows[0].measured.bytes) for line in lines],
    }
    return {name: values for name, values in columns.items() if any(values)}


def _short(value: Any) -> str:
    return str(value.get("name", value)) if isinstance(value, dict) else str(value)
