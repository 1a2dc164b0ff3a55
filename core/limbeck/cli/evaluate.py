"""``limbeck evaluate``: measure a synthetic set again, by its own recipe or another protocol."""

from __future__ import annotations

from pathlib import Path

import click

EPILOG = """\b
Examples:
  limbeck evaluate runs/dm-digits-ipc10
  limbeck evaluate runs/dm-digits-ipc10 --network convnet-d2-w64-bn --networks 10
  limbeck evaluate runs/dm-digits-ipc10 --protocol dc --set epochs=100
"""


@click.command(epilog=EPILOG)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--data", metavar="NAME", help="Real data to test on.  [default: what the set was distilled from]")
@click.option(
    "--protocol", metavar="NAME", help="Named procedure in place of the set's recipe; see 'limbeck list protocols'."
)
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="An option of the protocol; repeatable.")
@click.option("--network", metavar="NAME", help="Another network than the recipe's.")
@click.option(
    "--networks", type=click.IntRange(min=1), default=5, show_default=True, help="Networks trained from scratch."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--executor", default="serial", show_default=True, help="serial, or processes to train several at once.")
@click.option(
    "--data-root", type=click.Path(path_type=Path), help="Folder of data sets.  [default: $LIMBECK_DATA or data]"
)
@click.option("--download", is_flag=True, help="Fetch missing data; without it nothing touches the network.")
@click.option("--no-baselines", is_flag=True, help="Leave out random subsets and the whole data set.")
def evaluate(
    folder: Path,
    protocol: str | None,
    pairs: tuple[str, ...],
    network: str | None,
    networks: int,
    seed: int,
    device: str,
    executor: str,
    data: str | None,
    data_root: Path | None,
    download: bool,
    no_baselines: bool,
) -> None:
    """Train fresh networks on the set in FOLDER and test them on the real test images.

    Finished networks are kept in FOLDER/networks, so a second call trains only what is new.
    """
    from limbeck.api import chosen_recipe, real_data
    from limbeck.cli.distill import cache_folder
    from limbeck.cli.screen import Screen
    from limbeck.config import RunConfig, Spec, assignments
    from limbeck.data import load_dataset
    from limbeck.errors import UsageError
    from limbeck.execution.device import keep_freed_memory, resolve_device
    from limbeck.files import folder_lock
    from limbeck.runs import measure
    from limbeck.synthetic import SyntheticSet

    synthetic = SyntheticSet.load(folder)
    folder = folder.parent if folder.is_file() else folder
    if pairs and protocol is None:
        raise UsageError("--set gives options of a protocol: name one, for example --protocol dc.")
    spec = None if protocol is None else {"name": protocol, **assignments(pairs)}
    recipe = chosen_recipe(synthetic, spec, network)
    place = resolve_device(device)
    if place.type == "cpu":
        keep_freed_memory()
    if data is None:
        real = real_data(synthetic, data_root=data_root, download=download, device=place)
    else:
        real = load_dataset(data, data_root=data_root, download=download, device=place)
    config = RunConfig.model_validate(
        {
            "selector": {"name": "random"},
            "seed": seed,
            "evaluation": {"networks": networks, "baselines": not no_baselines},
            "execution": {"device": device, "executor": Spec(name=executor)},
        }
    )
    with folder_lock(folder), Screen() as screen:
        again = synthetic.with_(recipe=recipe.to_dict())
        screen.measured(measure(config, real, again, folder / "networks", cache_folder(), screen.listener()))
