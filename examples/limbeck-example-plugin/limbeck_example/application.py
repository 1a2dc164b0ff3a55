"""An application: it takes a synthetic set and components of its own kind, found by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

import limbeck
from limbeck.plugins import registry

if TYPE_CHECKING:
    from torch import Tensor


def by_class(synthetic: limbeck.SyntheticSet, measure: str) -> dict[str, float]:
    """Return the mean of a measure over the images of each class.

    Args:
        synthetic: the set.
        measure: a name of the kind ``image_measures``.
    """
    values: Tensor = registry().create("image_measures", measure).measure(synthetic.unit())
    names = synthetic.spec.class_names
    return {name: float(values[synthetic.group == i].mean()) for i, name in enumerate(names)}


@click.command("example-measure")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--measure", "name", default="brightness", show_default=True, help="See 'limbeck list image_measures'.")
def measure(folder: Path, name: str) -> None:
    """Measure the images of the synthetic set in FOLDER, class by class."""
    for label, value in by_class(limbeck.SyntheticSet.load(folder), name).items():
        click.echo(f"{label}  {value:.4f}")
