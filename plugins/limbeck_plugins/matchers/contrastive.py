"""Contrastive matching: gradients of all classes together, so that what they share cancels and what differs counts.

Paper: Lee, Chun, Jung, Yun, Yoon, "Dataset Condensation with Contrastive Signals", ICML 2022, arXiv:2202.02916:
the distance is between gradients of the loss summed over classes instead of between gradients class by class, and
a bi-level warm-up begins with the latter.
Public code: Saehyung-Lee/DCC (no licence file). Same numbers: both sides are the mean over classes of each class's
mean loss, compared by ``ours``; every class keeps an augmentation draw of its own. Same warm-up, both counters from 0
and both limits the first value that is past it: network ``outer_warmup`` and all later ones are matched jointly from
their first step (its ``ol >= 250``), earlier ones from their step ``inner_warmup`` on (its ``il >= 10``). With the 10
steps a network that it takes at ipc 1 and 10, the second limit is never reached.
Differences: none in the distance. That code stays in the warm-up for good unless it is told ``--contrast``, which here
is the choice of this matcher instead of ``gradient``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from limbeck.matching import StepContext
from limbeck_plugins.matchers.gradient import Gradient


class Contrastive(Gradient):
    """Distance between the gradients of all classes together, after a warm-up class by class (arXiv:2202.02916)."""

    class Options(Gradient.Options):
        """Settings of contrastive matching."""

        outer_warmup: int = Field(250, ge=0, description="networks that begin class by class; 0: none does")
        inner_warmup: int = Field(10, ge=0, description="steps that each of them is matched class by class")

    def scope(self, step: StepContext) -> Literal["group", "joint"]:
        """Say that all classes are compared as one, unless this step belongs to the warm-up."""
        warm = step.iteration >= self.options.outer_warmup or step.outer >= self.options.inner_warmup
        return "joint" if warm else "group"
