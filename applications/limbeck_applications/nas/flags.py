"""Options that the commands of ``limbeck nas`` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

SHARED: tuple[Decorator, ...] = (
    click.option("--space", metavar="NAME", help="Search space.  [default: convnet72]"),
    click.option("--data", metavar="NAME", help="Real data set.  [default: digits]"),
    click.option("--images", type=int, help="Training images in all.  [default: what validation leaves]"),
    click.option("--validation", type=int, help="Training images kept aside.  [default: a fifth, at most 5,000]"),
    click.option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1.  [default: auto]"),
    click.option("--executor", metavar="NAME", help="processes scores several at once.  [default: serial]"),
    click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="Any other setting; repeatable."),
    click.option(
        "--data-root", type=click.Path(path_type=Path), help="Folder of data sets.  [default: $LIMBECK_DATA or data]"
    ),
    click.option("--download", is_flag=True, help="Fetch missing data; without it nothing touches the network."),
)

NETWORK: tuple[Decorator, ...] = (
    click.option(
        "--network", metavar="NAME", help="Network that sets are distilled with.  [default: convnet-d3-w32-in]"
    ),
)

RESUME: tuple[Decorator, ...] = (
    click.option(
        "--resume",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Continue the study in FOLDER with the settings it began with.",
    ),
)


def options(*groups: tuple[Decorator, ...]) -> Decorator:
    """Return a decorator that adds options in the order they stand here."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed([each for group in groups for each in group]):
            function = option(function)
        return function

    return add


def out(default: str) -> tuple[Decorator, ...]:
    """Return the option for a study's folder."""
    said = f"Folder of the study; the same folder continues it.  [default: {default}]"
    return (click.option("--out", type=click.Path(path_type=Path), help=said),)
