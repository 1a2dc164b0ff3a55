"""Scalars for TensorBoard: a folder a cell, so that strategies, orders and seeds are curves in one chart."""

from __future__ import annotations

import math
import re
from pathlib import Path

from limbeck.errors import MissingExtraError, UsageError
from limbeck_applications.continual.results import Learned, Results

EVENTS = "events.out.tfevents.*"


def require() -> None:
    """Refuse before anything is learned.

    Raises:
        MissingExtraError: tensorboard is not installed.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"--tensorboard needs '{error.name}', which is not installed. Type: pip install 'limbeck[track]'"
        ) from error


def write_scalars(folder: Path, results: Results) -> None:
    """Write every cell's accuracies and costs by experience, in place of what was written of it before.

    Args:
        folder: made if it is not there; each cell gets a folder in it, named by strategy, order and seed.
        results: what is measured so far.

    Raises:
        MissingExtraError: tensorboard is not installed.
        UsageError: the folder cannot be written.
    """
    require()
    for learned in results.learned:
        cell = learned.cell
        place = folder / re.sub(r"[^\w.=-]+", "-", cell.name).strip("-") / f"order-{cell.order}-seed-{cell.seed}"
        try:
            for old in place.glob(EVENTS):
                old.unlink()
            _write(place, learned)
        except OSError as error:
            raise UsageError(
                f"cannot write {place}: {error.strerror}. Choose another place with --tensorboard."
            ) from None


def _write(place: Path, learned: Learned) -> None:
    from torch.utils.tensorboard import SummaryWriter

    matrix = learned.matrix
    with SummaryWriter(str(place)) as writer:
        for t, row in enumerate(learned.rows):
            known = {
                "accuracy/seen so far": matrix.accuracies[t],
                **{f"accuracy/of experience {i + 1}": value for i, value in enumerate(row.accuracies[: t + 1])},
                "seconds/learning": row.seconds,
                "seconds/distilling": row.distilling,
                "kept/bytes": float(row.bytes),
                "kept/images": float(row.images),
            }
            for name, value in known.items():
                if math.isfinite(value):
                    writer.add_scalar(name, value, t + 1)
        if matrix.is_finished:
            for name, metric in matrix.metrics().items():
                if metric is not None and math.isfinite(metric):
                    writer.add_scalar(f"stream/{name.replace('_', ' ')}", metric, matrix.learned)
