"""What a person sees while a study goes on: bars on a terminal, plain lines elsewhere, and a table at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from limbeck.cli.compare_screen import fitted
from limbeck.cli.follower import Follower
from limbeck.cli.screen import duration, plural
from limbeck.errors import UsageError
from limbeck.files import format_bytes
from limbeck_applications.continual.matrix import Spread
from limbeck_applications.continual.results import Learned, Results
from limbeck_applications.continual.strategy import Row
from limbeck_applications.continual.study.asked import StudySettings
from limbeck_applications.continual.study.audience import Audience
from limbeck_applications.continual.study.plan import Plan
from limbeck_applications.continual.study.rows import Cell, Outcome, Rows

SPARED = ("n", "images", "BWT", "KiB", "AIA %", "forgetting")
"""Columns that a narrow terminal goes without, the least needed first."""

LEGEND = (
    "ACC: on all experiences after the last, mean ± population standard deviation over n orders and seeds",
    "AIA: mean of ACC over all experiences; BWT: backward transfer; forgetting: from the best before, in points",
    "learn, distil: a whole stream; KiB: kept at the end; table.csv, cells.csv and matrices.json hold more",
)

MOST_NAMES = 6
"""Strategies that a title names."""


class StudyScreen(Follower, Audience):
    """Progress of one study; use as a context manager.

    Args:
        folder: of the study.
        tensorboard: folder for scalars, if they are wanted.
        pressed: holds something once the user asked to stop.
        console: where it is written; standard output when None.

    Raises:
        MissingExtraError: scalars are wanted and tensorboard is not installed.
        UsageError: the folder for scalars cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        tensorboard: Path | None = None,
        pressed: Sequence[int] = (),
        console: Console | None = None,
    ) -> None:
        self.folder, self.tensorboard, self.pressed = folder, tensorboard, pressed
        if tensorboard is not None:
            _make(tensorboard)
        super().__init__(console)
        self._known: dict[Cell, dict[int, Row]] = {}
        self._experiences = self._pieces = self._made = self._rows = self._measured = 0
        if tensorboard is not None:
            from limbeck_applications.continual.tensorboard import require

            require()

    def planned(self, made: Plan, cells: Mapping[Cell, int]) -> None:
        """Say what is about to happen, where it goes, how much may be kept, and how much there is to do."""
        settings, budget = made.settings, made.budget
        what = f"{plural(settings.orders, 'order')} x {plural(settings.seeds, 'seed')}, network {settings.network}"
        self.console.print(f"{_listed(settings)} on {settings.benchmark.name}: {what}")
        self.console.print(f"everything goes into {self.folder}")
        rows, self._experiences = Rows(self.folder), len(made.streams[0])
        self._known = {cell: rows.of(cell) for cell in cells}
        done = sum(count == self._experiences for count in cells.values())
        self._rows = sum(self._experiences - count for count in cells.values())
        grows = "growing with them" if budget.grows else f"{format_bytes(budget.total)} from the start"
        stream = f"{plural(self._experiences, 'experience')}, {made.data.spec.num_classes} classes"
        self.console.print(f"{stream}; a class may keep {format_bytes(budget.per_class)}, {grows}")
        finished = f", {done} of them finished already" if done else ""
        self.console.print(f"{plural(len(cells), 'cell')}{finished}")

    def distils(self, memory: str, order: int, experience: int) -> None:
        """Count a piece that is missing."""
        self._pieces += 1
        self.follow("distilling", self._pieces, 0, f"0/{self._pieces} pieces")

    def distilled(self, memory: str, order: int, experience: int, seconds: float) -> None:
        """Move the bar; where there is none, say a line now and then."""
        self._made += 1
        self.follow("distilling", self._pieces, self._made, f"{self._made}/{self._pieces} pieces")
        what = f"{memory}, order {order}, experience {experience + 1}: {duration(seconds)}"
        self.say(f"distilled {self._made} of {self._pieces} ({what})", last=self._made == self._pieces)

    def begins(self, cells: Sequence[Cell]) -> None:
        """Take the bar of the memories away."""
        self.drop()
        if cells:
            self.follow("learning", self._rows, 0, plural(len(cells), "cell"))

    def row(self, cell: Cell, position: int, row: Row) -> None:
        """Move the bar, and say a cell that is finished."""
        self._known.setdefault(cell, {})[position] = row
        self._measured += 1
        self.follow("learning", self._rows, self._measured, f"{cell.title}: experience {position + 1}")
        known = self._known[cell]
        if len(known) == self._experiences:
            self.console.print(told(Learned(cell, tuple(known[t] for t in sorted(known)))))

    def failed(self, cell: Cell, reason: str) -> None:
        """Say why a cell is missing, or stop where the reason is that the user stopped."""
        if self.pressed:
            raise KeyboardInterrupt
        self.console.print(f"{cell.title} came to nothing: {reason}")

    def tabled(self, outcome: Outcome) -> None:
        """Write the tables and the page, and scalars where they are wanted."""
        from limbeck_applications.continual.report.page import write_page  # matplotlib only when a page is written

        results = Results.of(outcome)
        results.save(self.folder)
        write_page(self.folder, results)
        if self.tensorboard is not None:
            from limbeck_applications.continual.tensorboard import write_scalars

            write_scalars(self.tensorboard, results)

    def done(self, outcome: Outcome, seconds: float) -> None:
        """Show the table, and where everything lies."""
        self.close()
        results = Results.of(outcome)
        if results.lines:
            self.console.print()
            self.console.print(fitted(columns(results), self.console.width, SPARED))
            self.console.print()
            above = (f"*: keeps more than the {format_bytes(results.allowed)} of the others; nothing bounds it",)
            for text in (*LEGEND, *(above if results.above else ())):
                self.console.print(text)
        for cell, reason in outcome.failures.items():
            self.console.print(f"missing: {cell.title}: {reason}")
        self.console.print(f"done in {duration(seconds)}; open {self.folder}/report.html to see everything")


def told(learned: Learned) -> str:
    """Say in a line what a finished cell came to."""
    matrix = learned.matrix
    forgot = "" if matrix.forgetting is None else f", forgetting {100 * matrix.forgetting:.1f}"
    distilling = f" + {duration(learned.distilling)} distilling" if learned.cell.memory else ""
    return f"{learned.cell.title}: {100 * matrix.accuracy:.2f} %{forgot}, {duration(learned.seconds)}{distilling}"


def columns(results: Results) -> dict[str, list[str]]:
    """Return the columns of the table: accuracies in per cent, differences in points, times in seconds a stream.

    An asterisk marks strategies that keep more than is allowed.
    """
    lines = results.lines
    return {
        "strategy": [f"{line.name} *" if line in results.above else line.name for line in lines],
        "ACC %": [_spread(line.spread("accuracy")) for line in lines],
        "AIA %": [_mean(line.spread("average_incremental")) for line in lines],
        "BWT": [_mean(line.spread("backward_transfer")) for line in lines],
        "forgetting": [_mean(line.spread("forgetting")) for line in lines],
        "learn s": [_number(line.seconds) for line in lines],
        "distil s": [_number(line.distilling) if line.memory else "" for line in lines],
        "KiB": [f"{line.bytes / 2**10:,.1f}" if line.bytes else "" for line in lines],
        "images": [f"{line.images:,}" if line.images else "" for line in lines],
        "n": [str(len(line.learned)) for line in lines],
    }


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return ""
    text = f"{100 * spread.mean:.2f}"
    return f"{text} ± {100 * spread.std:.2f}" if spread.count > 1 else text


def _mean(spread: Spread | None) -> str:
    return "" if spread is None else f"{100 * spread.mean:.1f}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _listed(settings: StudySettings) -> str:
    names = [spec.name for spec in settings.strategies]
    return ", ".join(names) if len(names) <= MOST_NAMES else f"{len(names)} strategies"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"scalars cannot be written to {folder}: {error.strerror}. Choose another place with --tensorboard."
        ) from None
