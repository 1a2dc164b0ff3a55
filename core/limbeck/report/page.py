"""The page itself: what a run folder holds, put into the template."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from limbeck.evaluation.rows import Evaluation
from limbeck.files import write_atomic
from limbeck.report import figures
from limbeck.report.gallery import gallery
from limbeck.report.run import Run, read_run
from limbeck.report.template import fill

FILE = "report.html"

CLASSES_A_CHART = 25
"""Classes in one chart at most; more are spread over three, which stand side by side where there is room."""


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
    synthetic = figures.find(run.rows, "synthetic")
    random = figures.find(run.rows, "random", like=synthetic)
    return fill(
        "report.html.j2",
        script="report.js",
        run=run,
        set=run.synthetic,
        title=_title(run),
        headline=_headline(run, synthetic, random),
        labels=figures.LABELS,
        gallery=gallery(run, synthetic.per_class if synthetic else []),
        loss=_loss(run),
        class_charts=_class_charts(run, synthetic, random),
        reference=_reference(run, synthetic),
        deviations=run.config.get("deviations") or run.synthetic.provenance.get("deviations") or [],
        commands=_commands(run),
    )


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


def _headline(run: Run, synthetic: Evaluation | None, random: Evaluation | None) -> dict[str, Any] | None:
    """Put the set's accuracy beside random images' and the whole set's."""
    from limbeck.report.charts import accuracies_svg

    if synthetic is None:
        return None
    whole = figures.find(run.rows, "whole")
    rows = (synthetic, random, figures.find(run.rows, "random_bytes", like=synthetic), whole)
    return {
        "row": synthetic,
        "random": random,
        "whole": whole,
        "dots": Markup(accuracies_svg({figures.LABELS[row.label]: row.accuracies for row in rows if row})),
        "over_random": figures.gap(synthetic, random) if random else None,
        "over_whole": figures.gap(synthetic, whole) if whole else None,
    }


def _loss(run: Run) -> dict[str, Any] | None:
    from limbeck.report.charts import loss_curve_svg

    if not run.log:
        return None
    steps, seconds = len(run.log), run.log[-1]["seconds"]
    return {"svg": Markup(loss_curve_svg(run.log)), "steps": steps, "seconds": seconds}


def _class_charts(run: Run, synthetic: Evaluation | None, random: Evaluation | None) -> list[Markup]:
    """Draw the accuracy of each class, some classes a chart."""
    from limbeck.report.charts import class_bars_svg

    names = run.synthetic.spec.class_names
    rows = [row for row in (synthetic, random) if row and len(row.per_class) == len(names)]
    if synthetic not in rows:
        return []
    series = {figures.LABELS[row.label]: row.per_class for row in rows}
    length = len(names) if len(names) <= CLASSES_A_CHART else math.ceil(len(names) / 3)
    parts = [slice(k, k + length) for k in range(0, len(names), length)]
    return [Markup(class_bars_svg(names[p], {k: v[p] for k, v in series.items()})) for p in parts]


def _reference(run: Run, synthetic: Evaluation | None) -> dict[str, Any] | None:
    published = run.config.get("reference")
    if not published or "accuracy" not in published:
        return None
    points = 100 * synthetic.mean - published["accuracy"] if synthetic else None
    return {"std": None, "source": "", **published, "points": points}


def _commands(run: Run) -> Sequence[str]:
    """Return what to type, beside the run folder, to repeat the run and its evaluation."""
    name = run.folder.resolve().name
    config, again = shlex.quote(f"{name}/config.yaml"), shlex.quote(f"{name}-again")
    evaluate = f"limbeck evaluate {shlex.quote(name)}"
    return [f"limbeck distill --config {config} --out {again}", evaluate] if run.config else [evaluate]
