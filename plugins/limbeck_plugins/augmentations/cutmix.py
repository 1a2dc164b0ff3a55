"""CutMix: a box of every image is replaced by a partner's, and labels are mixed by area.

Paper: Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features"
(arXiv:1905.04899), section 3.1. Public code clovaai/CutMix-PyTorch (MIT), followed by
snu-mllab/Efficient-Dataset-Condensation (MIT), whose roundings are kept: one box for the whole batch, its sides whole
pixels rounded down, twice half of them wide, its centre any pixel, cut by the borders; an image's label counts by the
area that is left of it. Different: the box's share is exactly distributed as Beta for every ``beta`` from uniform
numbers, so that a draw can be applied again.
"""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.augment import whole
from limbeck_plugins.augmentations.mixing import FIRST, MixingAugmentation

BOX_Y, BOX_X = FIRST, FIRST + 1


class CutMix(MixingAugmentation):
    """Replace one box of every image by a partner's."""

    num_columns = FIRST + 2

    def own_share(self, u: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the share of the area outside the box, float64 [n]."""
        rows, columns = self._replaced(u, size)
        return 1 - (rows.sum(1) * columns.sum(1)).double() / (size[0] * size[1])

    def blend(self, images: Tensor, partners: Tensor, u: Tensor) -> Tensor:
        """Return images with the boxes of their partners, [n, ch, h, w]."""
        rows, columns = self._replaced(u, (images.shape[2], images.shape[3]))
        return torch.where((rows[:, :, None] & columns[:, None, :]).unsqueeze(1), partners, images)

    def _replaced(self, u: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return which rows [n, h] and columns [n, w] of pixels a box covers, bool."""
        side = (1 - self.beta_share(u)).sqrt()
        height, width = (
            _covered(length, side, u[:, column]) for length, column in zip(size, (BOX_Y, BOX_X), strict=True)
        )
        return height, width


def _covered(size: int, side: Tensor, u: Tensor) -> Tensor:
    """Return which of ``size`` pixels along one axis lie in the box, bool [n, size].

    Args:
        size: pixels of the axis.
        side: of the box, as a share of the axis, [n].
        u: uniform numbers that choose its centre, [n].
    """
    half = torch.div((size * side).long(), 2, rounding_mode="floor")[:, None]
    centre = whole(u, size)[:, None]
    pixels = torch.arange(size, device=u.device)
    return (pixels >= centre - half) & (pixels < centre + half)
