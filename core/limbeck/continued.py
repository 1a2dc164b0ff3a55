"""Runs that belong to something larger, which starts them again without asking what is left of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from limbeck.config import RunConfig
from limbeck.distillation import checkpoint
from limbeck.errors import CheckpointError
from limbeck.execution.plan import NAME as PLAN
from limbeck.runs import CONFIG, Finished, Listener, run


def run_on(
    config: RunConfig,
    data: Any = None,
    *,
    folder: Path,
    listener: Callable[[], Listener] = lambda: Listener(warned=lambda text: None),
    restarts: Callable[[CheckpointError], None] = lambda error: None,
    **how: Any,
) -> Finished:
    """Run in a folder, from its checkpoint where it holds one; what cannot be continued begins anew.

    Args:
        config: what to do; the same as when the folder was begun.
        data: real images in place of the data set that ``config`` names.
        folder: the run folder.
        listener: returns who is told, asked again when the run begins anew; nobody by default.
        restarts: told why a checkpoint cannot be continued.
        **how: further arguments of ``limbeck.runs.run``.

    Raises:
        LimbeckError: anything a user can cause; the folder keeps its last good state.
    """
    try:
        return run(config, data, folder=folder, resume=(folder / CONFIG).exists(), listener=listener(), **how)
    except CheckpointError as error:
        restarts(error)
    for name in (checkpoint.NAME, PLAN):
        (folder / name).unlink(missing_ok=True)
    return run(config, data, folder=folder, resume=True, listener=listener(), **how)
