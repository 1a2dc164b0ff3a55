"""The evaluation of trajectory matching.

Papers: Cazenavette et al., "Dataset Distillation by Matching Training Trajectories" (arXiv:2203.11932), and Cui et al.,
"Scaling Up Dataset Distillation to ImageNet-1K with Constant Memory" (TESLA, arXiv:2211.10586), whose public code
trains as DC's does (E + 1 passes, a tenth of the rate and a new optimiser after floor(E / 2) + 2 of them), with DSA and
at the learning rate that was learned with the images.

Not done: the papers report the best mean accuracy over the checkpoints of a distillation. One set is one checkpoint
here, so no figure of this protocol is chosen among sets. What is told beside the last pass is the best of the tests
within one training, in a figure of its own.
"""

from __future__ import annotations

from pydantic import Field

from limbeck.config import Spec
from limbeck.evaluation import Protocol, Recipe
from limbeck.options import Options as OptionsBase

RATE = 0.01
"""Of a set without a learned one, which is what the public code starts learning from."""


class MTTProtocol(Protocol):
    """Train fresh networks with SGD at the set's learned rate; tell the last pass, and apart from it the best test."""

    class Options(OptionsBase):
        """The published numbers."""

        epochs: int = Field(1000, ge=0, description="E, for E + 1 passes")
        lr: float | None = Field(None, gt=0, description="the rate learned with the set when not given, else 0.01")
        lr_search: tuple[float, ...] = Field((), description="rates tried on training images kept aside")
        momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD, dropped at the milestone")
        weight_decay: float = Field(5e-4, ge=0, description="L2 coefficient")
        batch_size: int = Field(256, ge=1, description="images of an update")
        evaluate_every: int = Field(100, ge=0, description="passes between two tests; 0: the last pass only")
        augmentation: Spec | None = Field(
            None, description="of the training images; the set's own when not given, else dsa; 'none' for none"
        )

    def recipe(self, network: str, stored: Recipe | None) -> Recipe:
        """Return the published numbers with the set's own learned rate, labels and formation."""
        options = self.options
        learned = stored.learned_lr if stored else None
        asked: Spec | None = options.augmentation
        augmentation = stored.augmentation if stored and asked is None else None
        if asked is not None and asked.name != "none":
            augmentation = asked.model_dump()
        elif asked is None and augmentation is None:
            augmentation = {"name": "dsa", "align_corners": True}
        return Recipe(
            network=network,
            optimiser="sgd",
            lr=options.lr or learned or RATE,
            lr_search=options.lr_search,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
            epochs=options.epochs + 1,
            milestones=(options.epochs // 2 + 2,),
            factor=0.1,
            reset_momentum=True,
            batch_size=options.batch_size,
            evaluate_every=options.evaluate_every,
            augmentation=augmentation,
            protocol=self.name,
            **(stored.belongings() if stored else {}),
        )
