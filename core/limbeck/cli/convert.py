"""``limbeck convert``: sets of other projects into Limbeck's form, and sets into PNG files or fewer bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from limbeck.data import DataSet
    from limbeck.synthetic import SyntheticSet

EPILOG = """\b
Examples:
  limbeck convert res_DSA_CIFAR10_ConvNet_10ipc.pt dsa --like cifar10
  limbeck convert logged_files/CIFAR10/run mtt --from mtt --like cifar10 --set zca=true --set lr=0.02
  limbeck convert photos chosen --from png --like folder --set data.path=photos-full --set data.size=32
  limbeck convert runs/dm-digits-ipc10 pictures --to png --measure 5
  limbeck convert runs/dm-digits-ipc10 small --storage uint8
"""


@click.command(epilog=EPILOG)
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("dest", type=click.Path(path_type=Path))
@click.option("--from", "importer", metavar="NAME", help="Whose set SOURCE is; see 'limbeck list importers'.")
@click.option("--like", metavar="DATA", help="Real data set the published set stands for.")
@click.option(
    "--set",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the importer, of the data (data.KEY) or of the protocol (protocol.KEY); repeatable.",
)
@click.option("--network", metavar="NAME", help="Another network for the recipe than the authors'.")
@click.option("--protocol", metavar="NAME", help="Another procedure for the recipe than the authors'.")
@click.option(
    "--to", "form", type=click.Choice(["set", "png"]), default="set", show_default=True, help="What DEST becomes."
)
@click.option("--storage", type=click.Choice(["float32", "float16", "uint8"]), help="Number format of the images.")
@click.option(
    "--measure",
    "networks",
    type=click.IntRange(min=1),
    metavar="N",
    help="Train N networks on the set before and after, and keep what the number format costs.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the networks of --measure."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1.")
@click.option(
    "--data-root", type=click.Path(path_type=Path), help="Folder of data sets.  [default: $LIMBECK_DATA or data]"
)
@click.option("--download", is_flag=True, help="Fetch missing data; without it nothing touches the network.")
def convert(
    source: Path,
    dest: Path,
    importer: str | None,
    like: str | None,
    pairs: tuple[str, ...],
    network: str | None,
    protocol: str | None,
    form: str,
    storage: str | None,
    networks: int | None,
    seed: int,
    device: str,
    data_root: Path | None,
    download: bool,
) -> None:
    """Read the set in SOURCE and write it into the new folder DEST in another form.

    SOURCE is a Limbeck set, or what another project published (name its data with --like). DEST becomes a Limbeck set,
    or with --to png a folder of pictures. A .pt file is read without running anything in it.
    """
    from limbeck.config import assignments
    from limbeck.execution.device import resolve_device
    from limbeck.synthetic.convert import COST, new_folder, storage_cost
    from limbeck.synthetic.export import write_png

    place = resolve_device(device)
    where = {"data_root": data_root, "download": download, "device": place}
    asked = {"from": importer, "set": assignments(pairs), "network": network, "protocol": protocol}
    with new_folder(dest) as folder:
        if is_set(source):
            before, real = own_set(source, asked, form, storage), None
        else:
            before, real = foreign_set(source, asked, like, where)
        after = before.with_(storage=storage_for(form, storage, before))
        if networks is not None:
            real = real or real_data_of(before, like, where)
            cost = storage_cost(before, after, real, networks=networks, seed=seed, device=place)
            after = after.with_(figures={**after.figures, COST: cost})
            click.echo(told(cost))
        write_png(after, folder) if form == "png" else after.save(folder)
    click.echo(f"{len(after):,} images, {after.bytes:,} bytes ({after.storage}) in {dest}")


def is_set(source: Path) -> bool:
    """Tell whether ``source`` is a Limbeck set: its folder or its file."""
    from limbeck.synthetic.artifact import TENSORS

    return source.name == TENSORS or (source / TENSORS).exists()


def own_set(source: Path, asked: Mapping[str, Any], form: str, storage: str | None) -> SyntheticSet:
    """Load a Limbeck set, and refuse what concerns others' sets only, or changes nothing.

    Raises:
        UsageError: says what to type instead.
    """
    from limbeck.errors import UsageError
    from limbeck.synthetic import SyntheticSet

    for option, value in asked.items():
        if value:
            raise UsageError(
                f"{source} is a Limbeck set, and --{option} is about sets of other projects. Leave it out; its recipe "
                "is changed where it is used: limbeck evaluate --protocol NAME --network NAME."
            )
    found = SyntheticSet.load(source)
    if form == "set" and storage in (None, found.storage):
        raise UsageError(
            f"{source} is a Limbeck set in {found.storage} already, so there is nothing to convert. "
            "Type --to png, or --storage uint8."
        )
    return found


def foreign_set(
    source: Path, asked: Mapping[str, Any], like: str | None, where: Mapping[str, Any]
) -> tuple[SyntheticSet, DataSet | None]:
    """Read another project's set, and return it with the real data it stands for where they were named."""
    from limbeck.data import load_dataset
    from limbeck.plugins import registry
    from limbeck.synthetic.importer import Importer, guess, import_set

    options = dict(asked["set"])
    data, procedure = section(options, "data"), section(options, "protocol")
    name = asked["from"] or guess(source)
    if asked["from"] is None:
        click.echo(f"reading {source} as a set of '{name}'")
    spec = {"name": name, **options}
    reader: Importer = registry().create("importers", spec)
    real = None
    if like is not None:
        data = {"name": like, **data}
        if reader.preprocessing != "standard":
            data.setdefault("preprocessing", reader.preprocessing)
        real = load_dataset(data, **where)
    if asked["protocol"]:
        procedure = {"name": asked["protocol"], **procedure}
    found = import_set(
        source,
        spec,
        None if real is None else real.spec,
        network=asked["network"],
        protocol=procedure or None,
        data=data if like is not None else None,
    )
    return found, real


def section(options: dict[str, Any], name: str) -> dict[str, Any]:
    """Take the settings ``name.KEY=VALUE`` out of the others.

    Raises:
        UsageError: ``name=VALUE`` without a key.
    """
    from limbeck.errors import UsageError

    found = options.pop(name, None) or {}
    if not isinstance(found, dict):
        raise UsageError(f"--set {name}={found} has no key: write {name}.KEY=VALUE.")
    return found


def storage_for(form: str, storage: str | None, before: SyntheticSet) -> str:
    """Return the number format of the result.

    Raises:
        UsageError: PNG files in a format they do not have.
    """
    from limbeck.errors import UsageError

    if form == "png" and storage not in (None, "uint8"):
        raise UsageError(
            f"PNG files hold bytes, and --storage {storage} was asked. Leave it out, or leave out --to png."
        )
    return "uint8" if form == "png" else storage or before.storage


def real_data_of(synthetic: SyntheticSet, like: str | None, where: Mapping[str, Any]) -> DataSet:
    """Load the real data to measure with: those named, else those the set stands for."""
    from limbeck.api import real_data
    from limbeck.data import load_dataset

    return real_data(synthetic, **where) if like is None else load_dataset(like, **where)


def told(cost: Mapping[str, Any]) -> str:
    """Say in one line what a number format costs."""
    parts = [cost["before"], cost["after"]]
    if parts[0]["storage"] == parts[1]["storage"]:
        parts = parts[:1]
    figures = ", ".join(f"{p['storage']} {100 * p['mean']:.2f} ± {100 * p['std']:.2f} %" for p in parts)
    error = "" if cost["standard_error"] is None else f" ± {cost['standard_error']:.2f}"
    change = f": {cost['points']:+.2f}{error} points" if len(parts) > 1 else ""
    return f"{figures}{change} ({cost['networks']} x {cost['network']}, protocol {cost['protocol']})"
