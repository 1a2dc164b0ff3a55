"""Flips: every stored image stands for itself and for its mirror image.

Paper: Son et al., "FYI: Flip Your Images for Dataset Distillation" (arXiv:2407.08113): the synthetic images of a
class are matched together with their mirror images, so that neither half of an image has to repeat the other. Public
code cvlab-yonsei/FYI (GPL-3.0). Written from the definition.

Same: matching and training between matches see both, before augmentation; networks that are evaluated see the stored
images alone, as the flips of the evaluation's own augmentation mirror them.
Differs: an image is followed by its mirror image, where the code puts all mirror images last, which no objective
sees. Training between matches draws its batches from both kinds together, where the code draws stored images and
adds their mirror images: source.batch_train is twice the published number, and the same where all fit in one batch.
Data whose mirror images are no images of the class (digits) is refused; the paper does not use any.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from limbeck.data.spec import DataSpec
from limbeck.errors import UsageError
from limbeck.options import Options as OptionsBase
from limbeck.synthetic import Formation
from limbeck.synthetic.formation import Phase


class Flip(Formation):
    """Match and train with every stored image and its mirror image."""

    class Options(OptionsBase):
        """Whether the data has a say."""

        force: bool = Field(False, description="mirror even where a mirrored image is no image of its class (digits)")

    def for_data(self, spec: DataSpec) -> Formation:
        """Return this formation.

        Raises:
            UsageError: a mirrored image of this data is another sign.
        """
        if spec.mirror or self.options.force:
            return self
        raise UsageError(
            f"formation '{self.name}' adds mirror images, but an image of '{spec.name}' that is mirrored is another "
            "sign. Type --set formation=identity, or to do it all the same --set formation.force=true"
        )

    def expand(self, images: Tensor, labels: Tensor, group: Tensor, phase: Phase) -> tuple[Tensor, Tensor, Tensor]:
        """Return images [2n, ch, h, w], each followed by its mirror image, or the stored ones for evaluation."""
        if phase == "evaluate":
            return images, labels, group
        both = torch.stack((images, images.flip(3)), dim=1).flatten(0, 1)
        return both, labels.repeat_interleave(2, dim=0), group.repeat_interleave(2)
