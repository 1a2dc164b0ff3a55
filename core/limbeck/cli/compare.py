"""``limbeck compare``: several methods at equal conditions, in one table that can be continued."""

from __future__ import annotations

import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

EPILOG = """\b
Examples:
  limbeck compare --methods dm,dc --ipc 1,10 --profile small --seconds 30
      the built-in digits: both methods and random images, 30 seconds each
  limbeck compare --data fashion_mnist --ipc 1,10 --methods dc,dsa,dm,herding,k_center \\
      --profile small --seconds 60 --seeds 2 --out runs/fashion
      a table for an evening; Ctrl-C and the same line again continue it
  limbeck compare --methods dm,random --ipc 10 --steps 200 --set evaluation.protocol.epochs=100
      equal steps, and a shorter protocol for all

\b
What is equal for all methods: data, ipc, seeds, network, time or steps, and the protocol by which sets are
measured. Network and protocol are those of the method 'random' in the chosen profile (published: dc, 1000
epochs with DSA's augmentation) unless --network or --set evaluation.protocol... say otherwise.
With --own-recipes every method keeps its own; such accuracies do not compare directly.

\b
random is always a row: differences and the label-robust score (LRS) are measured against it. The whole data
set is one more row, trained on by a short recipe.

\b
Selectors (random, herding, ...) spend no budget. What a selector needs to train a network for its features
is shown apart from the time it selects.
"""


@click.command(epilog=EPILOG)
@click.option("--methods", required=True, metavar="A,B,...", help="Methods to compare; see 'limbeck list methods'.")
@click.option("--data", default="digits", show_default=True, metavar="NAME", help="Real data set.")
@click.option("--ipc", default="1", show_default=True, metavar="K,...", help="Synthetic images per class.")
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Runs of each, seeds 0, 1, ...")
@click.option("--seconds", type=float, help="Time each run may distil, in place of the methods' own budgets.")
@click.option("--steps", type=int, help="Updates of the images, likewise; with --seconds, what comes first.")
@click.option("--profile", type=click.Choice(["published", "small"]), help="Published settings, or ones for a CPU.")
@click.option("--network", metavar="NAME", help="Network for distilling and measuring.")
@click.option("--networks", type=int, help="Networks trained to measure each set.  [default: 5]")
@click.option("--own-recipes", is_flag=True, help="Measure every method by its own network and protocol.")
@click.option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1.  [default: auto]")
@click.option("--memory", metavar="SIZE", help="Memory each loop may grow by, for example 2GiB.")
@click.option("--max-per-class", type=int, help="Use at most this many real images a class.")
@click.option(
    "--set",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="One setting of every run, for example evaluation.protocol.epochs=100; repeatable.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the comparison; the same folder continues it.  [default: runs/compare-DATA]",
)
@click.option(
    "--data-root", type=click.Path(path_type=Path), help="Folder of data sets.  [default: $LIMBECK_DATA or data]"
)
@click.option("--download", is_flag=True, help="Fetch missing data; without it nothing touches the network.")
def compare(
    methods: str,
    ipc: str,
    seeds: int,
    profile: str | None,
    own_recipes: bool,
    pairs: tuple[str, ...],
    out: Path | None,
    data_root: Path | None,
    download: bool,
    **flags: Any,
) -> int:
    """Run several methods at equal conditions and put them into one table.

    Every method, ipc and seed is a run of its own in OUT/runs. A row is kept as soon as it is measured, in
    rows.jsonl and rows.csv; table.csv and the page compare.html gather them. Whatever ends the command, the same
    command continues it: finished rows stay, and the run that was cut off goes on from its checkpoint.
    """
    from limbeck.cli.compare_screen import CompareScreen
    from limbeck.cli.distill import settings_of
    from limbeck.compare import compare as measure
    from limbeck.compare import plan
    from limbeck.config import assignments, merge

    started = time.perf_counter()
    settings = merge(assignments(pairs), settings_of(flags))
    comparison = plan(
        names(methods, "--methods"),
        numbers(ipc, "--ipc"),
        range(seeds),
        settings=settings,
        profile=profile,
        own_recipes=own_recipes,
    )
    folder = out or Path("runs") / f"compare-{comparison.config.data.name}"
    comparison = replace(comparison, command=typed(click.get_current_context(), folder))
    screen = CompareScreen(folder)
    screen.title(comparison)
    outcome = measure(comparison, folder, data_root=data_root, download=download, audience=screen)
    screen.done(outcome, time.perf_counter() - started)
    return 1 if outcome.failures else 0


def typed(context: click.Context, folder: Path) -> str:
    """Return the command line that a context stands for, without what is by default, and with its folder."""
    from limbeck.plugins import plugin_files

    plugins = [word for file in plugin_files() for word in ("-p", str(file))]
    words = ["limbeck", *plugins, *context.command_path.split()[1:]]
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if parameter.name in ("out", None) or value in (parameter.default, None, False, ()):
            continue
        for each in value if isinstance(value, tuple) else [value]:
            words += [parameter.opts[0], *([] if each is True else [str(each)])]
    return shlex.join([*words, "--out", str(folder)])


def names(text: str, option: str) -> list[str]:
    """Split ``a,b,c``.

    Raises:
        UsageError: an empty name.
    """
    from limbeck.errors import UsageError

    found = [part.strip() for part in text.split(",")]
    if not all(found):
        raise UsageError(
            f"{option} '{text}' has an empty name. Type names with commas between them, for example dm,dc."
        )
    return found


def numbers(text: str, option: str) -> list[int]:
    """Read ``1,10,50``.

    Raises:
        UsageError: anything but whole numbers from 1.
    """
    from limbeck.errors import UsageError

    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        raise UsageError(f"{option} '{text}' is not a list of whole numbers from 1. Type for example {option} 1,10.")
    return [int(part) for part in parts]
