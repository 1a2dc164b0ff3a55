"""The page itself: what a run folder holds, put into the template."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from limbeck.errors import LimbeckError
from limbeck.evaluation.scores import scores_of
from limbeck.files import write_atomic
from limbeck.plugins import registry
from limbeck.report.gallery import gallery
from limbeck.report.run import Run, read_run
from limbeck.report.sections import class_bars, crossed, headline, learning, loss, rate, reference
from limbeck.report.template import fill
from limbeck.synthetic import Formation, SyntheticSet

FILE = "report.html"


def write_report(folder: Path) -> Path:
    """Write the page of a run into its folder: one file that needs no other and no network.

    Args:
        folder: a run folder, or any folder that holds a synthetic set. What else is there (configuration,
            losses, first images, evaluation) is shown as far as it exists.

    Returns:
        The file written.

    Raises:
        UsageError: no such folder, no synthetic set in it, or it cannot be written to.
        ArtifactError: a file in it was truncated or altered.
    """
    path = folder / FILE
    write_atomic(path, render(read_run(folder)).encode())
    return path


def render(run: Run) -> str:
    """Return the page as HTML; every text of the run is escaped."""
    found = headline(run)
    return fill(
        "report.html.j2",
        script="report.js",
        run=run,
        set=run.synthetic,
        title=_title(run),
        headline=found,
        scores=scores_of(run.rows),
        features=run.synthetic.provenance.get("features"),
        growth=run.synthetic.provenance.get("growth"),
        formed=_formed(run.synthetic),
        gallery=gallery(run, found["row"].per_class if found else []),
        loss=loss(run),
        rate=rate(run),
        learning=learning(found),
        bars=class_bars(run, found),
        crossed=crossed(run),
        reference=reference(run, found),
        deviations=run.config.get("deviations") or run.synthetic.provenance.get("deviations") or [],
        loose=_loose(run),
        commands=_commands(run),
    )


def _formed(synthetic: SyntheticSet) -> int | None:
    """Return how many images networks train on, or None where they are the stored ones or nobody here can say."""
    named = synthetic.recipe.get("formation")
    if not named:
        return None
    try:
        formation: Formation = registry().create("formations", named).for_data(synthetic.spec)
    except LimbeckError:
        return None
    count = len(formation.formed(synthetic.normalised(), synthetic.group, "evaluate")[0])
    return None if count == len(synthetic) else count


def _title(run: Run) -> dict[str, Any]:
    """Say what was distilled by what, from the configuration or from what the set says of itself."""
    config = _settings(run)
    matcher = (config.get("matcher") or {}).get("name")
    return {
        "method": config.get("method") or run.synthetic.provenance.get("method") or matcher or "synthetic set",
        "matcher": matcher,
        "data": run.synthetic.spec.name,
        "ipc": config.get("ipc") or max(run.synthetic.counts, default=0),
        "network": config.get("network") or run.synthetic.recipe.get("network"),
        "seed": config.get("seed"),
        "made": "distilled" if matcher or not config else "selected",
    }


def _settings(run: Run) -> dict[str, Any]:
    return run.config or run.synthetic.provenance.get("settings") or {}


def _commands(run: Run) -> list[str]:
    """Return what to type, beside the run folder, to repeat the run and its evaluation."""
    name = run.folder.resolve().name
    command = " ".join(["limbeck", *(f"-p {shlex.quote(file)}" for file in _loose(run))])
    config, again = shlex.quote(f"{name}/config.yaml"), shlex.quote(f"{name}-again")
    evaluate = f"{command} evaluate {shlex.quote(name)}"
    return [f"{command} distill --config {config} --out {again}", evaluate] if run.config else [evaluate]


def _loose(run: Run) -> list[str]:
    """Return the plugin files the run was given, which have names but no versions."""
    loaded = [str(one) for one in run.environment.get("plugins", [])]
    used = [str(one["distribution"]) for one in run.synthetic.provenance.get("plugins", []) if not one["version"]]
    return [name for name in dict.fromkeys([*loaded, *used]) if name.endswith(".py")]
