"""The parts of a page, each as what its template needs, or None where a run has nothing to show there."""

from __future__ import annotations

import math
from typing import Any

from markupsafe import Markup

from limbeck.report import figures
from limbeck.report.run import Run

CLASSES_A_CHART, CLASSES_DRAWN = 25, 150
"""Classes in one chart at most; more are spread over three, which stand side by side where there is room. And
classes drawn at all."""

Section = dict[str, Any]


def headline(run: Run) -> Section | None:
    """Put the set's accuracy beside random images' and the whole set's."""
    from limbeck.report.charts import accuracies_svg

    synthetic = figures.find(run.rows, "synthetic")
    if synthetic is None:
        return None
    random = figures.find(run.rows, "random", like=synthetic)
    whole = figures.find(run.rows, "whole")
    rows = (synthetic, random, figures.find(run.rows, "random_bytes", like=synthetic), whole)
    return {
        "row": synthetic,
        "random": random,
        "whole": whole,
        "dots": Markup(accuracies_svg({figures.label(row.label): row.accuracies for row in rows if row})),
        "over_random": figures.gap(synthetic, random) if random else None,
        "over_whole": figures.gap(synthetic, whole) if whole else None,
    }


def loss(run: Run) -> Section | None:
    """Draw the loss of every step."""
    from limbeck.report.charts import loss_curve_svg

    if not run.log:
        return None
    steps, seconds = len(run.log), run.log[-1]["seconds"]
    return {"svg": Markup(loss_curve_svg(run.log)), "steps": steps, "seconds": seconds}


def rate(run: Run) -> Section | None:
    """Draw the learning rate of students, where it was learned: the whole of it, and where it began and ended."""
    from limbeck.report.charts import rate_curve_svg

    rows = [row for row in run.log if "syn_lr" in row]
    first, last = (rows[0]["syn_lr"], rows[-1]["syn_lr"]) if rows else (None, None)
    if first is None or all(row["syn_lr"] == first for row in rows):
        return None
    return {"svg": Markup(rate_curve_svg(rows)), "first": first, "last": last}


def learning(head: Section | None) -> Section | None:
    """Draw how networks learn, from the set and from random images, where they were tested on the way."""
    from limbeck.report.charts import learning_curves_svg

    rows = [row for row in (head["row"], head["random"]) if row and row.curves] if head else []
    if not rows:
        return None
    curves = {figures.label(row.label): (row.tests, row.curves) for row in rows}
    return {"svg": Markup(learning_curves_svg(curves)), "names": list(curves)}


def class_bars(run: Run, head: Section | None) -> Section | None:
    """Draw the accuracy of each class, some classes a chart; of very many only those that do worst."""
    from limbeck.report.charts import class_bars_svg

    names = run.synthetic.spec.class_names
    rows = [row for row in (head["row"], head["random"]) if row and len(row.per_class) == len(names)] if head else []
    if head is None or head["row"] not in rows:
        return None
    order = list(range(len(names)))
    if len(names) > CLASSES_DRAWN:
        order = sorted(order, key=lambda k: _or_best(rows[0].per_class[k]))[:CLASSES_DRAWN]
    length = len(order) if len(order) <= CLASSES_A_CHART else math.ceil(len(order) / 3)
    parts = [order[k : k + length] for k in range(0, len(order), length)]
    series = {figures.label(row.label): row.per_class for row in rows}
    return {
        "charts": [
            Markup(class_bars_svg([names[k] for k in part], {n: [v[k] for k in part] for n, v in series.items()}))
            for part in parts
        ],
        "names": list(series),
        "worst": len(order) if len(order) < len(names) else None,
    }


def _or_best(accuracy: float) -> float:
    """Sort a class without test images behind all others."""
    return 2.0 if math.isnan(accuracy) else accuracy


def crossed(run: Run) -> list[Section]:
    """Put networks side by side, for each pool that was measured."""
    from limbeck.report.charts import accuracies_svg

    own = str(run.synthetic.recipe.get("network"))
    return [
        {
            "table": table,
            "own": own,
            "dots": Markup(accuracies_svg({one.network: one.row.accuracies for one in table.rows}, accent=own))
            if table.rows
            else "",
        }
        for table in run.tables
    ]


def reference(run: Run, head: Section | None) -> Section | None:
    """Put the published figure beside the run's."""
    published = run.config.get("reference")
    if not published or "accuracy" not in published:
        return None
    points = 100 * head["row"].mean - published["accuracy"] if head else None
    return {"std": None, "source": "", **published, "points": points}
