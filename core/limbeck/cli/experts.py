"""``limbeck experts``: train the networks that trajectory matching follows, list them, and check them."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from limbeck.config import RunConfig
    from limbeck.experts import Buffer, ExpertOptions, Training

EPILOG = """\b
Examples:
  limbeck experts train --method mtt --data fashion_mnist --profile small
  limbeck experts train --method mtt --data cifar10 --experts 20 --executor processes
  limbeck experts train --network convnet-d3-w32-in --data digits --experts 3 --epochs 10

\b
Options mean what they do in 'limbeck distill', so that a run and its experts are asked for alike. The method's file
says how experts are trained; --set source.KEY=VALUE changes it, and 'limbeck show network_sources experts' explains
every KEY. With --executor processes several are trained at once, one a GPU or as many as the CPUs hold.
"""


COLUMNS = {name: name for name in ("key", "network", "data", "images", "preprocessing", "experts", "epochs", "kind")}
COLUMNS |= {"bytes": "size", "seconds": "training"}
"""What ``limbeck experts list`` shows of a buffer, and the headings."""


@click.group()
def experts() -> None:
    """Train, list and check experts: networks trained on real images, whose weights are kept after every epoch.

    Methods that match trajectories send a network that learns from the synthetic images along the way of one that
    learned from the real ones. Such experts take long to train, once: runs with other seeds, ipc and methods share
    them, and more experts or more epochs extend what is there.

    \b
    Examples:
      limbeck experts train --method mtt --data fashion_mnist --profile small
      limbeck experts list
      limbeck experts check
    """


@experts.command(epilog=EPILOG)
@click.option("--method", metavar="NAME", help="Method whose experts to train; without one, those of plain settings.")
@click.option("--data", metavar="NAME", help="Real data set.  [default: digits]")
@click.option(
    "--ipc",
    type=int,
    help="Images per class of the run; methods may look further into experts with more.  [default: 1]",
)
@click.option("--network", metavar="NAME", help="Network to train, for example convnet-d3-w32-in.")
@click.option("--profile", type=click.Choice(["published", "small"]), help="Published settings, or ones for a CPU.")
@click.option("--experts", "count", type=int, help="How many experts.  [default: the method's, else 100]")
@click.option("--epochs", type=int, help="Epochs of each.  [default: the method's, else 50]")
@click.option("--seed", type=int, help="Seed of the run; matters only where it draws which images are used.")
@click.option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1.  [default: auto]")
@click.option("--executor", metavar="NAME", help="processes trains several at once.  [default: serial]")
@click.option("--max-per-class", type=int, help="Use at most this many real images a class.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="Settings from a YAML file.")
@click.option(
    "--set",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="One setting, for example source.lr=0.02; repeatable.",
)
@click.option(
    "--data-root", type=click.Path(path_type=Path), help="Folder of data sets.  [default: $LIMBECK_DATA or data]"
)
@click.option("--download", is_flag=True, help="Fetch missing data; without it nothing touches the network.")
def train(
    method: str | None,
    profile: str | None,
    count: int | None,
    epochs: int | None,
    executor: str | None,
    file: Path | None,
    pairs: tuple[str, ...],
    data_root: Path | None,
    download: bool,
    **flags: Any,
) -> None:
    """Train the experts that a run with the same options would follow.

    Each expert is a file in the cache ($LIMBECK_CACHE or ~/.cache/limbeck), under a name made of what decides its
    weights. Whatever ends the command, the same command goes on from the last epoch that was kept, to the same bits;
    when everything is there it says so.
    """
    from limbeck.cli.distill import settings_of
    from limbeck.config import assignments, merge, read_yaml

    source = {key: value for key, value in (("experts", count), ("epochs", epochs)) if value is not None}
    settings = merge(merge(read_yaml(file) if file else {}, assignments(pairs)), settings_of(flags))
    settings = merge(settings, {"source": source} if source else {})
    settings = merge(settings, {"execution": {"executor": {"name": executor}}} if executor else {})
    config, options = asked_for(method, profile, settings)
    _train(config, options, data_root, download)


@experts.command("list")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def list_command(as_json: bool) -> None:
    """List the buffers of experts in the cache.

    A buffer holds experts that differ in their random numbers alone. Its key is the name of its folder, and what
    'limbeck experts check' takes; to free its space, remove the folder. Flat experts were trained with
    source.sharpness.
    """
    from limbeck.cli.tables import print_table
    from limbeck.experts.buffer import ABOUT, FOLDER, buffers_in

    place = _cache() / FOLDER
    found = buffers_in(place)
    rows = [described(buffer) for buffer in found]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if rows:
        print_table(list(COLUMNS.values()), [[_cell(column, row[column]) for column in COLUMNS] for row in rows])
        click.echo()
    damaged = len(list(place.glob(f"*/{ABOUT}"))) - len(found)
    if damaged:
        click.echo(f"{damaged} more cannot be read: 'limbeck experts check' says why.")
    hint = "" if rows else " There are none yet: 'limbeck experts train --help' shows how to train some."
    click.echo(f"Buffers are looked for in {place}.{hint}")


def _cell(column: str, value: Any) -> str:
    from limbeck.cli.screen import duration
    from limbeck.files import format_bytes

    if column == "seconds":
        return duration(value)
    if column == "bytes":
        return format_bytes(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def described(buffer: Buffer) -> dict[str, Any]:
    """Return what is listed of a buffer, as JSON values."""
    of, heads = buffer.made_of, buffer.heads()
    lengths = [head.epochs for head in heads]
    same = f"{min(lengths)}" if len(set(lengths)) == 1 else f"{min(lengths)} to {max(lengths)}" if lengths else "0"
    whole, part = of["data"]["images"], of["training"]["images"]
    return {
        "key": buffer.folder.name,
        "folder": str(buffer.folder),
        "network": of["network"]["name"],
        "data": of["data"]["name"],
        "images": part or whole,
        "preprocessing": of["data"]["preprocessing"],
        "experts": len(heads),
        "epochs": same,
        "kind": "flat" if of["training"]["sharpness"] else "plain",
        "device": of["device"],
        "bytes": buffer.bytes(),
        "seconds": sum(head.seconds for head in heads),
        "made_of": of,
    }


@experts.command()
@click.argument("names", nargs=-1, metavar="[KEY | FOLDER]...")
def check(names: tuple[str, ...]) -> int:
    """Say what is wrong with the buffers named, or with all in the cache.

    Looks at the checksum of every epoch and of what training goes on from, at weights that are no finite numbers or
    did not move, and at training losses that did not fall. The exit status is 1 if anything is wrong.
    """
    from limbeck.errors import ArtifactError
    from limbeck.experts.buffer import ABOUT, FOLDER, Buffer
    from limbeck.experts.check import check as look

    place = _cache() / FOLDER
    folders = [_folder(name, place) for name in names] or sorted(path.parent for path in place.glob(f"*/{ABOUT}"))
    if not folders:
        click.echo(f"There are no buffers in {place}.")
    wrong = 0
    for folder in folders:
        try:
            buffer = Buffer.load(folder)
        except ArtifactError as error:
            click.echo(f"wrong  {error}")
            wrong += 1
            continue
        click.echo(f"{folder}: {buffer.made_of['network']['name']} on {buffer.made_of['data']['name']}")
        for finding in look(buffer):
            wrong += finding.is_wrong
            click.echo(f"{'wrong' if finding.is_wrong else 'ok':<5}  {finding.subject}: {finding.text}")
    return int(wrong > 0)


def _cache() -> Path:
    """Return the cache.

    Raises:
        UsageError: it cannot be written, so there is none.
    """
    from limbeck.cli.distill import cache_folder
    from limbeck.errors import UsageError

    place = cache_folder()
    if place is None:
        raise UsageError(
            "there is no cache: neither $LIMBECK_CACHE nor ~/.cache/limbeck can be written. Set LIMBECK_CACHE to a "
            "folder that can."
        )
    return place


def _folder(name: str, place: Path) -> Path:
    """Return the folder of a buffer by its key, or as it was typed."""
    return place / name if (place / name).is_dir() else Path(name)


def asked_for(method: str | None, profile: str | None, settings: dict[str, Any]) -> tuple[RunConfig, ExpertOptions]:
    """Return the configuration asked for, and which experts it follows.

    Raises:
        UsageError: unknown names or options, or none of its network sources follows experts.
    """
    from limbeck.config import merge
    from limbeck.configure import configure
    from limbeck.errors import UsageError
    from limbeck.experts import ExpertOptions
    from limbeck.experts.command import PLAIN
    from limbeck.plugins import registry

    if method is None and not settings.keys() & {"method", "matcher"}:
        settings = merge(PLAIN, settings)
    config = configure(method, None, profile, settings)
    specs = [spec for spec in (config.source, *(term.source for term in config.terms or ())) if spec is not None]
    for spec in specs:
        options = registry().create("network_sources", spec.model_dump()).options
        if isinstance(options, ExpertOptions):
            return config, options
    looks = f"looks through source '{specs[0].name}', which has" if specs else "has no source, and so"
    raise UsageError(
        f"method '{config.method}' {looks} no experts. Name one that has, for example --method mtt, or leave it out."
    )


def _train(config: RunConfig, options: ExpertOptions, data_root: Path | None, download: bool) -> None:
    from limbeck.cli.experts_screen import ExpertScreen
    from limbeck.experts import missing
    from limbeck.experts import train as train_experts
    from limbeck.experts.options import extent
    from limbeck.plugins import registry

    executor = registry().create("executors", config.execution.executor.model_dump())
    with _prepared(config, options, data_root, download) as (training, buffer):
        screen = ExpertScreen(training, buffer, options.experts)
        epochs = training.how.epochs
        if not missing(buffer, options.experts, epochs, thorough=True):
            screen.console.print(f"all of {extent(options.experts, epochs)} are there already: {buffer.folder}")
            return
        screen.title(config.data.name, config.execution.executor.name)
        started = time.perf_counter()
        with screen, _stoppable(screen):
            train_experts(training, buffer, options.experts, executor)
        screen.done(time.perf_counter() - started)


@contextlib.contextmanager
def _prepared(
    config: RunConfig, options: ExpertOptions, data_root: Path | None, download: bool
) -> Iterator[tuple[Training, Buffer]]:
    """Load the data and build the network, with threads and memory as a run has them."""
    from limbeck.cli.distill import cache_folder
    from limbeck.data import load_dataset
    from limbeck.data.views import split_view
    from limbeck.execution.device import compute_settings, keep_freed_memory, resolve_device, threads_that_pay
    from limbeck.experts import Training
    from limbeck.networks import build_network
    from limbeck.preflight import check_data

    section = config.execution
    device = resolve_device(section.device)
    check_data(config.data)
    if device.type == "cpu":
        keep_freed_memory()
    named, view = split_view(config.data.source())
    where: dict[str, Any] = {"data_root": data_root, "download": download, "device": device}
    data = load_dataset(named, **view, **where, seed=config.seed)
    network = build_network(config.network, data.spec, device)
    training = Training(network, data.train, options.training(), options.seed, section.chunk)
    with contextlib.ExitStack() as stack:
        stack.enter_context(compute_settings(device, threads=section.threads, deterministic=section.deterministic))
        if section.threads is None:
            stack.enter_context(threads_that_pay(network.largest_activation(), device))
        yield training, training.buffer(options.path, cache_folder())


@contextlib.contextmanager
def _stoppable(screen: Any) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into one line that says what is kept."""
    from limbeck.distillation.run import Interrupted

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        kept = f"{screen.epochs():,} of {screen.total:,} epochs"
        raise Interrupted(f"stopped; {kept} are kept, and the same command goes on from there.") from None
    finally:
        signal.signal(signal.SIGTERM, before)
