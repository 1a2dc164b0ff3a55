"""What a command promises: help that is there at once."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from limbeck.testing.general import heavy_imports
from limbeck.testing.suite import NotApplicable, Subject, require


def is_a_command(subject: Subject) -> None:
    """It is a click command."""
    require(isinstance(subject.cls, click.Command), f"it is of type {type(subject.cls).__name__}")


def help_is_quick(subject: Subject) -> None:
    """Its help page imports no heavy library."""
    if not subject.entry.version:
        raise NotApplicable("a single file may import what it needs")
    module, _, name = str(subject.entry.target).partition(":")
    code = f"import click, {module} as m; m.{name}.get_help(click.Context(m.{name}))"
    loaded = heavy_imports(code, tuple(sys.path))
    require(not loaded, f"it imports {', '.join(loaded)}; import them in the function that needs them")


def explains_its_parameters(subject: Subject) -> None:
    """Every option has a help text."""
    bare = [option.opts[0] for option in _options(subject.cls) if not option.help]
    require(not bare, f"{', '.join(bare)}: no help text")


def _options(command: click.Command) -> Iterator[click.Option]:
    """Yield the options of a command, and those of a group's commands."""
    yield from (parameter for parameter in command.params if isinstance(parameter, click.Option))
    if isinstance(command, click.Group):
        for part in command.commands.values():
            yield from _options(part)


CHECKS = (is_a_command, help_is_quick, explains_its_parameters)
