"""Knowledge distillation: a network learns what a trained one makes of its images, beside the labels.

Paper: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network" (arXiv:1503.02531), section 2. With z the
student's logits, t the teacher's and L any loss of ``training.losses``, a network minimises

    (1 - alpha) L(z, y) + alpha T^2 KL(softmax(t / T) || softmax(z / T)).

T^2 keeps the size of the second gradient as it is when T changes. The teacher judges each image as the student sees it,
augmented, in eval mode.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from limbeck.errors import UsageError
from limbeck.networks.functional import FunctionalNetwork, State
from limbeck.training.losses import Objective


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network that others learn from, and how much.

    Attributes:
        network: its structure, which may be any other than the students'.
        state: its weights and buffers; they stay as they are.
        alpha: share of the teacher's loss, in [0, 1]; the rest is the labels'.
        temperature: T, divides both logits before the softmax.

    Raises:
        UsageError: a number out of range.
    """

    network: FunctionalNetwork
    state: State
    alpha: float = 0.9
    temperature: float = 4.0

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise UsageError(f"alpha is {self.alpha}: give a number from 0 (labels alone) to 1 (the teacher alone).")
        if self.temperature <= 0:
            raise UsageError(f"temperature is {self.temperature}: give a number above 0.")

    def of(self, student: FunctionalNetwork, device: torch.device) -> Teacher:
        """Return this teacher on a device, once it is sure that a student can learn from it.

        Raises:
            UsageError: it was built for other images or classes.
        """
        own, other = self.network, student
        if own.shape != other.shape or own.num_classes != other.num_classes:
            sizes = ["x".join(map(str, each.shape)) for each in (own, other)]
            raise UsageError(
                f"the teacher knows {own.num_classes} classes of images of {sizes[0]}, but the student has "
                f"{other.num_classes} classes of images of {sizes[1]}. Give a teacher of the same images and classes."
            )
        return replace(self, state={name: value.to(device) for name, value in self.state.items()})

    @torch.no_grad()
    def targets(self, images: Tensor) -> Tensor:
        """Return softmax(t / T) [n, C] of normalised images [n, ch, h, w]."""
        kind = self.state[self.network.parameter_names[0]].dtype
        logits = self.network(self.state, images.to(kind), train=False).to(images.dtype)
        return torch.softmax(logits / self.temperature, dim=1)

    def objective(self, own: Objective) -> Objective:
        """Return the teacher's loss, averaged over a batch as ``own`` is."""
        return Objective("kl", self.temperature, own.mask_norm)

    def blend(self, own: Tensor, taught: Tensor) -> Tensor:
        """Return what is minimised, from the loss of the labels and that of ``objective``."""
        return (1 - self.alpha) * own + self.alpha * self.temperature**2 * taught
