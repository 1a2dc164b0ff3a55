"""mixup: images are averaged with partners of their batch, and labels with them.

Paper: Zhang et al., "mixup: Beyond Empirical Risk Minimization" (arXiv:1710.09412), section 2 and figure 1: one share
for the whole batch, partners a permutation of it. Public code facebookresearch/mixup-cifar10 (CC-BY-NC), which was not
used. Different: the share's distribution is that of ``beta`` 1 unless another is asked for, and a batch can be left
as it is with some probability.
"""

from __future__ import annotations

from torch import Tensor

from limbeck_plugins.augmentations.mixing import MixingAugmentation


class Mixup(MixingAugmentation):
    """Average every image and its label with a partner's."""

    def own_share(self, u: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the drawn shares, float64 [n]."""
        return self.beta_share(u)

    def blend(self, images: Tensor, partners: Tensor, u: Tensor) -> Tensor:
        """Return weighted means, [n, ch, h, w]."""
        share = self.beta_share(u).to(images.dtype)[:, None, None, None]
        return share * images + (1 - share) * partners
