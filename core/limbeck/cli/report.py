"""The command that writes the page of a run again."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
def report(run: Path, show: bool) -> None:
    """Write the page of the run in folder RUN again, from what lies in it.

    RUN is the folder that 'limbeck distill --out' wrote; the page is RUN/report.html.
    """
    from limbeck.report import write_report

    path = write_report(run)
    click.echo(path)
    if show:
        click.launch(path.resolve().as_uri())
