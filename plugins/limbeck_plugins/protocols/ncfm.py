"""The evaluation of NCFM.

Paper: Wang et al., "Dataset Distillation with Neural Characteristic Function: A Minmax Perspective", CVPR 2025,
arXiv:2502.20653, section 5.1. Public code gszfwsb/NCFM (states no licence), whose numbers are kept: 2000 passes of
AdamW in batches of 128, the learning rate halved after each fifth of them, half of the batches mixed by CutMix after
DSA without cutout, in which every image is mirrored at random and changes colour and then gets one operation a batch,
a test every 100 passes of which the best is reported.

Different: the last pass is told beside the best; images of data whose classes a mirror changes are not mirrored.
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
PARTS = 5


class NCFMProtocol(Protocol):
    """Train fresh networks with AdamW on mixed images; the best test is reported beside the last pass."""

    class Options(OptionsBase):
        """The published numbers."""

        epochs: int = Field(
            2000, ge=1, description="passes, exactly; published for Tiny-ImageNet: 300 at ipc 10, 40 at ipc 50"
        )
        lr: float = Field(0.001, gt=0, description="learning rate before it is halved, four times")
        lr_search: tuple[float, ...] = Field((), description="rates tried on training images kept aside")
        weight_decay: float = Field(0.01, ge=0, description="decoupled from the gradient")
        batch_size: int = Field(128, ge=1, description="images of an update")
        evaluate_every: int = Field(100, ge=1, description="passes between two tests")
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
            optimiser="adamw",
            lr=options.lr,
            lr_search=options.lr_search,
            weight_decay=options.weight_decay,
            epochs=epochs,
            milestones=tuple(part * epochs // PARTS for part in range(1, PARTS)),
            factor=0.5,
            reset_momentum=False,
            batch_size=options.batch_size,
            evaluate_every=options.evaluate_every,
            selection="best",
            augmentation=augmentation,
            protocol=self.name,
            **(stored.belongings() if stored else {}),
        )
