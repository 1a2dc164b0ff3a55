"""``limbeck distill``: from a method's name to a folder with images, figures and a report."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import click

EPILOG = """\b
Examples:
  limbeck distill --method dm --ipc 10 --profile small
  limbeck distill --method dc --data fashion_mnist --data-root data --out runs/dc-fashion
  limbeck distill -p mine.py --matcher mine --set budget.steps=200
  limbeck distill --resume runs/dc-fashion                     after Ctrl-C or a crash
  limbeck distill --resume runs/dc-fashion --steps 4000        a finished run, longer
"""


@click.command(epilog=EPILOG)
@click.option("--method", metavar="NAME", help="Published method to start from; see 'limbeck list methods'.")
@click.option("--matcher", metavar="NAME", help="Matcher in place of the method's; alone, its own method is the start.")
@click.option("--data", metavar="NAME", help="Real data set.  [default: digits]")
@click.option("--ipc", type=int, help="Synthetic images per class.  [default: 1]")
@click.option("--network", metavar="NAME", help="Network to look through, for example convnet-d3-w32-in.")
@click.option("--profile", type=click.Choice(["published", "small"]), help="Published settings, or ones for a CPU.")
@click.option("--seed", type=int, help="Seed of every random number.  [default: 0]")
@click.option("--steps", type=int, help="Updates of the images, in place of the method's budget.")
@click.option("--seconds", type=float, help="Time spent distilling, likewise; with --steps, what comes first.")
@click.option("--networks", type=int, help="Networks trained to measure the result; 0 measures nothing.")
@click.option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1.  [default: auto]")
@click.option("--memory", metavar="SIZE", help="Memory the loop may grow by, for example 2GiB.")
@click.option("--max-per-class", type=int, help="Use at most this many real images a class.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="Settings from a YAML file.")
@click.option(
    "--set",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="One setting, for example optimiser.lr_img=0.1; repeatable.",
)
@click.option(
    "--observer",
    "observers",
    multiple=True,
    metavar="NAME",
    help="Write the run down also as, for example, tensorboard.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Run folder.  [default: runs/METHOD-DATA-ipcN]")
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="FOLDER", help="Continue a run, or make a finished one longer."
)
@click.option(
    "--data-root", type=click.Path(path_type=Path), help="Folder of data sets.  [default: $LIMBECK_DATA or data]"
)
@click.option("--download", is_flag=True, help="Fetch missing data; without it nothing touches the network.")
def distill(
    method: str | None,
    matcher: str | None,
    profile: str | None,
    file: Path | None,
    pairs: tuple[str, ...],
    out: Path | None,
    resume: Path | None,
    data_root: Path | None,
    download: bool,
    **flags: Any,
) -> None:
    """Distil a data set into a few synthetic images per class, measure them, and write a report.

    Settings come from the method's file, then --config, then --set and the options here; later ones win. The run
    folder holds everything: resolved settings, checkpoints, the images, figures, and report.html.
    """
    from limbeck.cli.screen import Screen, run_name
    from limbeck.config import assignments, merge, read_yaml
    from limbeck.configure import configure
    from limbeck.errors import UsageError
    from limbeck.runs import resumed_config, run

    started = time.perf_counter()
    if resume is not None and out is not None:
        raise UsageError(f"--resume goes on in its own folder: leave out --out {out}, or leave out --resume {resume}.")
    settings = merge(merge(read_yaml(file) if file else {}, assignments(pairs)), settings_of(flags))
    if resume is not None:
        named = {"method": method, "matcher": matcher, "profile": profile}
        settings = merge(settings, {key: value for key, value in named.items() if value is not None})
        config = resumed_config(resume, settings)
    else:
        config = configure(method, matcher, profile, settings)
    folder = resume or out or Path("runs") / f"{run_name(config)}-{config.data.name}-ipc{config.ipc}"
    with Screen() as screen:
        screen.title(config, folder)
        finished = run(
            config,
            folder=folder,
            resume=resume is not None,
            data_root=data_root,
            download=download,
            cache=cache_folder(),
            listener=screen.listener(),
        )
        screen.done(finished, time.perf_counter() - started)


def cache_folder() -> Path | None:
    """Return where results that outlive a run are kept: ``$LIMBECK_CACHE`` or ``~/.cache/limbeck``.

    None where that cannot be written, as in many containers; results then stay in the run folder.
    """
    try:
        folder = Path(os.environ.get("LIMBECK_CACHE") or Path.home() / ".cache" / "limbeck")
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return folder if os.access(folder, os.W_OK) else None


def settings_of(flags: dict[str, Any]) -> dict[str, Any]:
    """Turn the options into nested settings; what was not typed says nothing."""
    places = {
        "data": ("data", "name"),
        "max_per_class": ("data", "max_per_class"),
        "ipc": ("ipc",),
        "network": ("network",),
        "seed": ("seed",),
        "steps": ("budget", "steps"),
        "seconds": ("budget", "seconds"),
        "networks": ("evaluation", "networks"),
        "device": ("execution", "device"),
        "memory": ("execution", "memory"),
    }
    settings: dict[str, Any] = {}
    if flags.get("observers"):
        from limbeck.config import OBSERVERS

        settings["observers"] = [*OBSERVERS, *flags["observers"]]
    for flag, path in places.items():
        if flags.get(flag) is not None:
            section = settings
            for part in path[:-1]:
                section = section.setdefault(part, {})
            section[path[-1]] = flags[flag]
    return settings
