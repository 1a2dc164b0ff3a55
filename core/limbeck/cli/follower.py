"""What a person sees while a study goes on: one bar on a terminal, plain lines now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import TaskID

from limbeck.cli.screen import PLAIN_SECONDS, bars


class Follower:
    """Follows one piece of work after the other; use as a context manager.

    Args:
        console: where it is written; standard output when None.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, markup=False, soft_wrap=True)
        self._bars = bars(self.console)
        self._bar: TaskID | None = None
        self._spoken = time.monotonic()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def follow(self, what: str, total: int, done: int, news: str) -> None:
        """Move the bar, and make it where there is none.

        Args:
            what: the work, where the bar is new.
            total: how much there is to do.
            done: how much of it is done.
            news: what was done last.
        """
        if self._bar is None:
            self._bar = self._bars.add_task(what, total=total, news=news)
        self._bars.update(self._bar, total=total, completed=done, news=news)

    def drop(self) -> None:
        """Take the bar away: that work is done."""
        if self._bar is not None:
            self._bars.remove_task(self._bar)
            self._bar = None

    def close(self) -> None:
        """Take all bars away, before tables are shown."""
        self.drop()
        self._bars.stop()

    def say(self, text: str, *, last: bool) -> None:
        """Write a line where there are no bars: the last one always, others now and then."""
        is_due = last or time.monotonic() - self._spoken >= PLAIN_SECONDS
        if is_due and not self.console.is_terminal:
            self._spoken = time.monotonic()
            self.console.print(text)
