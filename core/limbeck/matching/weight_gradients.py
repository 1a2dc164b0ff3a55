"""Gradients of a network's mean cross-entropy with respect to its weights, and what comes back through them.

With g(x) such a gradient and v a constant of its shape, d<g(x), v>/dx is found by double backward, or as one reverse
pass through the forward-mode derivative of the cross-entropy in weight direction v:
<g(x), v> = d/de CE(x; w + e v) at e = 0.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import grad, vmap

from limbeck.errors import UsageError
from limbeck.matching.forward_rules import stacked_logits
from limbeck.networks import FunctionalNetwork, State
from limbeck.seeding import generator

Gradients = dict[str, Tensor]
Inputs = tuple[Tensor, Tensor]
"""Images [m, ch, h, w] and labels, class ids [m] or probabilities [m, C]."""
SecondPass = Callable[[Inputs, Gradients], tuple[Tensor, Tensor | None]]
"""A way from stacked inputs [G, m, ...] and directions [G, ...] to gradients at the inputs."""


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


@dataclass(frozen=True)
class Slope:
    """A directional derivative s = <g(x), v> and what it depends on.

    Attributes:
        value: s, a scalar.
        images: ds/dx [m, ch, h, w].
        labels: ds/dy [m, C] for probabilities, None for class ids.
        weights: ds/dw by name; empty where it was not asked for.
    """

    value: Tensor
    images: Tensor
    labels: Tensor | None
    weights: Gradients


def cross_entropy_slope(logits: Tensor, moved: Tensor, labels: Tensor, total: int) -> Tensor:
    """Return the derivative of ``cross_entropy`` when logits [n, C] move in the direction ``moved`` [n, C]."""
    expected = (logits.softmax(1) * moved).sum(1)
    if labels.is_floating_point():
        return (expected * labels.sum(1) - (moved * labels).sum(1)).sum() / total
    return (expected - moved.gather(1, labels[:, None])[:, 0]).sum() / total


class WeightGradients:
    """Gradients with respect to some of a network's weights; nothing is dropped.

    Args:
        network: the structure.
        names: the weights that count.
        batch_norm: frozen at its statistics, or with those of the batch, which then must not be cut and whose state's
            buffers move.
    """

    def __init__(
        self, network: FunctionalNetwork, names: Sequence[str], batch_norm: Literal["frozen", "batch"] = "frozen"
    ) -> None:
        self.network, self.names = network, list(names)
        self._is_training = batch_norm == "batch" or not network.couples_samples
        self._trials: dict[str, bool] = {}

    def of_batch(
        self, state: State, images: Tensor, labels: Tensor, total: int, *, create_graph: bool = False
    ) -> Gradients:
        """Return a batch's share of the gradient of a mean over ``total`` images."""
        weights = self._leaves(state, True)
        loss = self._loss(weights, state, images, labels, total)
        found = torch.autograd.grad(loss, list(weights.values()), create_graph=create_graph)
        return dict(zip(weights, found, strict=True))

    def of_groups(self, state: State, images: Tensor, labels: Tensor) -> Gradients:
        """Return every group's own gradient in one pass.

        Args:
            state: weights and buffers.
            images: groups of equal size [G, m, ch, h, w].
            labels: [G, m] or [G, m, C].

        Returns:
            Gradients [G, ...] by weight name; differentiable in images and labels where those require it.
        """
        weights = {name: state[name].detach() for name in self.names}

        def loss(weights: Gradients, images: Tensor, labels: Tensor) -> Tensor:
            return self._loss(weights, state, images, labels, len(images))

        found: Gradients = vmap(grad(loss), in_dims=(None, 0, 0))(weights, images, labels)
        return found

    def stacks(self, state: State) -> bool:
        """Say whether ``of_groups`` can be trusted for this structure, by trying it once on two images.

        Some layers have no batched rule, and torch 2.15 returns a wrong second derivative for its layer norm.
        """
        return self._agrees("stacks", state, lambda inputs, own: pull_back(self.of_groups(state, *inputs), own, inputs))

    def has_rules(self, state: State) -> bool:
        """Say whether forward mode goes by the rules for layers, which is the fastest way, by trying it once."""

        def by_rules(inputs: Inputs, own: Gradients) -> tuple[Tensor, Tensor | None]:
            return self._one_by_one(inputs, own, lambda *one: self._slope_by_rules(state, *one).images)

        return self._agrees("rules", state, by_rules)

    def forwards(self, state: State) -> bool:
        """Say whether ``forward_mode`` can be trusted for this structure, by trying it once on two images.

        Torch 2.15 returns a wrong derivative for its layer norm and has none for its softmax.
        """

        def forward(inputs: Inputs, own: Gradients) -> tuple[Tensor, Tensor | None]:
            return self._one_by_one(inputs, own, lambda *one: self.forward_mode(state, *one)[0])

        return self._agrees("forwards", state, forward)

    def _one_by_one(
        self, inputs: Inputs, own: Gradients, second: Callable[[Inputs, int, Gradients], Tensor]
    ) -> tuple[Tensor, None]:
        """Return what ``second`` finds at the image of each group, with the group's own direction."""
        groups = [(leaf_inputs(image, label), place) for place, (image, label) in enumerate(zip(*inputs, strict=True))]
        found = [second(one, 1, {name: v[place] for name, v in own.items()}) for one, place in groups]
        return torch.stack(found), None

    def require_forward_mode(self, state: State) -> None:
        """Refuse forward mode for a structure with which it cannot be trusted.

        Raises:
            UsageError: says what to leave out.
        """
        if not self.forwards(state):
            raise UsageError(
                f"network '{self.network.name}' has layers that this version of PyTorch differentiates wrongly, or not "
                "at all, in forward mode. Leave out execution.second_pass=forward_mode."
            )

    def _agrees(self, way: str, state: State, second: SecondPass) -> bool:
        """Try ``second`` once on two groups of one image against double backward, image by image."""
        if way not in self._trials:
            try:
                self._trials[way] = self._try(state, second)
            except (RuntimeError, NotImplementedError):
                self._trials[way] = False
        return self._trials[way]

    def _try(self, state: State, second: SecondPass) -> bool:
        draw = generator(0, "trial", device=self.network.device)
        device, dtype = self.network.device, self.network.dtype

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=draw, device=device, dtype=dtype)

        images = normal(2, 1, *self.network.shape)
        labels = torch.zeros(2, 1, dtype=torch.int64, device=device)
        direction = {name: normal(2, *state[name].shape) for name in self.names}
        pulled, _ = second(leaf_inputs(images, labels), direction)
        for index, image in enumerate(images):
            own = {name: value[index] for name, value in direction.items()}
            alone, _ = self.double_backward(state, leaf_inputs(image, labels[index]), 1, own)
            if not torch.allclose(pulled[index], alone, rtol=1e-2, atol=1e-3 * float(alone.abs().max())):
                return False
        return True

    def forward_mode(
        self, state: State, inputs: Inputs, total: int, direction: Gradients
    ) -> tuple[Tensor, Tensor | None]:
        """Return d<g, v>/d(images, soft labels) by forward mode and one reverse pass."""
        found = self.forward_slope(state, inputs, total, direction)
        return found.images, found.labels

    def forward_slope(
        self, state: State, inputs: Inputs, total: int, direction: Gradients, *, weights: bool = False
    ) -> Slope:
        """Return <g, v> and its derivatives by forward mode and one reverse pass; at the weights too if asked."""
        if self.has_rules(state):
            return self._slope_by_rules(state, inputs, total, direction, weights)
        leaves = self._leaves(state, weights)
        with forward_ad.dual_level():
            duals = {
                name: forward_ad.make_dual(leaf, direction[name])  # type: ignore[no-untyped-call]
                for name, leaf in leaves.items()
            }
            loss = self._loss(duals, state, *inputs, total)
            value = forward_ad.unpack_dual(loss).tangent  # type: ignore[no-untyped-call]
        return _slope(value.detach(), [value], None, inputs, leaves if weights else {})

    def _slope_by_rules(
        self, state: State, inputs: Inputs, total: int, direction: Gradients, weights: bool = False
    ) -> Slope:
        leaves, (images, labels) = self._leaves(state, weights), inputs
        forward = partial(self.network, {**state, **leaves}, train=self._is_training, dropout="off")
        logits, moved = stacked_logits(forward, images, leaves, direction).chunk(2)
        value = cross_entropy_slope(logits, moved, labels, total)
        return _slope(value.detach(), [value], None, inputs, leaves if weights else {})

    def double_backward(
        self, state: State, inputs: Inputs, total: int, direction: Gradients
    ) -> tuple[Tensor, Tensor | None]:
        """Return d<g, v>/d(images, soft labels) by differentiating the gradient's graph."""
        return pull_back(self.of_batch(state, *inputs, total, create_graph=True), direction, inputs)

    def double_backward_slope(
        self, state: State, inputs: Inputs, total: int, direction: Gradients, *, weights: bool = False
    ) -> Slope:
        """Return <g, v> and its derivatives by differentiating the gradient's graph; at the weights too if asked."""
        leaves = self._leaves(state, True)
        loss = self._loss(leaves, state, *inputs, total)
        found = torch.autograd.grad(loss, list(leaves.values()), create_graph=True)
        vectors = [direction[name] for name in leaves]
        with torch.no_grad():
            value = torch.stack([(g * v).sum() for g, v in zip(found, vectors, strict=True)]).sum()
        return _slope(value, found, vectors, inputs, leaves if weights else {})

    def _leaves(self, state: State, requires_grad: bool) -> Gradients:
        return {name: state[name].detach().requires_grad_(requires_grad) for name in self.names}

    def loss(self, state: State, images: Tensor, labels: Tensor, total: int) -> Tensor:
        """Return a batch's share of the mean cross-entropy over ``total`` images, with the graph of all it is of."""
        return self._loss({}, state, images, labels, total)

    def _loss(self, weights: Mapping[str, Tensor], state: State, images: Tensor, labels: Tensor, total: int) -> Tensor:
        logits = self.network({**state, **weights}, images, train=self._is_training, dropout="off")
        return cross_entropy(logits, labels, total)


def pull_back(found: Gradients, direction: Gradients, inputs: Inputs) -> tuple[Tensor, Tensor | None]:
    """Return d<g, v>/d(images, soft labels) through the graph of gradients already found."""
    vectors = [direction[name] for name in found]
    return _pair(torch.autograd.grad(list(found.values()), _wanted(inputs), vectors))


def joined(found: Sequence[Slope]) -> Slope:
    """Return the slope of a whole batch from those of its chunks, in order."""
    if len(found) == 1:
        return found[0]
    labels = [each.labels for each in found if each.labels is not None]
    return Slope(
        torch.stack([each.value for each in found]).sum(),
        torch.cat([each.images for each in found]),
        torch.cat(labels) if labels else None,
        {name: torch.stack([each.weights[name] for each in found]).sum(0) for name in found[0].weights},
    )


def _slope(
    value: Tensor, outputs: Sequence[Tensor], vectors: Sequence[Tensor] | None, inputs: Inputs, leaves: Gradients
) -> Slope:
    wanted = _wanted(inputs)
    asked = [*wanted, *leaves.values()]
    found = torch.autograd.grad(outputs, asked, vectors, allow_unused=True, materialize_grads=True)
    images, labels = _pair(found[: len(wanted)])
    return Slope(value, images, labels, dict(zip(leaves, found[len(wanted) :], strict=True)))


def leaf_inputs(images: Tensor, labels: Tensor) -> Inputs:
    """Return leaves to differentiate at: the images always, the labels when they are soft."""
    soft = labels.is_floating_point()
    return images.detach().requires_grad_(), labels.detach().requires_grad_() if soft else labels


def load_forward_rules() -> None:
    """Import torch's forward-mode rules now: the import warns about torch's own use of TorchScript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=FutureWarning)
        warnings.simplefilter("ignore", category=DeprecationWarning)
        importlib.import_module("torch._decomp.decompositions_for_jvp")


def _wanted(inputs: Inputs) -> list[Tensor]:
    return [tensor for tensor in inputs if tensor.requires_grad]


def _pair(found: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    return found[0], found[1] if len(found) > 1 else None
