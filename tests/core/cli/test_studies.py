"""Commands that can be stopped and continued."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from limbeck.cli.studies import leave_out, stoppable
from limbeck.distillation.run import Interrupted
from limbeck.errors import UsageError


def test_an_interrupt_that_a_library_swallows_still_ends_the_study():
    with (
        pytest.raises(Interrupted, match=r"type the same command again, or limbeck it --resume x\.$"),
        stoppable("limbeck it --resume x") as pressed,
    ):
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        assert pressed
        raise AttributeError("module half imported")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_else_goes_wrong_is_told_as_it_is():
    with pytest.raises(AttributeError), stoppable("limbeck it --resume x"):
        raise AttributeError


def test_without_another_command_the_same_one_continues():
    with pytest.raises(Interrupted, match=r"type the same command again\.$"), stoppable():
        raise KeyboardInterrupt


def test_where_nothing_was_begun_there_is_nothing_to_continue(tmp_path):
    begun = tmp_path / "study.json"
    with pytest.raises(Interrupted, match=r"^stopped before anything was begun"), stoppable("limbeck it", begun):
        raise KeyboardInterrupt
    begun.touch()
    with pytest.raises(Interrupted, match="limbeck it --resume x"), stoppable("limbeck it --resume x", begun):
        raise KeyboardInterrupt


def test_nothing_is_typed_beside_resume():
    folder, names = Path("it"), {"pairs": "set"}
    leave_out(folder, None, {"seeds": None, "pairs": ()}, names)
    for out, flags, first in (
        (Path("x"), {"seeds": 3}, "--out"),
        (None, {"seeds": None, "pairs": ("a=1",)}, "--set"),
        (None, {"max_per_class": 3}, "--max-per-class"),
        (None, {"retrain": 0}, "--retrain"),
    ):
        with pytest.raises(UsageError, match=rf"^--resume goes on with the settings of it: leave out {first}\.$"):
            leave_out(folder, out, flags, names)
