"""A pool of trained networks: every step looks through one of them, somewhere on its way from start to end.

Paper: Wang et al., "Dataset Distillation with Neural Characteristic Function: A Minmax Perspective", CVPR 2025,
arXiv:2502.20653, section 4.2.3. Public code: gszfwsb/NCFM (states no licence). Same numbers: 20 networks, each trained
for 60 epochs with SGD (rate .01, times .2 after two thirds and five sixths, momentum .9, weight decay 5e-4, batch
128); a step's weights are l * start + (1 - l) * end with one l ~ U(0, 1).

Which network a step looks through, and l, follow from the run's seed and the count of networks alone. So two sources
of one run, such as the matcher's and that of a term with ``mix=trained``, look through the same network at each step,
as in the public code, and nothing has to be kept to continue a run. Buffers are those of the trained network.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field

from limbeck.errors import UsageError
from limbeck.matching import NetworkSource, SourceContext, StepContext
from limbeck.networks import State
from limbeck.seeding import generator
from limbeck.trained import NetworkPool, NetworkTraining, Trained


class Pool(NetworkSource):
    """Look through networks trained on real images, which are kept and found again by other runs."""

    class Options(NetworkTraining):
        """How many networks, how they are trained, and what of them is looked through."""

        networks: int = Field(20, ge=1, description="how many are trained")
        seed: int = Field(0, ge=0, description="owner of their weights and orders, whatever the run's seed is")
        mix: Literal["interpolate", "trained"] = Field(
            "interpolate", description="look through weights between start and end, or through the trained ones"
        )
        outer: int = Field(1, ge=1, description="steps each draw of a network serves")

    trial_options: ClassVar = {"networks": 2, "epochs": 1}

    _pool: list[Trained]

    def prepare(self, context: SourceContext) -> None:
        """Train the networks, or find them.

        Raises:
            UsageError: there are no real images to train them on.
        """
        super().prepare(context)
        if context.real is None:
            raise UsageError("source 'pool' trains networks on real images, and this run has none.")
        pool = NetworkPool(context.network, context.real, self.options, self.options.seed, context.cache)
        self._pool = pool.take(self.options.networks, chunk=context.chunk(), on_epoch=context.on_epoch)
        self.spent = {trained.key: trained.seconds for trained in self._pool}

    @property
    def num_outer(self) -> int:
        """Steps a draw."""
        return int(self.options.outer)

    def state(self, step: StepContext) -> State:
        """Return the weights of this step's network, on its way from start to end."""
        draw = generator(self.context.generators.seed, "pool", step.iteration)
        trained = self._pool[int(torch.randint(len(self._pool), (1,), generator=draw))]
        share = float(torch.rand(1, generator=draw)) if self.options.mix == "interpolate" else 0.0
        weights = set(self.context.network.parameter_names)
        return {
            name: torch.lerp(end, trained.start[name], share) if name in weights else end.clone()
            for name, end in trained.state.items()
        }
