"""``limbeck evaluate``: measure a synthetic set again, by its own recipe, another protocol, or on many networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from limbeck.config import RunConfig
    from limbeck.data import DataSet
    from limbeck.evaluation import Recipe
    from limbeck.synthetic import SyntheticSet

EPILOG = """\b
Examples:
  limbeck evaluate runs/dm-digits-ipc10
  limbeck evaluate runs/dm-digits-ipc10 --network convnet-d2-w64-bn --networks 10
  limbeck evaluate runs/dm-digits-ipc10 --protocol dc --set epochs=100
  limbeck evaluate runs/dm-digits-ipc10 --pool cross --networks 1,mlp=3,convnet=3
  limbeck evaluate runs/dm-digits-ipc10 --scores
"""

CHOSEN = "chosen"
"""What a table of networks named on the command line is called in place of a pool's name."""


@click.command(epilog=EPILOG)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--data", metavar="NAME", help="Real data to test on.  [default: what the set was distilled from]")
@click.option(
    "--protocol", metavar="NAME", help="Named procedure in place of the set's recipe; see 'limbeck list protocols'."
)
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="An option of the protocol; repeatable.")
@click.option("--network", metavar="NAME", help="Another network than the recipe's.")
@click.option("--pool", metavar="NAME", help="Every network of a pool, as one table; see 'limbeck list pools'.")
@click.option(
    "--networks",
    "counts",
    default="5",
    show_default=True,
    metavar="N|NAME=N,...",
    help="Networks trained from scratch; of each name, for a table of these networks or parts of a pool.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the networks.  [default: the run's, else 0]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1.")
@click.option("--executor", default="serial", show_default=True, help="serial, or processes to train several at once.")
@click.option(
    "--data-root", type=click.Path(path_type=Path), help="Folder of data sets.  [default: $LIMBECK_DATA or data]"
)
@click.option("--download", is_flag=True, help="Fetch missing data; without it nothing touches the network.")
@click.option("--no-baselines", is_flag=True, help="Leave out random subsets and the whole data set.")
@click.option("--scores", is_flag=True, help="Measure what LRS and ARS need too, and show these scores.")
def evaluate(
    folder: Path,
    protocol: str | None,
    pairs: tuple[str, ...],
    network: str | None,
    pool: str | None,
    counts: str,
    seed: int | None,
    device: str,
    executor: str,
    data: str | None,
    data_root: Path | None,
    download: bool,
    no_baselines: bool,
    scores: bool,
) -> None:
    """Train fresh networks on the set in FOLDER and test them on the real test images.

    Finished networks are kept in FOLDER/networks, so a second call trains only what is new. Rows measured by the set's
    own recipe go into FOLDER/evaluation.json, rows measured otherwise into FOLDER/evaluations, tables of many networks
    into FOLDER/cross_architecture.json; the page FOLDER/report.html shows all of them.
    """
    from limbeck.api import chosen_recipe, real_data
    from limbeck.config import BASELINES, RunConfig, Spec, assignments
    from limbeck.data import load_dataset
    from limbeck.errors import UsageError
    from limbeck.evaluation import rows_for_scores
    from limbeck.execution.device import keep_freed_memory, resolve_device
    from limbeck.files import folder_lock
    from limbeck.report import write_report
    from limbeck.synthetic import SyntheticSet

    synthetic = SyntheticSet.load(folder)
    folder = folder.parent if folder.is_file() else folder
    if pairs and protocol is None:
        raise UsageError("--set gives options of a protocol: name one, for example --protocol dc.")
    if scores and (no_baselines or pool or "=" in counts):
        raise UsageError("--scores compares with the baselines of one network: leave out --no-baselines and pools.")
    count, named = parse_counts(counts)
    members = _members(pool, count, named, network, synthetic)
    spec = None if protocol is None else {"name": protocol, **assignments(pairs)}
    recipe = chosen_recipe(synthetic, spec, network)
    place = resolve_device(device)
    if place.type == "cpu":
        keep_freed_memory()
    beside = (*BASELINES, *rows_for_scores(synthetic.label_kind, recipe))
    config = RunConfig.model_validate(
        {
            "selector": {"name": "random"},
            "seed": synthetic.provenance.get("settings", {}).get("seed", 0) if seed is None else seed,
            "evaluation": {"networks": count, "baselines": beside if scores else not no_baselines},
            "execution": {"device": device, "executor": Spec(name=executor)},
        }
    )
    where: dict[str, Any] = {"data_root": data_root, "download": download, "device": place}
    real = real_data(synthetic, **where) if data is None else load_dataset(data, **where)
    asked = Asked(folder, synthetic, real, config, spec, is_own=data is None)
    with folder_lock(folder):
        if members:
            _over_networks(asked, members, pool or CHOSEN)
        else:
            _by_one_recipe(asked, recipe)
        write_report(folder)


@dataclass(frozen=True)
class Asked:
    """What is measured, on what, and how.

    Attributes:
        folder: that holds the set, and where everything is kept.
        synthetic: the set.
        real: the data to test on.
        config: seed, number of networks, baselines and where they are trained.
        protocol: with its options, or None for the set's own recipe.
        is_own: whether ``real`` is what the set was distilled from.
    """

    folder: Path
    synthetic: SyntheticSet
    real: DataSet
    config: RunConfig
    protocol: dict[str, Any] | None
    is_own: bool


def parse_counts(text: str) -> tuple[int, dict[str, int]]:
    """Read ``--networks``: a number, numbers by network name, or both.

    Args:
        text: for example ``5``, ``mlp=3,vgg11=1``, ``1,mlp=3``.

    Returns:
        The number without a name (5 where there is none), and the numbers by name.

    Raises:
        UsageError: not such a list, or a number below 1.
    """
    from limbeck.errors import UsageError

    count, named = 5, {}
    for part in text.split(","):
        name, _, digits = part.rpartition("=")
        if not digits.strip().isdecimal() or int(digits) < 1 or ("=" in part and not name.strip()):
            raise UsageError(
                f"--networks {text}: '{part}' is no number of networks. Give 1 or more, for example 5, or numbers by "
                "name, for example mlp=3,vgg11=1."
            )
        if name:
            named[name.strip()] = int(digits)
        else:
            count = int(digits)
    return count, named


def _members(
    pool: str | None, count: int, named: Mapping[str, int], network: str | None, synthetic: SyntheticSet
) -> dict[str, int]:
    """Return the networks of a table with their numbers; none where there is but one recipe to measure by."""
    from limbeck.errors import UsageError
    from limbeck.evaluation.cross import member_counts
    from limbeck.plugins import registry

    if pool is None and not named:
        return {}
    if network is not None:
        raise UsageError(f"--network {network} names one network: leave it out, or leave out --pool and named numbers.")
    own = str(synthetic.recipe.get("network", ""))
    members = None if pool is None else registry().create("pools", pool).members(own)
    return member_counts(members, count, named, pool or CHOSEN)


def _by_one_recipe(asked: Asked, recipe: Recipe) -> None:
    """Measure beside baselines, and keep the rows where they belong."""
    from limbeck.cli.distill import cache_folder
    from limbeck.cli.screen import Screen
    from limbeck.evaluation import Recipe, scores_of
    from limbeck.evaluation.kept import keep_other, keep_rows
    from limbeck.runs import measure

    folder, synthetic, real = asked.folder, asked.synthetic, asked.real
    again = synthetic.with_(recipe=recipe.to_dict())
    with Screen() as screen:
        rows = measure(asked.config, real, again, folder / "networks", cache_folder(), screen.listener())
        if asked.is_own and recipe == Recipe.from_dict(synthetic.recipe):
            keep_rows(folder, synthetic, rows)
        else:
            keep_other(folder, recipe, real.spec.name, rows)
        screen.measured(rows)
        screen.scored(scores_of(rows))


def _over_networks(asked: Asked, members: Mapping[str, int], pool: str) -> None:
    """Measure on one network after the other, keep the table after each, and show it."""
    import torch

    from limbeck.api import chosen_recipe
    from limbeck.cli.screen import Screen
    from limbeck.errors import LimbeckError
    from limbeck.evaluation.cross import CrossTable, cross_architecture, save_table
    from limbeck.plugins import registry

    config = asked.config
    with Screen(networks=sum(members.values())) as screen:
        table = cross_architecture(
            CrossTable(pool, asked.protocol, asked.real.spec.name),
            asked.synthetic,
            asked.real,
            members,
            lambda name: chosen_recipe(asked.synthetic, asked.protocol, name),
            seed=config.seed,
            dtype=getattr(torch, config.execution.precision),
            executor=registry().create("executors", config.execution.executor.model_dump()),
            cache=asked.folder / "networks",
            on_result=lambda name, number, result: screen.network(name, number, result["accuracy"]),
            on_row=lambda table: save_table(asked.folder, table),
        )
        screen.crossed(table)
    if not table.rows:
        raise LimbeckError(f"no network could be measured: {next(iter(table.failures.values()))}")
