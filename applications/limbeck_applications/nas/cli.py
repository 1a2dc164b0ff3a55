"""``limbeck nas``: rank the architectures of a space on a few images, and search it by them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from limbeck.cli.studies import leave_out, stoppable
from limbeck_applications.nas.flags import NETWORK, RESUME, SHARED, options, out
from limbeck_applications.nas.helps import RANK, SEARCH, TRUTH

if TYPE_CHECKING:
    from limbeck_applications.nas.study.asked import ProblemSettings

SETTINGS = {
    "data": ("data",),
    "images": ("images",),
    "validation": ("validation",),
    "network": ("network",),
    "device": ("device",),
    "executor": ("executor", "name"),
    "truth": ("truth",),
    "sample": ("sample",),
    "top": ("top",),
    "seeds": ("seeds",),
    "evaluations": ("evaluations",),
    "retrain": ("retrain",),
    "epochs": ("training", "epochs"),
}
"""Where the options that are one setting each stand among a study's settings."""

TYPED = {"proxies": "proxy", "searchers": "searcher", "pairs": "set"}
"""What options are called whose parameters have another name."""


@click.group()
def nas() -> None:
    """Rank and search architectures on a few images in place of a whole data set.

    A proxy is a cheap number for an architecture: its accuracy after training on images that any method distils or
    picks, after little training on all images, or a number that no training is needed for. Here proxies are held
    against full training, and searchers look for good architectures by them.

    \b
    Examples:
      limbeck nas rank --proxy distilled:method=dm,ipc=2,epochs=20 --proxy parameters --sample 12
      limbeck nas search --searcher random --evaluations 8 --proxy distilled:method=dm,ipc=2,epochs=20
      limbeck nas truth --sample 6 --epochs 1 --seeds 1
      limbeck nas report runs/nas-rank-convnet72-digits
    """


@nas.command(epilog=RANK)
@click.option("--proxy", "proxies", multiple=True, metavar="NAME", help="Proxy to rank by; repeatable.")
@click.option("--truth", metavar="FILE", help="Table of full training.  [default: the one that comes with Limbeck]")
@click.option("--sample", type=int, help="Architectures taken by lot.  [default: all]")
@click.option("--seeds", type=int, help="Times that each proxy is made and scored anew.  [default: 1]")
@click.option("--top", type=int, multiple=True, metavar="K", help="Say what the best K are worth; repeatable.")
@options(SHARED, NETWORK, RESUME, out("runs/nas-rank-SPACE-DATA"))
def rank(out: Path | None, resume: Path | None, data_root: Path | None, download: bool, **flags: Any) -> int:
    """Score the architectures of a space by proxies and see how well each ranks them.

    A score is kept as soon as it is there. table.csv, groups.csv, scores.csv and the page report.html in OUT gather
    correlations with full training, their intervals, and the seconds each proxy took, distillation included.
    """
    from limbeck_applications.nas.study.rank import rank as ranked

    return _study("rank", ranked, out, resume, data_root, download, flags)


@nas.command(epilog=SEARCH)
@click.option("--searcher", "searchers", multiple=True, metavar="NAME", help="Searcher; repeatable.  [default: random]")
@click.option("--proxy", metavar="NAME", help="Proxy to search by.  [default: distilled]")
@click.option("--evaluations", type=int, help="Architectures that each search may score.  [default: 40]")
@click.option("--seeds", type=int, help="Searches by each searcher; the proxy stays the same.  [default: 1]")
@click.option("--retrain", type=int, help="Best of each search that are trained in full.  [default: 1]")
@options(SHARED, NETWORK, RESUME, out("runs/nas-search-SPACE-DATA"))
def search(out: Path | None, resume: Path | None, data_root: Path | None, download: bool, **flags: Any) -> int:
    """Search a space by a proxy, with one searcher or several at equal evaluations.

    table.csv, scores.csv and the page report.html in OUT gather what each search found and how soon. Whatever ends the
    command, the same command continues it, to the same figures.
    """
    from limbeck_applications.nas.study.search import search as searched

    return _study("search", searched, out, resume, data_root, download, flags)


@nas.command(epilog=TRUTH)
@click.option("--sample", type=int, help="Architectures taken by lot.  [default: all]")
@click.option("--epochs", type=int, help="Passes over the images.  [default: 5]")
@click.option("--seeds", type=int, help="Trainings of each architecture, numbered from 0.  [default: 2]")
@options(SHARED, RESUME, out("runs/nas-truth-SPACE-DATA"))
def truth(out: Path | None, resume: Path | None, data_root: Path | None, download: bool, **flags: Any) -> int:
    """Train every architecture of a space in full, and write what they reach on test images as a table.

    In full is on all training images but those kept aside (--validation), or on as many as --images says. truth.csv,
    scores.csv and the page report.html in OUT gather accuracies, what they cost, and how far seeds agree.
    """
    from limbeck_applications.nas.study.truth import make_truth

    return _study("truth", make_truth, out, resume, data_root, download, flags)


@nas.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
def report(folder: Path, show: bool) -> None:
    """Write the page and the tables of the study in FOLDER again, from its scores.

    FOLDER is what 'limbeck nas rank', 'search' or 'truth' wrote with --out. Nothing is computed, and a study that is
    not finished is shown as far as it has come.
    """
    from limbeck_applications.nas.report.page import publish
    from limbeck_applications.nas.study.kept import load_outcome

    path = publish(folder, load_outcome(folder))
    click.echo(path)
    if show:
        click.launch(path.resolve().as_uri())


def _study(
    kind: str,
    work: Callable[..., Any],
    out: Path | None,
    resume: Path | None,
    data_root: Path | None,
    download: bool,
    flags: dict[str, Any],
) -> int:
    """Run a study, or go on with it, and show what it came to."""
    from limbeck.cli.compare import typed
    from limbeck.cli.distill import cache_folder
    from limbeck_applications.nas.screen import StudyScreen, TruthScreen
    from limbeck_applications.nas.study.kept import NAME, load_outcome
    from limbeck_applications.nas.study.kept import SETTINGS as KINDS

    started = time.perf_counter()
    settings = _asked(KINDS[kind], flags) if resume is None else _kept(kind, resume, out, flags)
    folder = resume or out or _folder(kind, settings)
    command = typed(click.get_current_context(), folder) if resume is None else load_outcome(folder).command
    shown = TruthScreen if kind == "truth" else StudyScreen
    again = f"limbeck nas {kind} --resume {folder}"
    with stoppable(again, folder / NAME) as pressed, shown(folder, pressed) as screen:
        outcome = work(
            settings,
            folder,
            data_root=data_root,
            download=download,
            cache=cache_folder(),
            audience=screen,
            command=command,
        )
        return screen.done(outcome, time.perf_counter() - started)


def _folder(kind: str, settings: ProblemSettings) -> Path:
    return Path("runs") / f"nas-{kind}-{settings.space.name}-{settings.data}"


def _asked(settings_class: type[ProblemSettings], flags: dict[str, Any]) -> Any:
    """Return the settings that were typed: --set, over them every other option.

    Raises:
        UsageError: unknown options, or values that they do not take.
    """
    from limbeck.cli.written import component, components
    from limbeck.config import assignments, merge
    from limbeck.options import parse

    asked: dict[str, Any] = {}
    for flag, path in SETTINGS.items():
        value = flags.get(flag)
        if value is not None and value != ():
            asked = merge(asked, {path[0]: value if len(path) == 1 else {path[1]: value}})
    for flag in ("space", "proxy"):
        if flags.get(flag) is not None:
            asked[flag] = component(flags[flag], f"--{flag}")
    for flag in ("proxies", "searchers"):
        if flags.get(flag):
            asked[flag] = [each for text in flags[flag] for each in components(text, f"--{TYPED[flag]}")]
    return parse(settings_class, merge(assignments(flags["pairs"]), asked), "")


def _kept(kind: str, folder: Path, out: Path | None, flags: dict[str, Any]) -> Any:
    """Return the settings that the study in a folder began with.

    Raises:
        UsageError: others were typed beside it, there is no study, or it is of another kind.
    """
    from limbeck.errors import UsageError
    from limbeck_applications.nas.study.kept import kind_of, load_settings

    leave_out(folder, out, flags, TYPED)
    settings = load_settings(folder)
    its = kind_of(settings)
    if its != kind:
        raise UsageError(f"{folder} holds a study of another kind: type limbeck nas {its} --resume {folder}.")
    return settings
