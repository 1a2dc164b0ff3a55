"""The evaluation of IDC, which NCFM's follows.

Paper: Kim et al., "Dataset Condensation via Efficient Synthetic-Data Parameterization" (arXiv:2205.14959), section 5
and appendix. Public code snu-mllab/Efficient-Dataset-Condensation (MIT), whose numbers are kept: 1000 passes of SGD in
batches of 64, the learning rate times 0.2 after two thirds and after five sixths of them with the momentum kept, half
of the batches mixed by CutMix after DSA without cutout, in which every image is mirrored at random and changes colour
and then gets one operation a batch, four tests of which the best is reported.

Different: the last pass is told beside the best; images of data whose classes a mirror changes are not mirrored, where
the code leaves flips out for MNIST and SVHN. The code mixes no labels for MNIST in tiles, which the method's file sets.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from limbeck.config import Spec
from limbeck.evaluation import Protocol, Recipe
from limbeck.options import Options as OptionsBase

AUGMENTATION: dict[str, Any] = {
    "name": "cutmix",
    "beta": 1.0,
    "probability": 0.5,
    "before": {"name": "dsa", "strategy": "crop_scale_rotate", "always": "flip_color"},
}
TESTS = 4
"""How often the public code tests a network in the course of its training."""


class IDCProtocol(Protocol):
    """Train fresh networks with SGD on mixed images; the best test is reported beside the last pass."""

    class Options(OptionsBase):
        """The published numbers."""

        epochs: int = Field(1000, ge=1, description="passes, exactly")
        lr: float = Field(0.01, gt=0, description="learning rate before it falls to a fifth, twice")
        lr_search: tuple[float, ...] = Field((), description="rates tried on training images kept aside")
        momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD, kept throughout")
        weight_decay: float = Field(5e-4, ge=0, description="L2 coefficient")
        batch_size: int = Field(64, ge=1, description="images of an update")
        evaluate_every: int | None = Field(
            None, ge=1, description="passes between two tests; when not given: four tests in all"
        )
        augmentation: Spec | None = Field(
            None, description="of the training images; CutMix after DSA when not given, 'none' for none"
        )

    def recipe(self, network: str, stored: Recipe | None) -> Recipe:
        """Return the published numbers with the set's own labels and formation."""
        options, epochs = self.options, self.options.epochs
        asked: Spec | None = options.augmentation
        augmentation: dict[str, Any] | None = AUGMENTATION
        if asked is not None:
            augmentation = None if asked.name == "none" else asked.model_dump()
        return Recipe(
            network=network,
            optimiser="sgd",
            lr=options.lr,
            lr_search=options.lr_search,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
            epochs=epochs,
            milestones=(2 * epochs // 3, 5 * epochs // 6),
            factor=0.2,
            reset_momentum=False,
            batch_size=options.batch_size,
            evaluate_every=options.evaluate_every or max(1, epochs // TESTS),
            selection="best",
            augmentation=augmentation,
            protocol=self.name,
            **(stored.belongings() if stored else {}),
        )
