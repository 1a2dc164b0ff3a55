"""The evaluation of RDED.

Paper: Sun, Shi, Yu and Lin, "On the Diversity and Realism of Distilled Dataset" (RDED, arXiv:2312.03526), section 5
and appendix. Numbers after the public code LINs-lab/RDED (Apache-2.0): as protocol ``soft-kd``, with the patches of an
image shuffled, a random resized crop of at least 1 / factor of its area, a flip and CutMix with Beta(1, 1) on every
batch; a teacher labels what the student sees; the learning rate follows a cosine that would reach zero after twice the
passes, so it ends at a half; the best test of the last fifth of the passes is reported. Batches are of 10 images at
ipc 1, 50 at ipc 10 and 100 at ipc 50, twice that for 100 and 1000 classes, always 100 for Tiny-ImageNet, and 25 for
CIFAR-100 with networks of three convolutions; method ``rded`` sets what is published for ten classes and the last.

Different: weight decay is on every weight, where the public code spares biases and norms; a batch passes the student
once, where the public code passes the images before CutMix too, which moves the averages of batch norm.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from limbeck.config import Spec
from limbeck.evaluation import Recipe, augmentation_of
from limbeck_plugins.protocols.soft_kd import SoftLabelProtocol


class RDEDProtocol(SoftLabelProtocol):
    """Train fresh networks on crops blended by CutMix to imitate a teacher; a late best test is reported."""

    class Options(SoftLabelProtocol.Options):
        """The published numbers."""

        factor: int = Field(1, ge=1, description="crops along each side of an image, as the selector tiled them")
        cosine_share: float = Field(0.5, gt=0, le=1, description="of the way from lr to zero that the cosine goes")
        best_of: float = Field(0.2, gt=0, le=1, description="share of the passes, the last, that best is chosen from")
        augmentation: Spec | None = Field(
            None, description="of the training images; the published one when not given, 'none' for none"
        )

    def augmentation(self, stored: Recipe | None) -> dict[str, Any] | None:
        """Return what training images go through: what is asked for, else what is published."""
        if self.options.augmentation is not None:
            return augmentation_of(self.options.augmentation, None)
        factor = int(self.options.factor)
        crop = {"name": "resized_crop", "scale": [1 / factor, 1.0], "shuffle": factor}
        return {"name": "cutmix", "before": crop}
