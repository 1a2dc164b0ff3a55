"""The core's own commands, offered through the same hook as a third party's."""

from __future__ import annotations

from limbeck.hookspecs import Register, hookimpl


@hookimpl
def register_commands(register: Register) -> None:
    """Offer the commands of the core."""
    offer = register
    offer("distill", "limbeck.cli.distill:distill", summary="distil a data set into a few images per class")
    offer(
        "evaluate",
        "limbeck.cli.evaluate:evaluate",
        summary="train fresh networks on a synthetic set and test them",
    )
    offer("report", "limbeck.cli.report:report", summary="write the page of a finished run again")
    offer(
        "list",
        "limbeck.cli.components:list_command",
        summary="list the kinds of components, or one kind's names",
    )
    offer("show", "limbeck.cli.components:show", summary="explain one component and its options")
    offer("plugins", "limbeck.cli.components:plugins", summary="list plugins, and what was left out and why")
