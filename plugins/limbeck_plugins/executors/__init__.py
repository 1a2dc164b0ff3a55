"""Executors: how independent jobs are run."""

from __future__ import annotations

from limbeck import hookimpl
from limbeck.hookspecs import Register


@hookimpl
def register_executors(register: Register) -> None:
    """Offer the executors that need nothing beyond Python."""
    register(
        "serial",
        "limbeck_plugins.executors.serial:Serial",
        summary="one job after the other, in this process",
    )
    register(
        "processes",
        "limbeck_plugins.executors.processes:Processes",
        summary="several jobs at once, each in a process of its own",
    )
