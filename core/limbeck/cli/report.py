"""The command that writes the page of a run or of a comparison again."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
def report(folder: Path, show: bool) -> None:
    """Write the page of the run or the comparison in FOLDER again, from what lies in it.

    FOLDER is what 'limbeck distill --out' wrote, whose page is FOLDER/report.html, or what 'limbeck compare --out'
    wrote: then FOLDER/compare.html and its tables rows.csv and table.csv are written again. Nothing is run.
    """
    from limbeck.compare import ROWS
    from limbeck.report import write_report
    from limbeck.report.comparison import rewrite_comparison

    path = rewrite_comparison(folder) if (folder / ROWS).exists() else write_report(folder)
    click.echo(path)
    if show:
        click.launch(path.resolve().as_uri())
