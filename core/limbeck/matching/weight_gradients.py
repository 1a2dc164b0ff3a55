"""Gradients of a network's mean cross-entropy with respect to its weights, and what comes back through them.

With g(x) such a gradient and v a constant of its shape, d<g(x), v>/dx is found by double backward, or as one reverse
pass through the forward-mode derivative of the cross-entropy in weight direction v:
<g(x), v> = d/de CE(x; w + e v) at e = 0.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
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

    def stacks(self) -> bool:
        """Say whether ``of_groups`` can be trusted for this structure, by trying it once on two images.

        Some layers have no batched rule, and torch 2.15 returns a wrong second derivative for its layer norm.
        """

        def agrees(state: State, images: Tensor, labels: Tensor, along: Gradients) -> bool:
            inputs = leaf_inputs(images[:, None], labels[:, None])
            both = {name: torch.stack([value, -value]) for name, value in along.items()}
            pulled, _ = pull_back(self.of_groups(state, *inputs), both, inputs)
            ones = [leaf_inputs(images[place : place + 1], labels[place : place + 1]) for place in (0, 1)]
            alone = [self.double_backward(state, one, 1, along).images for one in ones]
            return _close(pulled, torch.stack([alone[0], -alone[1]]))

        return self._tried("stacks", agrees)

    def has_rules(self) -> bool:
        """Say whether forward mode goes by the rules for layers, which is the fastest way, by trying it once."""
        return self._tried("rules", partial(self._agrees, self._by_rules))

    def forwards(self) -> bool:
        """Say whether ``forward_mode`` can be trusted for this structure, by trying it once on two images.

        Torch 2.15 returns a wrong derivative for its layer norm and has none for its softmax.
        """
        return self._tried("forwards", partial(self._agrees, self.forward_mode))

    def require_forward_mode(self) -> None:
        """Refuse forward mode for a structure with which it cannot be trusted.

        Raises:
            UsageError: says what to leave out.
        """
        if not self.forwards():
            raise UsageError(
                f"network '{self.network.name}' has layers that this version of PyTorch differentiates wrongly, or not "
                "at all, in forward mode. Leave out execution.second_pass=forward_mode."
            )

    def _tried(self, way: str, agrees: Callable[[State, Tensor, Tensor, Gradients], bool]) -> bool:
        """Try a way once, always with the same weights and images, so that every part of a run decides alike."""
        if way not in self._trials:
            try:
                with torch.backends.cudnn.flags(allow_tf32=False):
                    self._trials[way] = agrees(*self._trial())
            except Exception as error:
                if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
                    raise
                self._trials[way] = False  # whatever a layer made of it, double backward will do
        return self._trials[way]

    def _trial(self) -> tuple[State, Tensor, Tensor, Gradients]:
        """Return weights, two images, their labels and a direction, the same whenever they are asked for."""
        draw = generator(0, "trial", device=self.network.device)
        state = self.network.initial(draw)
        images = state[self.names[0]].new_empty((2, *self.network.shape)).normal_(generator=draw)
        along = {name: torch.empty_like(state[name]).normal_(generator=draw) for name in self.names}
        return state, images, torch.zeros(2, dtype=torch.int64, device=images.device), along

    def _agrees(
        self, second: Callable[..., Slope], state: State, images: Tensor, labels: Tensor, along: Gradients
    ) -> bool:
        """Compare a second pass with double backward, at images and at weights."""
        found, expected = (
            way(state, leaf_inputs(images, labels), 2, along, weights=True) for way in (second, self.double_backward)
        )
        flat = (torch.cat([each.weights[name].reshape(-1) for name in self.names]) for each in (found, expected))
        return _close(*flat) and _close(found.images, expected.images)

    def forward_mode(
        self, state: State, inputs: Inputs, total: int, direction: Gradients, *, weights: bool = False
    ) -> Slope:
        """Return <g, v> and its derivatives by forward mode and one reverse pass; at the weights too if asked."""
        if self.has_rules():
            return self._by_rules(state, inputs, total, direction, weights=weights)
        leaves = self._leaves(state, weights)
        with forward_ad.dual_level():
            duals = {
                name: forward_ad.make_dual(leaf, direction[name])  # type: ignore[no-untyped-call]
                for name, leaf in leaves.items()
            }
            loss = self._loss(duals, state, *inputs, total)
            value = forward_ad.unpack_dual(loss).tangent  # type: ignore[no-untyped-call]
        return _slope(value.detach(), [value], None, inputs, leaves if weights else {})

    def _by_rules(
        self, state: State, inputs: Inputs, total: int, direction: Gradients, *, weights: bool = False
    ) -> Slope:
        leaves, (images, labels) = self._leaves(state, weights), inputs
        forward = partial(self.network, {**state, **leaves}, train=self._is_training, dropout="off")
        logits, moved = stacked_logits(forward, images, leaves, direction).chunk(2)
        value = cross_entropy_slope(logits, moved, labels, total)
        return _slope(value.detach(), [value], None, inputs, leaves if weights else {})

    def double_backward(
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


def joined(found: Iterable[Slope]) -> Slope:
    """Return the slope of a whole batch from those of its chunks, in order; one chunk's weights are held at a time."""
    values, images, labels = [], [], []
    weights: Gradients = {}
    for each in found:
        values.append(each.value)
        images.append(each.images)
        labels += [] if each.labels is None else [each.labels]
        for name, share in each.weights.items():
            weights[name] = weights[name] + share if name in weights else share
    return Slope(torch.stack(values).sum(), torch.cat(images), torch.cat(labels) if labels else None, weights)


def _slope(
    value: Tensor, outputs: Sequence[Tensor], vectors: Sequence[Tensor] | None, inputs: Inputs, leaves: Gradients
) -> Slope:
    wanted = _wanted(inputs)
    asked = [*wanted, *leaves.values()]
    found = torch.autograd.grad(outputs, asked, vectors, allow_unused=True, materialize_grads=True)
    images, labels = _pair(found[: len(wanted)])
    return Slope(value, images, labels, dict(zip(leaves, found[len(wanted) :], strict=True)))


def _close(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found, expected, rtol=1e-2, atol=1e-3 * float(expected.abs().max()))


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
