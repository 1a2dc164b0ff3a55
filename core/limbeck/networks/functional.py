"""A network as a pure function of its weights.

Matching needs many networks of one structure: fresh ones each step, one walked by inner training, snapshots
of experts. So the structure is built once and the weights travel as a dictionary of tensors.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from limbeck.component import Component
from limbeck.errors import UsageError, unknown_name
from limbeck.networks.dropout import Owner, own_draws_only, own_dropout

State = dict[str, Tensor]
"""Weights and buffers of one network by their names in the module."""

EMBEDDING = "embedding"
"""The tap that gives the flattened features entering the last linear layer, shape [n, k]."""


class Network(Component, ABC):
    """A family of network structures under one registered name."""

    @abstractmethod
    def build(self, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
        """Return the module for images of one shape.

        Args:
            shape: (channels, height, width) of one image.
            num_classes: width of the classifier head.

        Raises:
            UsageError: the structure does not fit images of this size.
        """


class FunctionalNetwork:
    """One structure on one device, called with whatever weights the caller holds.

    Args:
        module: the structure; its own weights are never used, and its dropout modules are replaced by ``Dropout``.
        shape: (channels, height, width) it was built for.
        device: where it computes.
        dtype: floating-point type of weights and images.
    """

    def __init__(
        self,
        module: nn.Module,
        shape: tuple[int, int, int],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        name: str = "",
    ) -> None:
        self.module = module.to(device=device, dtype=dtype).requires_grad_(False)
        self.shape, self.device, self.dtype, self.name = shape, torch.device(device), dtype, name
        self.parameter_names = [key for key, _ in module.named_parameters()]
        self.buffer_names = [key for key, _ in module.named_buffers()]
        self.classifier_name = _last_linear(module, name)
        self._dropouts = own_dropout(module)

    @property
    def num_parameters(self) -> int:
        """Number of trainable numbers."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    @functools.cached_property
    def num_classes(self) -> int:
        """Number of logits an image gets."""
        return self._blank_pass().shape[1]

    @property
    def couples_samples(self) -> bool:
        """Whether a sample's output depends on the rest of its batch in train mode (batch norm)."""
        return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in self.module.modules())

    def initial(self, generator: torch.Generator) -> State:
        """Draw fresh weights from PyTorch's default distributions, with ``generator`` alone.

        A module with a method ``draw_state(generator)``, as a network of another library has, draws them itself.
        Buffers that nothing draws are as the structure has them.

        Args:
            generator: owner of the draw; must live on the network's device.
        """
        draw: Callable[[torch.Generator], State] | None = getattr(self.module, "draw_state", None)
        state: State = {} if draw is None else draw(generator)
        for prefix, module in self.module.named_modules() if draw is None else ():
            for key, value in _initial_tensors(module, generator).items():
                state[f"{prefix}.{key}" if prefix else key] = value
        return state | {name: own.clone() for name, own in self.module.named_buffers() if name not in state}

    def flatten(self, state: Mapping[str, Tensor]) -> Tensor:
        """Return all trainable numbers as one vector [P], parameters in the order of ``parameter_names``."""
        return torch.cat([state[name].reshape(-1) for name in self.parameter_names])

    def unflatten(self, flat: Tensor) -> State:
        """Return weights that are views of a vector [P], and buffers as a fresh network has them.

        Args:
            flat: what ``flatten`` returned, of weights of this structure.
        """
        shapes = dict(self.module.named_parameters())
        parts = torch.split(flat, [shapes[name].numel() for name in self.parameter_names])
        pairs = zip(self.parameter_names, parts, strict=True)
        weights = {name: part.view_as(shapes[name]) for name, part in pairs}
        return weights | {name: buffer.clone() for name, buffer in self.module.named_buffers()}

    @property
    def drops(self) -> bool:
        """Whether something is dropped at random in train mode."""
        return any(module.p > 0 for module in self._dropouts)

    def __call__(
        self, state: Mapping[str, Tensor], images: Tensor, *, train: bool = True, dropout: Owner = None
    ) -> Tensor:
        """Return logits [n, classes] of normalised images [n, ch, h, w] under the weights ``state``.

        Args:
            state: weights and buffers; buffers are updated in place where the structure does so in training.
            images: normalised, of the network's dtype.
            train: the module's mode: batch norm uses the batch's statistics, dropout acts.
            dropout: owner of the masks in train mode, or ``"off"``; needed only where something is dropped. Two calls
                on halves of a batch draw other masks than one call on the whole.

        Raises:
            UsageError: images of another size, or nobody owns the masks.
        """
        self.check(images)
        self.module.train(train)
        with self._lent(dropout):
            logits: Tensor = functional_call(self.module, dict(state), (images,))
        return logits

    @contextmanager
    def _lent(self, owner: Owner) -> Iterator[None]:
        for module in self._dropouts:
            module.owner = owner
        try:
            yield
        finally:
            for module in self._dropouts:
                module.owner = None

    def features(
        self,
        state: Mapping[str, Tensor],
        images: Tensor,
        taps: Sequence[str],
        *,
        train: bool = True,
        dropout: Owner = None,
    ) -> dict[str, Tensor]:
        """Return what flows out of the named modules, or into the classifier for ``"embedding"``.

        Args:
            state: weights and buffers.
            images: normalised images [n, ch, h, w].
            taps: module names as in ``named_modules``, or ``"embedding"``.
            train: the module's mode.
            dropout: owner of the masks in train mode, or ``"off"``.

        Returns:
            One tensor per tap, first axis the n samples.

        Raises:
            UnknownNameError: a tap is no module of this network.
        """
        found: dict[str, Tensor] = {}
        with ExitStack() as stack:
            for tap in taps:
                stack.enter_context(self._tapped(tap, found))
            self(state, images, train=train, dropout=dropout)
        return found

    def names_of(self, kind: type[nn.Module]) -> list[str]:
        """List the modules of one class in the order they were defined (``names_of(nn.ReLU)``)."""
        return [name for name, module in self.module.named_modules() if isinstance(module, kind)]

    def largest_activation(self) -> int:
        """Return the bytes of the largest tensor that one image becomes on its way through."""
        found: list[int] = []
        leaves = [module for module in self.module.modules() if not list(module.children())]
        handles = [
            leaf.register_forward_hook(lambda _, __, out: found.append(out.numel() * out.element_size()))
            for leaf in leaves
        ]
        try:
            self._blank_pass()
        finally:
            for handle in handles:
                handle.remove()
        return max(found)

    def fitting(self) -> FunctionalNetwork:
        """Return this network, once two blank images have gone through it in train mode.

        Raises:
            UsageError: its structure does not take images of its shape, or draws random numbers of its own.
        """
        try:
            with own_draws_only(self.module, self.device, self.name):
                self._blank_pass(2, train=True)
        except (RuntimeError, ValueError, AssertionError) as error:
            raise UsageError(
                f"network '{self.name}' does not take images of {_size(self.shape)} (channels x height x width): "
                f"{_first_line(error)}. Choose another with --network; 'limbeck list networks' shows all."
            ) from error
        return self

    def _blank_pass(self, count: int = 1, *, train: bool = False) -> Tensor:
        state = {**dict(self.module.named_parameters()), **dict(self.module.named_buffers())}
        with torch.no_grad():
            images = torch.zeros(count, *self.shape, device=self.device, dtype=self.dtype)
            return self(state, images, train=train, dropout="off")

    def check(self, images: Tensor) -> None:
        """Refuse images this network was not built for.

        Raises:
            UsageError: channels, height or width differ.
        """
        if tuple(images.shape[1:]) != self.shape:
            raise UsageError(
                f"network '{self.name}' was built for images of {_size(self.shape)}, "
                f"but these are {_size(images.shape[1:])} (channels x height x width)."
            )

    @contextmanager
    def _tapped(self, tap: str, found: dict[str, Tensor]) -> Iterator[None]:
        if tap == EMBEDDING:
            module = self.module.get_submodule(self.classifier_name)
            handle: Any = module.register_forward_pre_hook(
                lambda _, inputs: found.__setitem__(EMBEDDING, inputs[0].flatten(1))
            )
        else:
            names = dict(self.module.named_modules())
            if tap not in names:
                raise unknown_name("layer", tap, [EMBEDDING, *filter(None, names)])
            handle = names[tap].register_forward_hook(lambda _, __, out: found.__setitem__(tap, out))
        try:
            yield
        finally:
            handle.remove()


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _last_linear(module: nn.Module, name: str) -> str:
    names: list[str] = [name for name, child in module.named_modules() if isinstance(child, nn.Linear)]
    if not names:
        what = f"network '{name}'" if name else type(module).__name__
        raise UsageError(f"{what} has no linear classifier, so it has no embedding to match.")
    return names[-1]


def _initial_tensors(module: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
    """Draw one module's own parameters and buffers as its constructor would have."""
    own = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}
    if not own:
        return {}
    if isinstance(module, nn.modules.conv._ConvNd | nn.Linear):
        return _kaiming(module, generator)
    draw: Any = getattr(module, "draw", None)
    if draw is not None:
        drawn: dict[str, Tensor] = draw(generator)
        return drawn
    if isinstance(module, nn.modules.batchnorm._NormBase | nn.GroupNorm | nn.LayerNorm):
        return {key: _norm_start(key, value) for key, value in own.items()}
    if not any(True for _ in module.parameters(recurse=False)):
        return {}
    raise UsageError(
        f"no rule to initialise {type(module).__name__}: give it a method draw(generator) "
        "that returns its own tensors by name."
    )


def _kaiming(module: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
    """PyTorch's default for convolutions and linear layers: both bounds come out as 1/sqrt(fan in)."""
    weight: Tensor = module.get_parameter("weight")
    bound = 1 / math.sqrt(weight[0].numel())
    own = dict(module.named_parameters(recurse=False))
    return {key: torch.empty_like(p).uniform_(-bound, bound, generator=generator) for key, p in own.items()}


def _norm_start(key: str, value: Tensor) -> Tensor:
    return torch.ones_like(value) if key in ("weight", "running_var") else torch.zeros_like(value)
