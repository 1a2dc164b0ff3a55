"""The evaluation that DC introduced and DSA, DM, DCC and DataDAM kept.

Paper: Zhao, Mopuri and Bilen, "Dataset Condensation with Gradient Matching" (arXiv:2006.05929), section 4.
Reference code VICO-UoE/DatasetCondensation (MIT), whose counting is kept: ``epochs`` E are E + 1 passes, and
the learning rate falls to a tenth after floor(E / 2) + 2 of them, with a new optimiser that has no momentum.
"""

from __future__ import annotations

from pydantic import Field

from limbeck.config import Spec
from limbeck.evaluation import Protocol, Recipe, augmentation_of
from limbeck.options import Options as OptionsBase

EPOCHS, EPOCHS_AUGMENTED = 300, 1000


class DCProtocol(Protocol):
    """Train fresh networks with SGD and report the accuracy after the last epoch."""

    class Options(OptionsBase):
        """The published numbers."""

        epochs: int | None = Field(
            None, ge=0, description="E, for E + 1 passes; when not given: 1000 with augmentation, else 300"
        )
        lr: float = Field(0.01, gt=0, description="learning rate before it falls to a tenth")
        momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD, dropped at the milestone")
        weight_decay: float = Field(5e-4, ge=0, description="L2 coefficient")
        batch_size: int = Field(256, ge=1, description="images of an update")
        lr_search: tuple[float, ...] = Field((), description="rates tried on training images kept aside")
        evaluate_every: int = Field(0, ge=0, description="passes between two tests; 0: the last pass only")
        augmentation: Spec | None = Field(
            None, description="of the training images; the set's own when not given, 'none' for none"
        )

    def recipe(self, network: str, stored: Recipe | None) -> Recipe:
        """Return the published numbers with the set's own labels and formation."""
        options = self.options
        augmentation = augmentation_of(self.options.augmentation, stored)
        epochs = options.epochs
        if epochs is None:
            epochs = EPOCHS if augmentation is None else EPOCHS_AUGMENTED
        return Recipe(
            network=network,
            optimiser="sgd",
            lr=options.lr,
            lr_search=options.lr_search,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
            epochs=epochs + 1,
            milestones=(epochs // 2 + 2,),
            factor=0.1,
            reset_momentum=True,
            batch_size=options.batch_size,
            evaluate_every=options.evaluate_every,
            augmentation=augmentation,
            protocol=self.name,
            **(stored.belongings() if stored else {}),
        )
