"""A learning rate that halves where the loss stops falling, without a look at the loss in every step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

FACTOR = 0.5
THRESHOLD = 1e-4
"""Share of the best loss by which another must be lower to count."""
LOOK_EVERY = 10
"""Steps between two looks of the host at the rate; at the same steps in a resumed run."""

HIGHEST = torch.finfo(torch.float64).max

BEST, WAITED, SCALE, APPLIED = range(4)


class Plateau:
    """Halves one learning rate when the loss has not fallen for more than ``patience`` steps.

    The rule of ``torch.optim.lr_scheduler.ReduceLROnPlateau``, kept on the images' device; a lower rate takes effect
    at the next look, up to ten steps later.

    Args:
        group: the optimiser's group whose rate is moved.
        patience: steps without a lower loss that are waited for.
        like: a tensor on the device.

    Attributes:
        state: lowest loss, steps waited, factor found, factor in effect, float64 [4].
    """

    def __init__(self, group: dict[str, Any], patience: int, like: Tensor) -> None:
        self._group, self._patience, self._rate = group, patience, float(group["lr"])
        self.state = torch.tensor([HIGHEST, 0.0, 1.0, 1.0], dtype=torch.float64, device=like.device)

    def observe(self, loss: Tensor, step: int) -> None:
        """Take note of the loss of a step, a scalar left where it is; the rate may change for the next one."""
        best, waited, scale, applied = self.state.unbind()
        falls = loss < best * (1 - THRESHOLD)
        waited = torch.where(falls, 0.0, waited + 1)
        ends = waited > self._patience
        scale = torch.where(ends, scale * FACTOR, scale)
        looks = (step + 1) % LOOK_EVERY == 0
        found = torch.where(falls, loss.to(best.dtype), best), torch.where(ends, 0.0, waited), scale
        self.state = torch.stack([*found, scale if looks else applied])
        if looks:
            self._group["lr"] = self._rate * float(scale)

    def restore(self, group: dict[str, Any], state: Tensor) -> None:
        """Continue from a kept ``state``, [4], with the optimiser's group as it now is."""
        self._group, self.state = group, state.clone()
        group["lr"] = self._rate * float(state[APPLIED])
