"""The gradient family: match what real and synthetic images do to a network's weights.

The matcher writes a distance between two dictionaries of weight gradients. With g(x) the gradient of the mean
cross-entropy of synthetic images x, D the distance and v = dD/dg held constant,

    dD/dx = d<g(x), v>/dx,

computed by double backward, or as one reverse pass through the forward-mode derivative of the cross-entropy in
weight direction v: <g(x), v> = d/de CE(x; w + e v) at e = 0.
"""

from __future__ import annotations

import importlib
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.autograd import forward_ad

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
from limbeck.networks import FunctionalNetwork, State

CALIBRATION_IMAGES = 16
"""Real images a class that set batch-norm statistics before they are frozen (arXiv:2006.05929, public code)."""

Gradients = dict[str, Tensor]


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

    @abstractmethod
    def distance(self, syn: Gradients, real: Gradients, step: StepContext) -> Tensor:
        """Return the scalar distance between two gradients.

        Args:
            syn: gradient of the synthetic images' mean cross-entropy by weight name; leaf tensors.
            real: the real batch's, of the same names and shapes; constant.
            step: where the run stands.
        """

    @classmethod
    def engine(cls, matcher: Matcher, network: FunctionalNetwork, chunks: Chunks) -> Engine:
        """Return the gradient engine."""
        if not isinstance(matcher, GradientMatcher):
            raise TypeError(f"{type(matcher).__name__} is not a GradientMatcher")
        return GradientEngine(matcher, network, chunks)


def cross_entropy(logits: Tensor, labels: Tensor, total: int) -> Tensor:
    """Return the sum of cross-entropies divided by ``total``: a chunk's share of the whole batch's mean.

    Written out, because torch's own functions cannot be differentiated in reverse after forward mode.

    Args:
        logits: [n, C].
        labels: class ids [n], or probabilities [n, C].
        total: images of the whole batch.
    """
    top = logits.detach().amax(1, keepdim=True)
    normaliser = (logits - top).exp().sum(1).log() + top[:, 0]
    if labels.is_floating_point():
        return (normaliser * labels.sum(1) - (logits * labels).sum(1)).sum() / total
    return (normaliser - logits.gather(1, labels[:, None])[:, 0]).sum() / total


class GradientEngine(Engine):
    """Gradients of a gradient distance with respect to images and labels."""

    def __init__(self, matcher: GradientMatcher, network: FunctionalNetwork, chunks: Chunks) -> None:
        super().__init__(network, chunks)
        self.matcher = matcher
        weights = dict(network.module.named_parameters())
        self.used = [name for name in network.parameter_names if matcher.uses(name, weights[name])]
        if chunks.second_pass == "forward_mode":
            _load_forward_rules()

    def accumulate(self, batches: Batches, state: State, step: StepContext, groups: Sequence[int]) -> Tensor:
        """Match the groups one by one, or together when the matcher's scope is joint."""
        if self.network.couples_samples:
            self._calibrate(batches, state)
        joint = self.matcher.scope(step) == "joint"
        losses = [self._match(batches, state, step, list(part)) for part in ([groups] if joint else _each(groups))]
        return torch.stack(losses).sum()

    def _match(self, batches: Batches, state: State, step: StepContext, groups: Sequence[int]) -> Tensor:
        real = self._real_gradient(batches, state, groups)
        images, labels = _concatenate([batches.synthetic(group) for group in groups])
        loss, gradients = self.image_gradient(state, images.detach(), labels.detach(), real, step)
        backward_through([images, labels], gradients)
        return loss

    def _real_gradient(self, batches: Batches, state: State, groups: Sequence[int]) -> Gradients:
        """Mean gradient over the real batches of ``groups``, first order, one group in memory at a time."""
        total = 0
        summed: Gradients = {}
        for group in groups:
            images, labels = batches.real(group)
            total += len(images)
            for part in _parts(len(images), self.chunks.real):
                with self.real_pass():
                    gradients = self._gradient(state, images[part], labels[part], 1)
                for name, grad in gradients.items():
                    summed[name] = summed[name].add_(grad) if name in summed else grad
        return {name: grad / total for name, grad in summed.items()}

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
        if total <= self.chunks.synthetic and self.chunks.second_pass == "double_backward":
            inputs = _leaf_inputs(images, labels)
            syn = self._gradient(state, *inputs, total, create_graph=True)
            loss, direction = self._distance(syn, real, step)
            return loss, self._through_graph(syn, direction, inputs)
        syn = {}
        for part in _parts(total, self.chunks.synthetic):
            for name, grad in self._gradient(state, images[part], labels[part], total).items():
                syn[name] = syn[name] + grad if name in syn else grad
        loss, direction = self._distance(syn, real, step)
        second = self._forward_mode if self.chunks.second_pass == "forward_mode" else self._double_backward
        pieces = [
            second(state, _leaf_inputs(images[part], labels[part]), total, direction)
            for part in _parts(total, self.chunks.synthetic)
        ]
        label_pieces = [piece[1] for piece in pieces if piece[1] is not None]
        return loss, (torch.cat([p[0] for p in pieces]), torch.cat(label_pieces) if label_pieces else None)

    def _distance(self, syn: Gradients, real: Gradients, step: StepContext) -> tuple[Tensor, Gradients]:
        leaves = leaves_of(syn)
        distance = self.matcher.distance(leaves, real, step)
        own, adversary = self.matcher.parameters().values(), self.matcher.adversary().values()
        return distance.detach(), pull_gradients(distance, leaves, own, adversary)

    def _gradient(
        self, state: State, images: Tensor, labels: Tensor, total: int, *, create_graph: bool = False
    ) -> Gradients:
        weights = {name: state[name].detach().requires_grad_() for name in self.used}
        loss = cross_entropy(self._logits({**state, **weights}, images), labels, total)
        gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=create_graph)
        return dict(zip(weights, gradients, strict=True))

    def _logits(self, state: State, images: Tensor) -> Tensor:
        """Logits with batch norm frozen at its calibrated statistics."""
        return self.network(state, images, train=not self.network.couples_samples)

    def _through_graph(
        self, syn: Gradients, direction: Gradients, inputs: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        wanted = [tensor for tensor in inputs if tensor.requires_grad]
        grads = torch.autograd.grad(list(syn.values()), wanted, [direction[name] for name in syn])
        return grads[0], grads[1] if len(grads) > 1 else None

    def _double_backward(
        self, state: State, inputs: tuple[Tensor, Tensor], total: int, direction: Gradients
    ) -> tuple[Tensor, Tensor | None]:
        syn = self._gradient(state, *inputs, total, create_graph=True)
        return self._through_graph(syn, direction, inputs)

    def _forward_mode(
        self, state: State, inputs: tuple[Tensor, Tensor], total: int, direction: Gradients
    ) -> tuple[Tensor, Tensor | None]:
        with forward_ad.dual_level():
            weights = {
                name: forward_ad.make_dual(state[name].detach(), direction[name])  # type: ignore[no-untyped-call]
                for name in self.used
            }
            loss = cross_entropy(self._logits({**state, **weights}, inputs[0]), inputs[1], total)
            slope = forward_ad.unpack_dual(loss).tangent  # type: ignore[no-untyped-call]
        wanted = [tensor for tensor in inputs if tensor.requires_grad]
        grads = torch.autograd.grad(slope, wanted)
        return grads[0], grads[1] if len(grads) > 1 else None

    def _calibrate(self, batches: Batches, state: State) -> None:
        """Set batch-norm statistics from real images, as the published code does before freezing them."""
        with torch.no_grad():
            self.network(state, batches.calibration(CALIBRATION_IMAGES), train=True)


def _load_forward_rules() -> None:
    """Import torch's forward-mode rules now: the import warns about torch's own use of TorchScript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=FutureWarning)
        warnings.simplefilter("ignore", category=DeprecationWarning)
        importlib.import_module("torch._decomp.decompositions_for_jvp")


def _leaf_inputs(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Leaves to differentiate at: the images always, the labels when they are soft."""
    soft = labels.is_floating_point()
    return images.detach().requires_grad_(), labels.detach().requires_grad_() if soft else labels


def _parts(total: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, total)) for start in range(0, total, size))


def _each(groups: Sequence[int]) -> Iterator[Sequence[int]]:
    return ([group] for group in groups)


def _concatenate(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    if len(parts) == 1:
        return parts[0]
    return torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts])



