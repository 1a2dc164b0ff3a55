"""Soft labels that are learned together with the images.

Paper: Sucholutsky and Schonlau, "Soft-Label Dataset Distillation and Text Dataset Distillation" (arXiv:1910.02551):
images and a distribution over the classes for each are distilled by one descent. Bohdal, Yang and Hospedales,
"Flexible Dataset Distillation: Learn Labels Instead of Images" (arXiv:2006.08572), learn the labels of real images.
As logits y with the label softmax(y) and a learning rate of their own, DATM learns them (arXiv:2310.05773; public code
NUS-HPC-AI-Lab/DATM). Written from the definitions.

The same: a logit for each class and image, the label softmax(y), moved at ``optimiser.lr_label`` by the gradient of
what the matcher compares, and used by networks that train on the images between steps. ``start=teachers`` is DATM's
start: the mean logits of those of the source's trained networks that classify an image rightly.

Different: the first two papers differentiate through the training of a student, here it is a matcher's distance. DATM's
code takes one network's logits, right or wrong, where its images are drawn at random, and divides by zero where no
network is right; here the right ones are averaged always, and where there is none the label starts at its class. Labels
start where the set has soft ones that the run starts from. By default every label starts with the same ``confidence``
in its class.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from limbeck.augment.base import Draw
from limbeck.errors import UsageError
from limbeck.networks import FunctionalNetwork, State
from limbeck.options import Options as OptionsBase
from limbeck.synthetic import LabelProjector, ProjectorContext
from limbeck.synthetic.sets import LabelKind

FLOOR = 1e-6
"""What a probability of zero starts at, so that it can grow."""

IMAGES_A_PASS = 256


class LearnedLabels(LabelProjector):
    """One logit for each image and class; the label is their softmax."""

    class Options(OptionsBase):
        """Where they start."""

        start: Literal["class", "teachers"] = Field(
            "class",
            description="the image's class, or the mean logits of trained networks that classify it rightly",
        )
        confidence: float = Field(0.9, gt=0, lt=1, description="probability of an image's class at the start")

    _logits: Tensor | None = None

    @property
    def asks_teachers(self) -> bool:
        """Whether labels start from what trained networks make of the images."""
        return bool(self.options.start == "teachers")

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
        alone = self._confident(stored, classes)
        return alone if self.options.start == "class" else self._judged(context, alone)

    def _confident(self, labels: Tensor, classes: int) -> Tensor:
        """Return logits [n, C] of labels that have the same confidence in their classes."""
        confidence: float = self.options.confidence
        if confidence < 1 / classes:
            raise UsageError(
                f"option 'labels.confidence' is {confidence}, below the chance of {classes} classes, so every label "
                f"would start at another class. Give {1 / classes:.3g} or more."
            )
        above = math.log(confidence) + math.log(classes - 1) - math.log1p(-confidence)
        return above * torch.nn.functional.one_hot(labels, classes).double()

    def _judged(self, context: ProjectorContext, alone: Tensor) -> Tensor:
        """Return the mean logits of the teachers that are right, and where none is those given, [n, C]."""
        total, right, asked = torch.zeros_like(alone), alone.new_zeros(len(alone), 1), 0
        network = context.network(None)
        for state in () if context.teachers is None else context.teachers():
            asked += 1
            for logits, rows in _logits(network, state, context):
                is_right = (logits.argmax(1) == context.labels[rows])[:, None].to(total.dtype)
                total.index_add_(0, rows, logits.to(total.dtype) * is_right)
                right.index_add_(0, rows, is_right)
        if not asked:
            raise UsageError(
                f"labels '{self.name}' start from what trained networks make of the images, but this run's source has "
                "no trained ones. Type --set source=experts, or --set labels.start=class"
            )
        return torch.where(right > 0, total / right.clamp_min(1), alone)

    def _learned(self) -> Tensor:
        if self._logits is None:
            raise UsageError(f"labels '{self.name}' do not exist yet: call prepare first.")
        return self._logits


def _logits(network: FunctionalNetwork, state: State, context: ProjectorContext) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield what a network makes of images, [n, C], and the stored image each was formed from, [n]."""
    images = context.images
    if images is None:
        raise UsageError("labels can start from what trained networks make of images only where there are images yet.")
    stored = torch.arange(len(images), device=images.device) if context.stored is None else context.stored
    for part, rows in zip(torch.split(images, IMAGES_A_PASS), torch.split(stored, IMAGES_A_PASS), strict=True):
        with torch.no_grad():
            yield network(state, part.to(network.dtype), train=False), rows
