"""``limbeck continual``: strategies on a stream of classes at equal memory, in one table that can be continued."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from limbeck.cli.studies import leave_out, stoppable

if TYPE_CHECKING:
    from limbeck_applications.continual.study.asked import StudySettings

PROTOCOLS = ("dm", "one_per_class")

EPILOG = """\b
Examples:
  limbeck continual run --strategies naive,gdumb,distilled_gdumb --memory dm:steps=100 --memory random
      digits that arrive two classes at a time: a minute on a CPU
  limbeck continual run --benchmark split_fashion_mnist --strategies naive,joint,replay_balanced,distilled_gdumb \\
      --memory dm:seconds=15 --images 10 --orders 3 --seeds 2 --max-per-class 2000 --out runs/fashion
      Ctrl-C and the same line again continue it
  limbeck continual run --protocol dm --benchmark split_cifar10 --strategies distilled_gdumb \\
      --memory dm --memory herding --memory random --set retraining.epochs=50
      the protocol of arXiv:2110.04181 on another data set, shorter; the page lists what differs

\b
Options of a component follow its name: split_mnist:experiences=2,class_order=natural or der_pp:alpha=0.5,beta=1.
Those of a memory say how its images are made and kept:
  dm:ipc=10               as many images of each class, not as many as fit
  dm:storage=float32      numbers of four bytes: a quarter of the images in the same budget
  dm:seconds=15           time for each experience; or steps=500
  dm:optimiser.lr_img=1   with a dot, a setting of 'limbeck distill' (see --set there)
Real images are a memory like any other: random and herding.

\b
What is equal for all strategies: streams, seeds, the network, and the bytes that images, distilled or real, may take
with their labels, soft labels and logits. A memory grows with the classes seen;
with --fixed all of it is there from the start, and its share of each class shrinks.
What joint, nearest_mean and napa_vq keep is counted but not bounded; tables mark those above the budget with *.

\b
To learn more:
  limbeck list continual_strategies        limbeck show continual_strategies der_pp
  limbeck list continual_benchmarks        limbeck show continual_benchmarks split_mnist
"""

SETTINGS = {
    "images": ("images",),
    "orders": ("orders",),
    "seeds": ("seeds",),
    "network": ("network",),
    "max_per_class": ("max_per_class",),
    "device": ("device",),
    "executor": ("executor", "name"),
}
"""Where the options that are one setting each stand among a study's settings."""


@click.group()
def continual() -> None:
    """Learn a stream of classes one after the other, with a few images of the past.

    A network that learns new classes forgets the old ones unless it sees something of them again. Here strategies keep
    real images or images distilled by any method within the same bytes, prototypes, or nothing.

    \b
    Examples:
      limbeck continual run --strategies naive,gdumb,distilled_gdumb --memory dm:steps=100 --memory random
      limbeck continual report runs/continual-split_digits
    """


@continual.command(epilog=EPILOG)
@click.option("--benchmark", metavar="NAME", help="Stream to learn.  [default: split_digits]")
@click.option("--strategies", metavar="A,B,...", help="Strategies to compare.")
@click.option("--memory", "memories", multiple=True, metavar="METHOD", help="A distilled memory; repeatable.")
@click.option(
    "--images",
    type=int,
    help="Bytes of a class, in 8-bit images.  [default: what the largest memory asks for, else 10]",
)
@click.option("--fixed", is_flag=True, help="All memory from the start; without it memory grows with the classes seen.")
@click.option("--orders", type=int, help="Class orders, numbered from 0.  [default: 1]")
@click.option("--seeds", type=int, help="Networks for each order.  [default: 1]")
@click.option("--network", metavar="NAME", help="Network that learns.  [default: convnet-d3-w32-in]")
@click.option("--max-per-class", type=int, help="Use at most this many real images a class.")
@click.option("--protocol", type=click.Choice(PROTOCOLS), help="Settings of a paper; what is typed beside it wins.")
@click.option(
    "--set",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="One setting, for example training.epochs=5 or retraining.epochs=1000; repeatable.",
)
@click.option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1.  [default: auto]")
@click.option("--executor", metavar="NAME", help="processes runs several cells at once.  [default: serial]")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the study; the same folder continues it.  [default: runs/continual-BENCHMARK]",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Continue the study in FOLDER with the settings it began with.",
)
@click.option("--tensorboard", type=click.Path(path_type=Path), metavar="DIR", help="Write scalars there as well.")
@click.option(
    "--data-root", type=click.Path(path_type=Path), help="Folder of data sets.  [default: $LIMBECK_DATA or data]"
)
@click.option("--download", is_flag=True, help="Fetch missing data; without it nothing touches the network.")
def run(
    out: Path | None,
    resume: Path | None,
    tensorboard: Path | None,
    data_root: Path | None,
    download: bool,
    **flags: Any,
) -> int:
    """Run strategies on a benchmark and put them into one table.

    Every strategy learns the same streams; after each experience it is tested on all of them. A row is kept as soon as
    it is measured, in OUT/rows.jsonl; table.csv, cells.csv, matrices.json and the page report.html gather them.
    Whatever ends the command, the same command continues it, to the same figures.
    """
    from limbeck.cli.compare import typed
    from limbeck.cli.distill import cache_folder
    from limbeck_applications.continual.protocols import deviations
    from limbeck_applications.continual.screen import StudyScreen
    from limbeck_applications.continual.study.kept import NAME, load_outcome
    from limbeck_applications.continual.study.run import run_study

    started = time.perf_counter()
    settings = kept_settings(resume, out, flags) if resume is not None else asked_settings(flags)
    folder = resume or out or Path("runs") / f"continual-{settings.benchmark.name}"
    command = load_outcome(folder).command if resume is not None else typed(click.get_current_context(), folder)
    with (
        stoppable(f"limbeck continual run --resume {folder}", folder / NAME) as pressed,
        StudyScreen(folder, tensorboard, pressed) as screen,
    ):
        outcome = run_study(
            settings,
            folder,
            data_root=data_root,
            download=download,
            cache=cache_folder(),
            audience=screen,
            command=command,
            deviations=deviations(settings),
        )
        screen.done(outcome, time.perf_counter() - started)
    return 1 if outcome.failures else 0


@continual.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--tensorboard", type=click.Path(path_type=Path), metavar="DIR", help="Write scalars there as well.")
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
def report(folder: Path, tensorboard: Path | None, show: bool) -> None:
    """Write the page and the tables of the study in FOLDER again, from its rows and memories.

    FOLDER is what 'limbeck continual run --out' wrote. Nothing is learned, and a study that is not finished is shown
    as far as it has come.
    """
    from limbeck_applications.continual.report.page import write_page
    from limbeck_applications.continual.results import Results
    from limbeck_applications.continual.study.kept import load_outcome

    results = Results.of(load_outcome(folder))
    results.save(folder)
    path = write_page(folder, results)
    if tensorboard is not None:
        from limbeck_applications.continual.tensorboard import write_scalars

        write_scalars(tensorboard, results)
    click.echo(path)
    if show:
        click.launch(path.resolve().as_uri())


def asked_settings(flags: dict[str, Any]) -> StudySettings:
    """Return the settings that were typed: a protocol's, over them --set, over them every other option.

    Raises:
        UsageError: unknown options, or values that they do not take.
    """
    from limbeck.cli.written import component, components
    from limbeck.config import assignments, merge
    from limbeck.options import parse
    from limbeck_applications.continual.study.asked import StudySettings
    from limbeck_applications.continual.written import memory

    asked: dict[str, Any] = {}
    for flag, path in SETTINGS.items():
        if flags[flag] is not None:
            asked = merge(asked, {path[0]: flags[flag] if len(path) == 1 else {path[1]: flags[flag]}})
    if flags["fixed"]:
        asked["grows"] = False
    if flags["benchmark"] is not None:
        asked["benchmark"] = component(flags["benchmark"], "--benchmark")
    if flags["strategies"] is not None:
        asked["strategies"] = components(flags["strategies"], "--strategies")
    if flags["memories"]:
        asked["memories"] = [memory(text) for text in flags["memories"]]
    published = _of_protocol(flags["protocol"], asked.get("benchmark", {}).get("name", ""))
    return parse(StudySettings, merge(merge(published, assignments(flags["pairs"])), asked), "")


def _of_protocol(name: str | None, benchmark: str) -> dict[str, Any]:
    if name is None:
        return {}
    from limbeck_applications.continual.protocols import preset

    return preset(name, benchmark)


def kept_settings(folder: Path, out: Path | None, flags: dict[str, Any]) -> StudySettings:
    """Return the settings that the study in a folder began with.

    Raises:
        UsageError: others were typed beside it, or there is no study.
    """
    from limbeck_applications.continual.study.kept import load_settings

    leave_out(folder, out, flags, {"memories": "memory", "pairs": "set"})
    return load_settings(folder)
