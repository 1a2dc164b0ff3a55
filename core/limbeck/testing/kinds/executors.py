"""What an executor promises: the same results as one job after the other."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from limbeck.errors import UsageError
from limbeck.execution.executors import Executor, Job
from limbeck.testing.suite import Subject, require

BASE = Executor
COUNT = 3


def total(config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Return a number and the sum of a tensor: the job that checks give to executors."""
    return {"number": config["number"], "sum": int(tensors["values"].sum())}


def refuse(config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Raise what a user's mistake raises.

    Raises:
        UsageError: always.
    """
    raise UsageError("refused on purpose")


def _jobs() -> list[Job]:
    values = [torch.arange(number + 2) for number in range(COUNT)]
    return [Job(f"{__name__}:total", {"number": n}, {"values": v}, f"job {n}") for n, v in enumerate(values)]


EXPECTED = [{"number": number, "sum": sum(range(number + 2))} for number in range(COUNT)]


def results_are_in_order(subject: Subject) -> None:
    """Results come in the order of the jobs, each reported once, and are kept by content."""
    with tempfile.TemporaryDirectory() as folder:
        told: list[int] = []
        found = subject.make().run(_jobs(), Path(folder), lambda index, result: told.append(index))
        require(found == EXPECTED, f"they are {found}")
        require(sorted(told) == list(range(COUNT)), f"jobs {told} were reported")
        again: list[int] = []
        kept = subject.make().run(_jobs(), Path(folder), lambda index, result: again.append(index))
        require(kept == EXPECTED and len(list(Path(folder).iterdir())) == COUNT, "a rerun changes what is kept")
        require(again == list(range(COUNT)), f"a rerun reports jobs {again}")


def errors_come_through(subject: Subject) -> None:
    """What a job raises is raised, with the job's name."""
    try:
        subject.make().run([Job(f"{__name__}:refuse", {}, {}, "the third job")])
    except UsageError as error:
        require("the third job" in str(error), f"the message does not name the job: {error}")
        return
    except Exception as error:
        require(False, f"a UsageError becomes {type(error).__name__}")
    require(False, "nothing is raised")


def does_nothing_for_nothing(subject: Subject) -> None:
    """No job is no work."""
    require(subject.make().run([]) == [], "it returns results of no jobs")


CHECKS = (results_are_in_order, errors_come_through, does_nothing_for_nothing)
