"""A network that trains while it is looked through: the outer and inner loops of gradient matching.

Paper: arXiv:2006.05929, Algorithm 1. Each network serves ``outer`` steps; after every step but the last it trains
``inner`` epochs, on the synthetic set as it stands (the paper's) or on real images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from limbeck import Options as OptionsBase
from limbeck.matching import NetworkSource, SourceContext, StepContext
from limbeck.networks import State
from limbeck.seeding import derive_seed
from limbeck.training import Epochs, TrainData, fit

MOST_OUTER, PRODUCT = 50, 500
"""The published loops take about ipc steps, 50 at most, with steps times epochs close to 500."""


class Inner(NetworkSource):
    """Train the network between steps on what has been distilled so far, or on real images."""

    class Options(OptionsBase):
        """Settings of the two loops."""

        outer: int | None = Field(None, ge=1, description="steps a network; min(ipc, 50) when not given")
        inner: int | None = Field(
            None, ge=1, description="epochs between two steps; 500 / outer when not given, 1 at ipc 1"
        )
        on: Literal["synthetic", "real"] = Field("synthetic", description="what the network trains on")
        real_images: int = Field(512, ge=1, description="real images drawn anew for each training, with on=real")
        lr_net: float = Field(0.01, gt=0, description="learning rate of plain SGD")
        momentum: float = Field(0.0, ge=0, lt=1, description="momentum of the network's SGD")
        weight_decay: float = Field(0.0, ge=0, description="weight decay of the network's SGD")
        batch_train: int = Field(256, ge=1, description="batch size of inner training")

    trial_options: ClassVar = {"outer": 3, "inner": 1}

    _current: State

    def prepare(self, context: SourceContext) -> None:
        """Fix the loop counts for this run's ipc."""
        super().prepare(context)
        self._outer = self.options.outer or min(context.ipc, MOST_OUTER)
        self._epochs = self.options.inner or (1 if self._outer == 1 else round(PRODUCT / self._outer))
        self._current = {}

    @property
    def num_outer(self) -> int:
        """Steps a network."""
        return self._outer

    def state(self, step: StepContext) -> State:
        """Return the walking network; start a new one when an iteration begins."""
        if step.outer == 0:
            self._current = self.context.network.initial(self.context.generators.init)
        return self._current

    def advance(self, step: StepContext) -> None:
        """Train the network, unless the next step starts a new one."""
        if step.outer == step.num_outer - 1:
            return
        result = fit(
            self.context.network,
            start=[self._current],
            data=self.context.synthetic() if self.options.on == "synthetic" else self._real(),
            labels=self.context.labels if self.options.on == "synthetic" else None,
            lr=self.options.lr_net,
            momentum=self.options.momentum,
            weight_decay=self.options.weight_decay,
            budget=Epochs(self._epochs),
            batch_size=self.options.batch_train,
            chunk=self.context.chunk(),
            augmentation=self.context.augmentation,
            seeds=[derive_seed(self.context.generators.seed, "train", step.step)],
        )
        self._current = result.states[0]

    def _real(self) -> TrainData:
        real = self.context.real
        if real is None:
            raise ValueError("training on real images needs real images")
        generator = self.context.generators.train
        index = torch.randperm(len(real), generator=generator, device=generator.device)[: self.options.real_images]
        return TrainData(real.take(index), real.labels[index])

    def state_dict(self) -> dict[str, Tensor]:
        """Return the walking network's weights."""
        return dict(self._current)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take the walking network up again."""
        self._current = dict(state)
