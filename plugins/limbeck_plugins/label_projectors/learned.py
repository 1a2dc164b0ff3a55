"""Soft labels that are learned together with the images.

Paper: Sucholutsky and Schonlau, "Soft-Label Dataset Distillation and Text Dataset Distillation" (arXiv:1910.02551):
images and a distribution over the classes for each are distilled by one descent. Bohdal, Yang and Hospedales,
"Flexible Dataset Distillation: Learn Labels Instead of Images" (arXiv:2006.08572), learn the labels of real images.
As logits y with the label softmax(y) and a learning rate of their own, DATM learns them (arXiv:2310.05773; public code
NUS-HPC-AI-Lab/DATM). Written from the definitions.

The same: a logit for each class and image, the label softmax(y), moved at ``optimiser.lr_label`` by the gradient of
what the matcher compares, and used by networks that train on the images between steps.

Different: the papers differentiate through the training of a student, here it is a matcher's distance; DATM starts at
the mean logits of networks that classify an image rightly, here every label starts with the same ``confidence`` in its
class (or where the set has them that the run starts from); the momentum is the images'.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from limbeck.augment.base import Draw
from limbeck.errors import UsageError
from limbeck.options import Options as OptionsBase
from limbeck.synthetic import LabelProjector, ProjectorContext
from limbeck.synthetic.sets import LabelKind

FLOOR = 1e-6
"""What a probability of zero starts at, so that it can grow."""


class LearnedLabels(LabelProjector):
    """One logit for each image and class; the label is their softmax."""

    class Options(OptionsBase):
        """Where they start."""

        confidence: float = Field(0.9, gt=0, lt=1, description="probability of an image's class at the start")

    _logits: Tensor | None = None

    def prepare(self, context: ProjectorContext) -> None:
        """Start from the stored labels, or from a state that was loaded.

        Raises:
            UsageError: the state or the labels belong to other images or classes, or an option that says nothing.
        """
        real, shape = context.real, [len(context.labels), context.spec.num_classes]
        given = self._logits
        logits = self._start(context) if given is None else given.detach()
        if list(logits.shape) != shape:
            raise UsageError(
                f"labels '{self.name}' are {list(logits.shape)}, but the set has {shape[0]} images and the network's "
                f"head {shape[1]} classes. Start from labels of that shape, or leave them to be made anew."
            )
        dtype = torch.float32 if real is None else real.dtype
        self._logits = logits.to(context.device, dtype, copy=True).requires_grad_()

    def parameters(self) -> dict[str, Tensor]:
        """Return the logits [n, C]."""
        return {"logits": self._learned()}

    def labels(self, images: Tensor, index: Tensor, epoch: int, draw: Draw | None) -> Tensor:
        """Return the softmax of the logits of the stored images ``index``, [n, C], with its graph to them."""
        return torch.softmax(self._learned()[index], dim=1)

    def final_labels(self) -> tuple[Tensor, LabelKind]:
        """Return all labels [n, C]: a set needs nothing else to be trained on."""
        return torch.softmax(self._learned().detach(), dim=1), "probabilities"

    def bytes(self) -> int:
        """Return the size of the labels in 16 bits."""
        return 2 * self._learned().numel()

    def state_dict(self) -> dict[str, Tensor]:
        """Return the logits; empty before they exist."""
        return {} if self._logits is None else {"logits": self._logits.detach()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take the logits, into the tensor that is being learned where there is one."""
        given = state.get("logits")
        if given is None:
            return
        if self._logits is None:
            self._logits = given.detach().clone()
        else:
            with torch.no_grad():
                self._logits.copy_(given)

    def _start(self, context: ProjectorContext) -> Tensor:
        stored, classes = context.labels.detach(), context.spec.num_classes
        if context.label_kind == "logits":
            return stored
        if context.label_kind == "probabilities":
            return stored.clamp_min(FLOOR).log()
        confidence: float = self.options.confidence
        if confidence < 1 / classes:
            raise UsageError(
                f"option 'labels.confidence' is {confidence}, below the chance of {classes} classes, so every label "
                f"would start at another class. Give {1 / classes:.3g} or more."
            )
        above = math.log(confidence) + math.log(classes - 1) - math.log1p(-confidence)
        return above * torch.nn.functional.one_hot(stored, classes).double()

    def _learned(self) -> Tensor:
        if self._logits is None:
            raise UsageError(f"labels '{self.name}' do not exist yet: call prepare first.")
        return self._logits
