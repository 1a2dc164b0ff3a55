"""Label smoothing (Szegedy et al., "Rethinking the Inception Architecture", arXiv:1512.00567, section 7)."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor
from torch.nn.functional import one_hot

from limbeck.augment.base import Draw
from limbeck.options import Options as OptionsBase
from limbeck.synthetic import LabelProjector, ProjectorContext


class SmoothLabels(LabelProjector):
    """Give each student (1 − epsilon) · stored label + epsilon · uniform."""

    class Options(OptionsBase):
        """How smooth."""

        epsilon: float = Field(0.1, ge=0, lt=1, description="share of the uniform distribution")

    def prepare(self, context: ProjectorContext) -> None:
        """Turn the stored labels into probabilities and mix them once."""
        classes = context.spec.num_classes
        stored = context.labels.to(context.device)
        if context.label_kind == "hard":
            stored = one_hot(stored, classes).float()
        elif context.label_kind == "logits":
            stored = stored.softmax(dim=1)
        epsilon: float = self.options.epsilon
        self._labels: Tensor = (1 - epsilon) * stored + epsilon / classes

    def labels(self, images: Tensor, index: Tensor, epoch: int, draw: Draw | None) -> Tensor:
        """Return the smoothed labels of the samples, probabilities [n, C]."""
        return self._labels[index]
