"""The core's own commands, offered through the same hook as a third party's."""

from __future__ import annotations

from limbeck.hookspecs import Register, hookimpl

COMMANDS = {
    "distill": ("limbeck.cli.distill:distill", "distil a data set into a few images per class"),
    "evaluate": ("limbeck.cli.evaluate:evaluate", "train fresh networks on a synthetic set and test them"),
    "compare": ("limbeck.cli.compare:compare", "several methods at equal conditions, in one table"),
    "data": ("limbeck.cli.data:data", "list, show and check data sets"),
    "experts": ("limbeck.cli.experts:experts", "train, list and check the networks that trajectory matching follows"),
    "convert": ("limbeck.cli.convert:convert", "read others' sets, or write a set as PNG files or in fewer bytes"),
    "report": ("limbeck.cli.report:report", "write the page of a finished run again"),
    "list": ("limbeck.cli.components:list_command", "list the kinds of components, or the names of one"),
    "show": ("limbeck.cli.components:show", "explain one component and its options"),
    "plugins": ("limbeck.cli.plugins:plugins", "list plugins; write, install and check your own"),
}


@hookimpl
def register_commands(register: Register) -> None:
    """Offer the commands of the core."""
    for name, (target, summary) in COMMANDS.items():
        register(name, target, summary=summary)
