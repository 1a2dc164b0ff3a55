"""``limbeck plugins``: what is in use; new packages, into and out of this interpreter; what they promise."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from limbeck.cli.tables import print_table
from limbeck.plugins import registry
from limbeck.registry import Registry

EPILOG = """\b
Examples:
  limbeck plugins                                   what is in use, and what was left out
  limbeck plugins new my-idea --kind matcher        a package with a matcher that works
  limbeck plugins install ./my-idea                 into this interpreter
  limbeck plugins check my-idea                     does it keep what its kind promises?
  limbeck plugins uninstall my-idea
"""


@click.group("plugins", invoke_without_command=True, epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_context
def plugins(context: click.Context, as_json: bool) -> None:
    """List the plugins in use, and what was left out and why; write, install and check your own.

    A plugin that cannot be used never stops the tool. LIMBECK_STRICT=1 raises its error instead, and
    LIMBECK_PLUGINS=a,b uses those distributions only, LIMBECK_PLUGINS= none beside Limbeck's own.
    """
    if context.invoked_subcommand is not None:
        return
    found = registry()
    if as_json:
        click.echo(json.dumps(_as_json(found), indent=2))
        return
    print_table(
        ("plugin", "provider", "hooks", "file"),
        [[p.name, f"{p.distribution} {p.version}".rstrip(), _hooks(p.hooks), p.path] for p in found.plugins],
    )
    if found.failures:
        click.echo("\nLeft out:")
        for failure in found.failures:
            click.echo(f"  {failure.name} ({failure.distribution}) {failure.reason}")
    if found.skipped:
        click.echo(f"\nNot in LIMBECK_PLUGINS: {', '.join(found.skipped)}")


@plugins.command("new")
@click.argument("name")
@click.option(
    "--kind", required=True, metavar="KIND", help="What it offers: matcher, selector, ...; see 'limbeck list'."
)
@click.option(
    "--family",
    default="",
    metavar="NAME",
    help="For matchers: feature, gradient, teacher or trajectory.  [default: feature]",
)
@click.option("--out", type=click.Path(path_type=Path), default=Path(), help="Where the folder is made.  [default: .]")
def new(name: str, kind: str, family: str, out: Path) -> None:
    """Write the package NAME: one component of a KIND that works, with a test that passes.

    It is a start: change the component, keep the rest.
    """
    from limbeck.templates import write_package

    folder, use = write_package(registry(), name, kind, out, family)
    place = folder if folder.is_absolute() else f"./{folder}"
    click.echo(f"wrote {place}; now type:\n")
    for line in (f"limbeck plugins install {place}", f"limbeck plugins check {place}", *use.splitlines()):
        click.echo(f"  {line}")


@plugins.command("install")
@click.argument("targets", nargs=-1, required=True)
@click.option("-e", "--editable", is_flag=True, help="Leave a folder where it is: changes of its code count at once.")
def install(targets: tuple[str, ...], editable: bool) -> None:
    """Install plugins into this interpreter with its own pip, and say what they offer.

    TARGETS are folders (written with a slash or a leading dot), wheels, names on the package index, or addresses. A
    folder is built with what is installed here where that suffices, so that nothing is fetched.
    """
    from limbeck.installing import install as run

    for line in run(targets, editable=editable):
        click.echo(line)


@plugins.command("uninstall")
@click.argument("names", nargs=-1, required=True)
def uninstall(names: tuple[str, ...]) -> None:
    """Remove plugins from this interpreter; limbeck-my-idea may be written my-idea."""
    from limbeck.installing import uninstall as run

    for name in run(names):
        click.echo(f"{name} is uninstalled")


@plugins.command("check")
@click.argument("target")
@click.option("--all", "everything", is_flag=True, help="Show the checks that passed, too.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.pass_context
def check(context: click.Context, target: str, everything: bool, as_json: bool) -> None:
    """Check what each component of TARGET promises; exit status 1 when something fails.

    TARGET is an installed plugin's distribution, a plugin file, the folder of a package (written with a slash or a
    leading dot), one component as kind/name, or 'all' for everything that ships.

    \b
    Examples:
      limbeck plugins check ./my-idea
      limbeck plugins check mine.py
      limbeck plugins check matcher/gradient --all
    """
    from limbeck.testing.targets import check_target

    found = check_target(target)
    if as_json:
        click.echo(json.dumps([asdict(outcome) for outcome in found], indent=2))
    else:
        _show(found, everything)
    if any(outcome.status == "failed" for outcome in found):
        context.exit(1)


def _show(outcomes: Sequence[Any], everything: bool) -> None:
    """Write a row for each check that failed or was left out, and how many passed of each component."""
    from limbeck.entries import singular

    by_name: dict[str, list[Any]] = {}
    for outcome in outcomes:
        by_name.setdefault(f"{singular(outcome.kind)} {outcome.name}", []).append(outcome)
    rows = []
    for name, own in by_name.items():
        shown = own if everything else [outcome for outcome in own if outcome.status == "failed"]
        rows += [[name, outcome.check, outcome.status, outcome.reason] for outcome in shown]
        if not everything:
            rows += [[name, *row] for row in _folded(own)]
    print_table(("component", "check", "result", "why"), rows)


def _folded(outcomes: Sequence[Any]) -> Iterator[list[str]]:
    """Yield one row for all checks that were left out for the same reason, then one for all that passed."""
    reasons: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.status == "not applicable":
            reasons.setdefault(outcome.reason, []).append(outcome.check)
    for reason, checks in reasons.items():
        yield [checks[0] if len(checks) == 1 else f"{len(checks)} checks", "not applicable", reason]
    passed = sum(outcome.status == "passed" for outcome in outcomes)
    if passed:
        yield [f"all {passed}" if passed == len(outcomes) else f"{passed} more", "passed", ""]


def _as_json(found: Registry) -> dict[str, Any]:
    offers: dict[tuple[str, str], list[dict[str, str]]] = {}
    for kind in found.kinds():
        for name, entry in found.entries(kind).items():
            offers.setdefault((entry.distribution, entry.plugin), []).append({"kind": kind, "name": name})
    return {
        "plugins": [
            {**asdict(plugin), "offers": offers.get((plugin.distribution, plugin.name), [])} for plugin in found.plugins
        ],
        "failures": [asdict(failure) for failure in found.failures],
        "skipped": found.skipped,
    }


def _hooks(hooks: Sequence[str]) -> str:
    return ", ".join(hook.removeprefix("register_") for hook in hooks)
