"""The ``limbeck`` command: finds commands by name and imports only the one that is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

import limbeck
from limbeck.entries import import_target
from limbeck.errors import LimbeckError, PluginError
from limbeck.plugins import is_loaded, load_files, registry

EPILOG = """\b
Examples:
  limbeck distill --method dm --ipc 10              the built-in digits, on a CPU in seconds
  limbeck distill -p mine.py --matcher mine         your own matcher, from a file
  limbeck list matchers                             what can be compared
  limbeck show matchers gradient                    a component's options, with defaults and ranges
"""

PLUGIN = click.Option(
    ["-p", "--plugin"],
    multiple=True,
    metavar="FILE",
    expose_value=False,
    help="Use a Python file as a plugin; repeatable, anywhere on the line.",
)

# From click 8.2 on, a group without a subcommand raises its help page as an error.
_NO_ARGUMENTS: tuple[type[Exception], ...] = (getattr(click.exceptions, "NoArgsIsHelpError", click.Abort),)


class Commands(click.Group):
    """The commands that plugins offer, the core's own among them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Load the files given with ``--plugin``, wherever they stand, before anything is looked up."""
        files, rest = split_plugin_files(args)
        load_files(files)
        report_failures()
        return super().parse_args(ctx, rest)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every command's name."""
        return registry().names("commands")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Import one command.

        Raises:
            UnknownNameError: nobody offers it.
            PluginError: what is offered is not a click command.
        """
        entry, variant = registry().find("commands", cmd_name)
        if variant:
            raise registry().unknown("commands", cmd_name)
        command = import_target(entry)
        if not isinstance(command, click.Command):
            raise PluginError(f"the command '{entry.name}' of {entry.provider} is not a click command.")
        taken = {option for parameter in command.params for option in parameter.opts}
        if PLUGIN not in command.params and taken & set(PLUGIN.opts):
            raise PluginError(f"the command '{entry.name}' of {entry.provider} uses -p or --plugin for itself.")
        if PLUGIN not in command.params:
            command.params.append(PLUGIN)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with the summaries they were registered with; nothing is imported."""
        entries = registry().entries("commands")
        shipped = [(name, entry.summary) for name, entry in entries.items() if entry.is_shipped]
        others = [(n, f"{e.summary} ({e.distribution})") for n, e in entries.items() if not e.is_shipped]
        for title, rows in (("Commands", shipped), ("Commands of plugins", others)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


@click.command(
    cls=Commands,
    params=[PLUGIN],
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(limbeck.__version__, message="limbeck %(version)s")
def cli() -> None:
    """Distil a labelled image data set into a few synthetic images per class, and put them to use.

    Everything with a name (data sets, networks, matchers, methods, commands) comes from a plugin.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; errors a user can cause take one line.

    Args:
        arguments: what follows ``limbeck`` on the command line, or None for this process's own.
    """
    try:
        status: Any = cli.main(arguments, prog_name="limbeck", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except click.UsageError as error:
        if isinstance(error, _NO_ARGUMENTS):
            error.show()
            return error.exit_code
        where = error.ctx.command_path if error.ctx else "limbeck"
        return _say(f"{_sentence(error.format_message())} Type '{where} --help'.", error.exit_code)
    except click.ClickException as error:
        return _say(error.format_message(), error.exit_code)
    except LimbeckError as error:
        return _say(str(error), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return _say("interrupted.", 130)
    finally:
        if is_loaded():
            report_failures()


def split_plugin_files(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take ``-p FILE`` and ``--plugin FILE`` out of a command line.

    Returns:
        The files, and the arguments that remain; what follows ``--`` is left alone.

    Raises:
        click.UsageError: the last argument is ``-p`` and no file follows.
    """
    files: list[str] = []
    rest: list[str] = []
    remaining = iter(args)
    for argument in remaining:
        if argument == "--":
            rest += [argument, *remaining]
        elif argument in ("-p", "--plugin"):
            file = next(remaining, None)
            if file is None:
                raise click.UsageError(f"Option '{argument}' requires an argument.")
            files.append(file)
        elif argument.startswith("--plugin="):
            files.append(argument.removeprefix("--plugin="))
        else:
            rest.append(argument)
    return files, rest


def report_failures() -> None:
    """Write one line on standard error for each failure that has not been told yet."""
    for failure in registry().news():
        text = f"the plugin '{failure.name}' ({failure.distribution}) {failure.reason}."
        click.echo(f"limbeck: warning: {text} See 'limbeck plugins'.", err=True)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _say(message: str, status: int) -> int:
    click.echo(f"limbeck: error: {' '.join(message.splitlines())}", err=True)
    return status
