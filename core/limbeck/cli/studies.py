"""What commands that can be stopped and continued have in common."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def stoppable(resume: str = "", begun: Path | None = None) -> Iterator[list[int]]:
    """Turn Ctrl-C into one line that says how to go on, and give a list that holds something once it was pressed.

    A library that is being imported may swallow the interrupt and then fail by what is missing of it, so whatever ends
    the work afterwards is taken for the interrupt.

    Args:
        resume: a command that continues, beside the one that was typed.
        begun: a file that is there as soon as there is something to continue.

    Raises:
        Interrupted: the user stopped what was within.
    """
    from limbeck.distillation.run import Interrupted

    pressed: list[int] = []

    def stop(number: int, frame: Any) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop)
    try:
        yield pressed
    except Exception as error:
        if not pressed and not isinstance(error, Interrupted):
            raise
        raise _stopped(resume, begun) from None
    except KeyboardInterrupt:
        raise _stopped(resume, begun) from None
    finally:
        signal.signal(signal.SIGINT, before)


def _stopped(resume: str, begun: Path | None) -> Exception:
    from limbeck.distillation.run import Interrupted

    if begun is not None and not begun.exists():
        return Interrupted("stopped before anything was begun. Type the same command again.")
    other = f", or {resume}" if resume else ""
    return Interrupted(f"stopped; what was measured is kept. Continue: type the same command again{other}.")


def leave_out(folder: Path, out: Path | None, flags: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Refuse whatever was typed beside ``--resume``.

    Args:
        folder: that is resumed.
        out: of ``--out``.
        flags: every other option that is a setting, by its parameter's name.
        names: what an option is called where that is not its parameter's name.

    Raises:
        UsageError: names the first one.
    """
    from limbeck.errors import UsageError

    given = ["--out"] if out is not None else []
    given += [f"--{names.get(flag, flag).replace('_', '-')}" for flag, value in flags.items() if _is_given(value)]
    if given:
        raise UsageError(f"--resume goes on with the settings of {folder}: leave out {given[0]}.")


def _is_given(value: Any) -> bool:
    """Return whether an option was typed; 0 is a value as any other."""
    return value is not None and value is not False and value != ()
