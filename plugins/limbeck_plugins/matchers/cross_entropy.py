"""Cross-entropy of synthetic images under trained networks: images stay what such networks recognise.

Serves as a term beside another matcher, as the calibration in gszfwsb/NCFM, public code of Wang et al., "Dataset
Distillation with Neural Characteristic Function: A Minmax Perspective", CVPR 2025, arXiv:2502.20653, whose section
4.2.3 names finetuning of the set as a further step. Same numbers: the mean over a class's augmented images, classes
summed.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from limbeck.matching import Teacher, TeacherMatcher


class CrossEntropy(TeacherMatcher):
    """Cross-entropy between what a trained network makes of an image and the image's label."""

    def objective(self, images: Tensor, labels: Tensor, teacher: Teacher) -> Tensor:
        """Return each image's cross-entropy, [n]."""
        return F.cross_entropy(teacher(images), labels, reduction="none")
