"""The identity: one stored image is one training image (every method before multi-formation)."""

from __future__ import annotations

from torch import Tensor

from limbeck.synthetic import Formation
from limbeck.synthetic.formation import Phase


class Identity(Formation):
    """Train on the stored images themselves."""

    def expand(self, images: Tensor, labels: Tensor, group: Tensor, phase: Phase) -> tuple[Tensor, Tensor, Tensor]:
        """Return the inputs: images [n, ch, h, w], labels [n] or [n, C], group [n]."""
        return images, labels, group
