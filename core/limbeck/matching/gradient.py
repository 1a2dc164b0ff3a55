"""The gradient family: match what real and synthetic images do to a network's weights.

The matcher writes a distance between two dictionaries of weight gradients. With g(x) the gradient of the mean
cross-entropy of synthetic images x, D the distance and v = dD/dg held constant, dD/dx = d<g(x), v>/dx.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from limbeck.matching.base import (
    Batches,
    Chunks,
    Engine,
    Matcher,
    StepContext,
    backward_through,
    leaves_of,
    pull_gradients,
)
from limbeck.matching.weight_gradients import (
    Gradients,
    Inputs,
    WeightGradients,
    joined,
    leaf_inputs,
    load_forward_rules,
    pull_back,
)
from limbeck.networks import FunctionalNetwork, State

CALIBRATION_IMAGES = 16
"""Real images a class that set batch-norm statistics before they are frozen (arXiv:2006.05929, public code)."""


class GradientMatcher(Matcher):
    """Base of matchers that compare weight gradients.

    Write ``distance``; write ``scope`` when the gradients of all groups are compared as one, and ``uses`` when
    some weights do not count, so that their gradients are never computed.
    """

    family: ClassVar[str] = "gradient"

    def scope(self, step: StepContext) -> Literal["group", "joint"]:
        """Say whether gradients are compared per group or once for all groups together."""
        return "group"

    def uses(self, name: str, weight: Tensor) -> bool:
        """Say whether the gradient of this weight enters the distance."""
        return True

    @classmethod
    def joins_groups(cls) -> bool:
        """Say whether all groups may be compared as one, which needs one update for all of them."""
        return cls.scope is not GradientMatcher.scope

    @abstractmethod
    def distance(self, syn: Gradients, real: Gradients, step: StepContext) -> Tensor:
        """Return the scalar distance between two gradients.

        Args:
            syn: gradient of the synthetic images' mean cross-entropy by weight name; leaf tensors.
            real: the real batch's, of the same names and shapes; constant.
            step: where the run stands.
        """

    def engine(self, network: FunctionalNetwork, chunks: Chunks) -> Engine:
        """Return the gradient engine."""
        return GradientEngine(self, network, chunks)


class GradientEngine(Engine):
    """Gradients of a gradient distance with respect to images and labels."""

    def __init__(self, matcher: GradientMatcher, network: FunctionalNetwork, chunks: Chunks) -> None:
        super().__init__(network, chunks)
        self.matcher = matcher
        weights = dict(network.module.named_parameters())
        used = [name for name in network.parameter_names if matcher.uses(name, weights[name])]
        self.weights = WeightGradients(network, used)
        if chunks.second_pass == "forward_mode":
            load_forward_rules()

    def accumulate(self, batches: Batches, state: State, step: StepContext, groups: Sequence[int]) -> Tensor:
        """Match the groups each on its own, small ones in one pass, or all as one when the scope is joint."""
        if self.network.couples_samples:
            self._calibrate(batches, state)
        if self.matcher.scope(step) == "joint":
            synthetic = [batches.synthetic(group) for group in groups]
            images, labels = (torch.cat(parts) for parts in zip(*synthetic, strict=True))
            return self._match(batches, state, step, groups, (images, labels))
        losses: list[Tensor] = []
        for members in _stacks(((group, *batches.synthetic(group)) for group in groups), self._most_together()):
            names = [group for group, _, _ in members]
            if len(members) == 1:
                losses.append(self._match(batches, state, step, names, members[0][1:]))
            else:
                stacked = torch.stack([m[1] for m in members]), torch.stack([m[2] for m in members])
                losses.append(self._match_stack(batches, state, step, names, stacked))
        return torch.stack(losses).sum()

    def image_gradient(
        self, state: State, images: Tensor, labels: Tensor, real: Gradients, step: StepContext
    ) -> tuple[Tensor, tuple[Tensor, Tensor | None]]:
        """Return the distance of one matching unit and its gradient at images and labels.

        Args:
            state: weights of the network.
            images: synthetic training images [m, ch, h, w], detached.
            labels: class ids [m], or probabilities [m, C], detached.
            real: gradient to be matched.
            step: where the run stands.

        Returns:
            The distance (detached) and the gradients at ``images`` and at soft ``labels`` (None for class ids).
        """
        total = len(images)
        if total <= self.chunks.synthetic and self.chunks.second_pass != "forward_mode":
            inputs = leaf_inputs(images, labels)
            syn = self.weights.of_batch(state, *inputs, total, create_graph=True)
            loss, direction = self._distance(syn, real, step)
            return loss, pull_back(syn, direction, inputs)
        parts = list(_parts(total, self.chunks.synthetic))
        syn = _summed(self.weights.of_batch(state, images[part], labels[part], total) for part in parts)
        loss, direction = self._distance(syn, real, step)
        forward = self.chunks.second_pass == "forward_mode"
        if forward:
            self.weights.require_forward_mode()
        second = self.weights.forward_mode if forward else self.weights.double_backward
        found = joined(second(state, leaf_inputs(images[part], labels[part]), total, direction) for part in parts)
        return loss, (found.images, found.labels)

    def _match(
        self, batches: Batches, state: State, step: StepContext, groups: Sequence[int], synthetic: Inputs
    ) -> Tensor:
        """Match ``groups`` as one unit."""
        real = self._mean_real_gradient(batches, state, groups)
        images, labels = synthetic
        loss, gradients = self.image_gradient(state, images.detach(), labels.detach(), real, step)
        backward_through([images, labels], gradients)
        return loss

    def _match_stack(
        self, batches: Batches, state: State, step: StepContext, groups: Sequence[int], synthetic: Inputs
    ) -> Tensor:
        """Match groups of equal size each on its own, their synthetic images [G, m, ch, h, w] in one pass."""
        reals = self._real_gradients(batches, state, groups)
        inputs = leaf_inputs(*synthetic)
        syn = self.weights.of_groups(state, *inputs)
        results = [
            self._distance({name: value[place] for name, value in syn.items()}, real, step)
            for place, real in enumerate(reals)
        ]
        direction = {name: torch.stack([v[name] for _, v in results]) for name in syn}
        backward_through(list(synthetic), pull_back(syn, direction, inputs))
        return torch.stack([loss for loss, _ in results]).sum()

    def _real_gradients(self, batches: Batches, state: State, groups: Sequence[int]) -> list[Gradients]:
        """Return each group's real gradient, groups of equal size together as far as the plan allows."""
        found: list[Gradients] = []
        for members in _stacks(((group, *batches.real(group)) for group in groups), self._most_together()):
            if len(members) == 1:
                found.append(self._mean_of_real(state, *members[0][1:]))
                continue
            with self.real_pass():
                stacked = self.weights.of_groups(
                    state, torch.stack([m[1] for m in members]), torch.stack([m[2] for m in members])
                )
            found += [{name: value[place] for name, value in stacked.items()} for place in range(len(members))]
        return found

    def _mean_real_gradient(self, batches: Batches, state: State, groups: Sequence[int]) -> Gradients:
        """Mean gradient over the real batches of ``groups`` taken together, one group in memory at a time."""
        total, shares = 0, []
        for group in groups:
            images, labels = batches.real(group)
            total += len(images)
            shares.append((len(images), self._mean_of_real(state, images, labels)))
        return _summed({n: g * (size / total) for n, g in found.items()} for size, found in shares)

    def _mean_of_real(self, state: State, images: Tensor, labels: Tensor) -> Gradients:
        total = len(images)
        with self.real_pass():
            return _summed(
                self.weights.of_batch(state, images[part], labels[part], total)
                for part in _parts(total, self.chunks.real)
            )

    def _distance(self, syn: Gradients, real: Gradients, step: StepContext) -> tuple[Tensor, Gradients]:
        leaves = leaves_of(syn)
        distance = self.matcher.distance(leaves, real, step)
        own, adversary = self.matcher.parameters().values(), self.matcher.adversary().values()
        return distance.detach(), pull_gradients(distance, leaves, own, adversary)

    def _most_together(self) -> int:
        together = self.chunks.together
        if together == 1 or self.chunks.second_pass == "forward_mode" or not self.weights.stacks():
            return 1
        return together

    def _calibrate(self, batches: Batches, state: State) -> None:
        """Set batch-norm statistics from real images, as the published code does before freezing them."""
        with torch.no_grad():
            self.network(state, batches.calibration(CALIBRATION_IMAGES), train=True, dropout="off")


Member = tuple[int, Tensor, Tensor]


def _stacks(members: Iterable[Member], most: int) -> Iterator[list[Member]]:
    """Collect neighbouring groups of equal shape while they have at most ``most`` images together."""
    stack: list[Member] = []
    for member in members:
        size, same = len(member[1]), bool(stack) and member[1].shape == stack[0][1].shape
        if stack and not (same and (len(stack) + 1) * size <= most):
            yield stack
            stack = []
        stack.append(member)
    if stack:
        yield stack


def _summed(parts: Iterable[Gradients]) -> Gradients:
    found: Gradients = {}
    for part in parts:
        for name, grad in part.items():
            found[name] = found[name] + grad if name in found else grad
    return found


def _parts(total: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, total)) for start in range(0, total, size))
