"""The commands that explain what there is: ``list`` and ``show``."""

from __future__ import annotations

import json
from typing import Any

import click

from limbeck.cli.describe import describe_method, describe_target
from limbeck.cli.tables import print_table
from limbeck.entries import Entry, singular
from limbeck.plugins import registry


@click.command("list")
@click.argument("kind", required=False)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def list_command(kind: str | None, as_json: bool) -> None:
    """List the kinds of components, or everything of one KIND.

    \b
    Examples:
      limbeck list                 the kinds, with how many of each are installed
      limbeck list matchers        their names, what they do, and who provides them
    """
    found = registry()
    if kind is None:
        rows: list[dict[str, Any]] = [
            {"kind": k, "count": len(found.names(k)), "summary": found.kind(k).summary} for k in found.kinds()
        ]
    else:
        rows = [_listing(name, entry) for name, entry in found.entries(kind).items()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif rows:
        shown = ("kind", "count", "summary") if kind is None else ("name", "summary", "paper", "provider")
        print_table(shown, [[str(row[column]) for column in shown] for row in rows])
    else:
        click.echo(f"No {singular(found.kind(kind or '').name)} is installed.")


@click.command("show")
@click.argument("kind")
@click.argument("name")
def show(kind: str, name: str) -> None:
    """Explain the component NAME of a KIND: what it does, its paper, its options.

    \b
    Examples:
      limbeck show matchers gradient
      limbeck show network convnet-d3-w128-in      the defaults are those of the variant
      limbeck show method dm                       settings, profiles and published figures
    """
    found = registry()
    entry, tokens = found.find(kind, name)
    _print_facts(entry)
    if entry.kind == "methods":
        click.echo(describe_method(found.resource(kind, name), entry.name))
    else:
        description, options = describe_target(found, entry, name if tokens else entry.qualified)
        click.echo("\n" + description)
        if options:
            click.echo()
            print_table(("option", "type", "default", "range", "meaning"), options)


def _listing(name: str, entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "name": name,
        "summary": entry.summary,
        "paper": entry.paper,
        "provider": entry.provider,
        "plugin": entry.plugin,
        "module": entry.module,
    }


def _print_facts(entry: Entry) -> None:
    click.echo(f"{singular(entry.kind)} {entry.name}: {entry.summary or 'no summary'}")
    facts = {"paper": entry.paper, "provider": entry.provider, "starts from the method": entry.method}
    for fact, value in facts.items():
        if value:
            click.echo(f"  {fact}: {value}")
