"""The labels stored with the set, whatever view of an image the student sees."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.augment.base import Draw
from limbeck.synthetic import LabelProjector, ProjectorContext


class HardLabels(LabelProjector):
    """Hand out the stored labels; stored logits become probabilities."""

    def prepare(self, context: ProjectorContext) -> None:
        """Keep the set's labels on the device that trains."""
        stored = context.labels.detach().to(context.device)
        self._stored = torch.softmax(stored, dim=1) if context.label_kind == "logits" else stored

    def labels(self, images: Tensor, index: Tensor, epoch: int, draw: Draw | None) -> Tensor:
        """Return the stored labels of the samples, classes int64 [n] or probabilities [n, C]."""
        return self._stored[index]
