"""``limbeck data``: which data sets there are, what one holds, and whether its files are right."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from limbeck.cli.tables import print_table
from limbeck.entries import Entry
from limbeck.files import default_root, format_bytes, write_atomic
from limbeck.plugins import registry

if TYPE_CHECKING:
    from limbeck.data import DataSet, Dataset, DataSpec, RawData
    from limbeck.data.verify import Finding

Result = TypeVar("Result")

COLUMNS, ROWS = 10, 200
"""Images of a class, and classes, on a contact sheet."""

root_option = click.option(
    "--data-root", type=click.Path(path_type=Path), help="Folder of data sets.  [default: $LIMBECK_DATA or data]"
)
_reading = (
    root_option,
    click.option("--download", is_flag=True, help="Fetch missing data; without it nothing touches the network."),
    click.option(
        "--set",
        "pairs",
        multiple=True,
        metavar="KEY=VALUE",
        help="One option of the data set, for example size=64; repeatable.",
    ),
)


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a command that reads a data set."""
    for option in reversed(_reading):
        command = option(command)
    return command


@click.group()
def data() -> None:
    """List, show and check data sets.

    \b
    Examples:
      limbeck data list
      limbeck data show digits --out digits.png
      limbeck data check folder --set path=photos --set size=64
    """


@data.command("list")
@root_option
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def list_command(data_root: Path | None, as_json: bool) -> None:
    """List the data sets, and whether their files are there.

    Nothing is read or imported: 'limbeck data check NAME' does that.
    """
    root = (data_root or default_root()).expanduser()
    rows = [_listing(name, entry, root) for name, entry in registry().entries("datasets").items()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    columns = ("name", "shape", "classes", "train", "test", "files")
    print_table(columns, [[_cell(row[column]) for column in columns] for row in rows])
    click.echo(f"\nFiles are looked for in {root.absolute()} (--data-root or LIMBECK_DATA).")


@data.command()
@click.argument("name")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write a contact sheet here, one row a class (PNG)."
)
@reading_options
def show(name: str, out: Path | None, data_root: Path | None, download: bool, pairs: Sequence[str]) -> None:
    """Show what the data set NAME holds.

    \b
    Examples:
      limbeck data show digits --out digits.png
      limbeck data show cifar10 --data-root ~/data --set imbalance=100
    """
    from limbeck.data import load_dataset

    found = load_dataset(_asked(name, pairs), data_root=data_root, download=download)
    print_table(("fact", "value"), _facts(found))
    click.echo()
    classes = zip(found.spec.class_names, found.train.group_sizes, found.test.group_sizes, strict=True)
    rows = [[str(label), title, f"{n:,}", f"{m:,}"] for label, (title, n, m) in enumerate(classes)]
    print_table(("class", "name", "train", "test"), rows)
    if out is not None:
        write_atomic(out, contact_sheet(found))
        click.echo(f"\n{out}: the first {COLUMNS} training images of each class, one row a class")


@data.command()
@click.argument("name")
@reading_options
def check(name: str, data_root: Path | None, download: bool, pairs: Sequence[str]) -> int:
    """Say what is wrong with the data set NAME.

    Reads everything and looks at files and their checksums where these are known, numbers of images, stated against
    measured statistics, and images that occur twice. The exit status is 1 if anything is wrong.
    """
    component = registry().create("datasets", _asked(name, pairs))
    facts = registry().entry("datasets", name).facts
    wrong = 0
    for finding in _findings(component, facts, (data_root or default_root()).expanduser(), download):
        wrong += finding.verdict == "wrong"
        click.echo(f"{finding.verdict:<5}  {finding.subject}: {finding.text}")
    return int(wrong > 0)


def contact_sheet(found: DataSet) -> bytes:
    """Return a PNG of the first training images, one row a class."""
    from limbeck.synthetic.preview import grid, png

    members = [found.train.members(group)[:COLUMNS] for group in range(min(found.train.num_groups, ROWS))]
    return png(grid([found.train.images[index].float() / 255 for index in members]))


def _listing(name: str, entry: Entry, root: Path) -> dict[str, Any]:
    row = {key: entry.facts.get(key) for key in ("shape", "classes", "train", "test")}
    return {"name": name, **row, "files": _files(entry, root), "summary": entry.summary}


def _files(entry: Entry, root: Path) -> str:
    """Say whether an offer's files are there, and how large they are."""
    if "needs" in entry.facts:
        return f"yours: --set data.{entry.facts['needs']}"
    if "files" not in entry.facts:
        return "unknown"
    places = [root / name for name in entry.facts["files"]]
    if not places:
        return "none needed"
    missing = sum(not place.exists() for place in places)
    if missing:
        return "missing" if missing == len(places) else "incomplete"
    return f"present, {format_bytes(sum(map(_bytes, places)))}"


def _bytes(place: Path) -> int:
    files = [place] if place.is_file() else place.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _facts(found: DataSet) -> list[list[str]]:
    spec = found.spec
    return [
        ["name", spec.name],
        ["shape", f"{'x'.join(map(str, spec.shape))} (channels x height x width)"],
        ["classes", f"{spec.num_classes:,}"],
        ["training images", f"{len(found.train):,}"],
        ["test images", f"{len(found.test):,}"],
        *_normalisation(spec),
        [
            "mirror",
            "yes: a horizontal flip keeps the class" if spec.mirror else "no: a flip changes what an image means",
        ],
    ]


def _normalisation(spec: DataSpec) -> list[list[str]]:
    rows = [
        [key, " ".join(f"{value:g}" for value in values)] for key, values in (("mean", spec.mean), ("std", spec.std))
    ]
    return rows if spec.whitening is None else [*rows, ["preprocessing", "zca, in place of mean and std"]]


def _findings(component: Dataset, facts: Mapping[str, Any], root: Path, download: bool) -> Iterator[Finding]:
    """Yield what there is to say about a data set's files, then about what is in them."""
    from limbeck.data.verify import Finding, verify

    raw, failure = _attempt(lambda: _valid(component.load(root, download=download)))
    listed, refused = _attempt(lambda: component.problems(root))
    problems = listed or [reason for reason in (refused or failure,) if reason]
    for problem in problems:
        yield Finding("wrong", "files", problem)
    if not problems:
        yield Finding("ok", "files", "all can be read, and are the published ones where checksums are known")
    if raw is not None:
        yield from verify(raw, facts)


def _valid(raw: RawData) -> RawData:
    from limbeck.data import load_dataset

    load_dataset(raw)
    return raw


def _attempt(action: Callable[[], Result]) -> tuple[Result | None, str]:
    """Return what ``action`` gives, or nothing and why."""
    from limbeck.errors import DataError

    try:
        return action(), ""
    except DataError as error:
        return None, str(error)


def _asked(name: str, pairs: Sequence[str]) -> dict[str, Any]:
    """Return a data set with its settings, which may be typed as for 'limbeck distill': data.path=photos."""
    from limbeck.config import View, assignments
    from limbeck.preflight import check_keys

    settings = assignments([pair.removeprefix("data.") for pair in pairs])
    check_keys(name, settings, View)
    return {"name": name, **settings}
