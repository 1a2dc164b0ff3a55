"""A network that trains while it is looked through: the outer and inner loops of gradient matching.

Paper: arXiv:2006.05929, Algorithm 1. Each network serves ``outer`` steps; after every step but the last it trains, on
the synthetic set as it stands (the paper's, ``inner`` epochs with an optimiser of their own) or on real images, as
Kim et al., "Dataset Condensation via Efficient Synthetic-Data Parameterization" (IDC, arXiv:2205.14959), section 4.2.
Public code of the latter: snu-mllab/Efficient-Dataset-Condensation (MIT), whose counting is kept: whole batches until
``real_images`` have been seen, drawn without replacement from one shuffled pass over the real set after another, and
one optimiser, with its momentum, for all that a network learns. Different: each network begins a pass of its own, and
is not trained after its last step, when nobody looks through it any more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from limbeck import Options as OptionsBase
from limbeck.augment import Augmentation
from limbeck.config import Spec
from limbeck.data import RealData
from limbeck.errors import UsageError
from limbeck.matching import NetworkSource, SourceContext, StepContext
from limbeck.networks import State
from limbeck.plugins import registry
from limbeck.seeding import derive_seed
from limbeck.synthetic import LabelProjector
from limbeck.training import Budget, Epochs, FitResult, Samples, Steps, fit

MOST_OUTER, PRODUCT = 50, 500
"""The published loops take about ipc steps, 50 at most, with steps times epochs close to 500."""

TRAINED = "training."
"""Before the names of what a training on real images goes on from."""


class Inner(NetworkSource):
    """Train the network between steps on what has been distilled so far, or on real images."""

    class Options(OptionsBase):
        """Settings of the two loops."""

        outer: int | None = Field(None, ge=1, description="steps a network; min(ipc, 50) when not given")
        inner: int | None = Field(
            None,
            ge=1,
            description="epochs between two steps, with on=real of real_images each; when not given 500 / outer, "
            "but 1 at ipc 1 and with on=real",
        )
        on: Literal["synthetic", "real"] = Field("synthetic", description="what the network trains on")
        real_images: int = Field(
            512, ge=1, description="real images of an epoch with on=real, filled up to whole batches"
        )
        augmentation: Spec | None = Field(
            None, description="of the images it trains on; the run's own when not given, 'none' for none"
        )
        lr_net: float = Field(0.01, gt=0, description="learning rate of plain SGD")
        momentum: float = Field(0.0, ge=0, lt=1, description="momentum of the network's SGD")
        weight_decay: float = Field(0.0, ge=0, description="weight decay of the network's SGD")
        batch_train: int = Field(256, ge=1, description="batch size of inner training")

    trial_options: ClassVar = {"outer": 3, "inner": 1}

    _current: State
    _trained: dict[str, Tensor]
    """With on=real, all that the walking network's training goes on from."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        spec: Spec | None = self.options.augmentation
        self._augmentation: Augmentation | None = None
        if spec is not None and spec.name != "none":
            self._augmentation = registry().create("augmentations", spec.model_dump())

    def prepare(self, context: SourceContext) -> None:
        """Fix the loop counts for this run's ipc, and the augmentation for its data.

        Raises:
            UsageError: real images are asked for in a run without any.
        """
        super().prepare(context)
        options, real = self.options, context.real
        if options.on == "real" and real is None:
            raise UsageError("source.on=real needs real images, and this run has none. Type source.on=synthetic.")
        if options.augmentation is None:
            self._augmentation = context.augmentation
        elif self._augmentation is not None and real is not None:
            self._augmentation = self._augmentation.for_data(real.spec)
        self._outer = options.outer or min(context.ipc, MOST_OUTER)
        usual = 1 if self._outer == 1 or options.on == "real" else round(PRODUCT / self._outer)
        self._epochs = options.inner or usual
        self._current, self._trained = {}, {}

    @property
    def num_outer(self) -> int:
        """Steps a network."""
        return self._outer

    def state(self, step: StepContext) -> State:
        """Return the walking network; start a new one when an iteration begins."""
        if step.outer == 0:
            self._current = self.context.network.initial(self.context.generators.init)
            self._trained = {}
        return self._current

    def advance(self, step: StepContext) -> None:
        """Train the network, unless the next step starts a new one."""
        if step.outer == step.num_outer - 1:
            return
        if self.options.on == "synthetic":
            result = self._fit(step.step, self.context.synthetic(), self.context.labels, Epochs(self._epochs))
        else:
            batches = self._epochs * math.ceil(self.options.real_images / self.options.batch_train)
            real, first = self._real(), step.step - step.outer
            result = self._fit(first, real, None, Steps((step.outer + 1) * batches), self._trained)
            self._trained = result.checkpoint
        self._current = result.states[0]

    def _fit(
        self,
        owner: int,
        data: Samples,
        labels: LabelProjector | None,
        budget: Budget,
        trained: Mapping[str, Tensor] | None = None,
    ) -> FitResult:
        """Train the walking network to the end of a budget, from where an earlier training of it stood."""
        options, context = self.options, self.context
        return fit(
            context.network,
            start=[self._current],
            data=data,
            labels=labels,
            lr=options.lr_net,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
            budget=budget,
            batch_size=options.batch_train,
            chunk=context.chunk(),
            augmentation=self._augmentation,
            seeds=[derive_seed(context.generators.seed, "train", owner)],
            resume_from=trained,
        )

    def _real(self) -> RealData:
        real = self.context.real
        if real is None:
            raise ValueError("training on real images needs real images")
        return real

    def state_dict(self) -> dict[str, Tensor]:
        """Return the walking network's weights, and where its training on real images stands."""
        return {**self._current, **{f"{TRAINED}{name}": value for name, value in self._trained.items()}}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take the walking network up again."""
        self._current = {name: value for name, value in state.items() if not name.startswith(TRAINED)}
        self._trained = {name.removeprefix(TRAINED): value for name, value in state.items() if name.startswith(TRAINED)}
