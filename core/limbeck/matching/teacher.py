"""The teacher family: what a network makes of the synthetic images alone, real ones are not asked for.

The matcher writes one number for each image. The distance of a group is its mean, so images may be cut into chunks.
As a term beside another matcher it holds images to what trained networks know.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from limbeck.errors import PluginError
from limbeck.matching.base import (
    Batches,
    Chunks,
    Engine,
    Matcher,
    StepContext,
    backward_through,
    pull_gradients,
)
from limbeck.matching.weight_gradients import Inputs, leaf_inputs
from limbeck.networks import FunctionalNetwork, State


@dataclass(frozen=True)
class Teacher:
    """A network with weights, in eval mode.

    Attributes:
        network: its structure.
        state: its weights and buffers.
    """

    network: FunctionalNetwork
    state: State

    def __call__(self, images: Tensor) -> Tensor:
        """Return logits [n, C] of images [n, ch, h, w]."""
        return self.network(self.state, images, train=False)

    def features(self, images: Tensor, taps: Sequence[str]) -> dict[str, Tensor]:
        """Return what flows out of the named modules, by name, each with first axis n; ``"embedding"`` is one."""
        return self.network.features(self.state, images, taps, train=False)


class TeacherMatcher(Matcher):
    """Base of matchers that ask a network about synthetic images alone. Write ``objective``."""

    family: ClassVar[str] = "teacher"

    @abstractmethod
    def objective(self, images: Tensor, labels: Tensor, teacher: Teacher) -> Tensor:
        """Return what is to be small for each image, [n].

        Args:
            images: synthetic training images [n, ch, h, w].
            labels: class ids [n], or probabilities [n, C].
            teacher: the network of this step.
        """

    def engine(self, network: FunctionalNetwork, chunks: Chunks) -> Engine:
        """Return the teacher engine."""
        return TeacherEngine(self, network, chunks)


class TeacherEngine(Engine):
    """Gradients of an objective's group means with respect to images and labels."""

    def __init__(self, matcher: TeacherMatcher, network: FunctionalNetwork, chunks: Chunks) -> None:
        super().__init__(network, chunks)
        self.matcher = matcher

    def accumulate(self, batches: Batches, state: State, step: StepContext, groups: Sequence[int]) -> Tensor:
        """Send the gradient of every group's mean to its images and soft labels, as many at once as chunks allow."""
        parts = [batches.synthetic(group) for group in groups]
        images, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        shares = torch.cat([images.new_full((len(part),), 1 / len(part)) for part, _ in parts])
        outputs = [tensor for tensor in (images, labels) if tensor.is_floating_point()]
        losses, gradients = [], []
        for rows in torch.split(torch.arange(len(images), device=images.device), self.chunks.synthetic):
            loss, found = self._slope(leaf_inputs(images[rows], labels[rows]), shares[rows], state)
            losses.append(loss)
            gradients.append(found)
        backward_through(outputs, [torch.cat(pieces) for pieces in zip(*gradients, strict=True)])
        return torch.stack(losses).sum()

    def _slope(self, inputs: Inputs, shares: Tensor, state: State) -> tuple[Tensor, list[Tensor]]:
        """Return what some images add to the distance, and the gradients at them and at soft labels."""
        matcher = self.matcher
        values = matcher.objective(*inputs, Teacher(self.network, state))
        if values.shape != shares.shape:
            raise PluginError(
                f"matcher '{matcher.name}' returned an objective of shape {list(values.shape)} for {len(shares)} "
                f"images: return one number for each, [{len(shares)}]."
            )
        loss = (values * shares).sum()
        leaves = {str(place): tensor for place, tensor in enumerate(inputs) if tensor.requires_grad}
        found = pull_gradients(loss, leaves, matcher.parameters().values(), matcher.adversary().values())
        return loss.detach(), list(found.values())
