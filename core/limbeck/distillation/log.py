"""Losses stay on the device until they are looked at together; each look is one transfer."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from torch import Tensor

from limbeck.config import SYN_LR
from limbeck.errors import DivergenceError
from limbeck.files import append, content_key, write_atomic

NAME = "log.jsonl"

SLACK = 1e-3
"""By which a rate may be out of its range, which is no more than rounding at its ends."""


class LossLog:
    """The losses of a run: collected on the device, checked and written in lots.

    Args:
        folder: the run folder, or None to keep them in memory only.
        first_step: the step the next loss belongs to; later rows of an earlier process are dropped.
    """

    def __init__(self, folder: Path | None, first_step: int) -> None:
        self.path = None if folder is None else folder / NAME
        self.next_step = first_step
        self._pending: list[Tensor] = []
        self._rates: list[Tensor] = []
        self.rows: list[dict[str, float]] = []
        if self.path is not None and self.path.exists():
            lines = self.path.read_text(errors="replace").splitlines()
            self.rows = [row for row in map(read_row, lines) if row is not None and row["step"] < first_step]
            write_atomic(self.path, "".join(map(_line, self.rows)).encode())

    def add(self, loss: Tensor, syn_lr: Tensor | None = None) -> None:
        """Keep one step's loss where it is, and the students' learning rate after it where there is one."""
        self._pending.append(loss)
        if syn_lr is not None:
            self._rates.append(syn_lr)

    def __len__(self) -> int:
        return len(self._pending)

    def flush(self, seconds: float, images: Tensor, hint: str) -> tuple[int, list[float]]:
        """Bring the pending losses over, check them, write them.

        Args:
            seconds: time spent distilling so far.
            images: the synthetic images; they must be finite too.
            hint: what to do about a divergence, a full sentence.

        Returns:
            The first step of the lot and its losses.

        Raises:
            DivergenceError: a loss or an image is no finite number, or the students' learning rate has left its
                range; names the first bad step.
        """
        first, count = self.next_step, len(self._pending)
        finite = torch.isfinite(images).all().to(self._pending[0].dtype)
        values = torch.stack([finite, *self._pending, *self._rates]).tolist()
        images_finite, losses, rates = bool(values[0]), values[1 : count + 1], values[count + 1 :]
        for offset, loss in enumerate(losses):
            if not math.isfinite(loss):
                raise DivergenceError(f"the loss became {loss} at step {first + offset}. {hint}")
        if not images_finite:
            raise DivergenceError(f"the images stopped being finite by step {first + len(losses) - 1}. {hint}")
        for offset, rate in enumerate(rates):
            if not SYN_LR[0] * (1 - SLACK) <= rate <= SYN_LR[1] * (1 + SLACK):
                raise DivergenceError(
                    f"the students' learning rate syn_lr left its range from {SYN_LR[0]:g} to {SYN_LR[1]:g} at step "
                    f"{first + offset}: it became {rate:.3g}. Lower optimiser.lr_lr or optimiser.lr_img."
                )
        rows = [{"step": first + i, "loss": loss, "seconds": round(seconds, 4)} for i, loss in enumerate(losses)]
        for row, rate in zip(rows, rates, strict=bool(rates)):
            row["syn_lr"] = rate
        self.rows += rows
        if self.path is not None:
            append(self.path, "".join(map(_line, rows)))
        self.next_step += len(losses)
        self._pending, self._rates = [], []
        return first, losses


def _line(row: dict[str, float]) -> str:
    """Write one row with its checksum, so that a damaged one is noticed."""
    return json.dumps({**row, "check": _check(row)}) + "\n"


def read_row(line: str) -> dict[str, float] | None:
    """Read one row; one that a kill cut short or that was altered counts as absent, as does one that is not finite."""
    try:
        stored = json.loads(line)
        row = {key: stored[key] for key in ("step", "loss", "seconds")}
        row |= {key: stored[key] for key in ("syn_lr",) if key in stored}
        is_whole = stored.get("check", _check(row)) == _check(row)
        return row if is_whole and all(map(math.isfinite, row.values())) else None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def _check(row: dict[str, float]) -> str:
    return content_key(row)[:8]
