"""Dropout whose masks have an owner: they are drawn from a generator that is lent for each call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from limbeck.errors import UsageError

Owner = torch.Generator | Literal["off"] | None
"""Where dropout masks are drawn from in train mode; ``"off"`` leaves dropout out."""


class Dropout(nn.Module):
    """Zero values at random in train mode and scale up the rest; do nothing in eval mode.

    Masks come from ``owner``, which ``FunctionalNetwork`` sets for each of its calls, in the order of the calls: so
    they depend on how a batch is cut into passes, and on nothing else but the generator.

    Args:
        p: probability of a zero, in [0, 1].
        axes: leading axes along which masks differ; 2 drops whole channels, 1 whole samples, None each value alone.
        scale: whether the rest is divided by 1 - p, so that the expected value stays.

    Attributes:
        owner: the generator to draw from, or ``"off"``.
    """

    def __init__(self, p: float = 0.5, axes: int | None = None, *, scale: bool = True) -> None:
        super().__init__()
        self.p, self.axes, self.scale = p, axes, scale
        self.owner: Owner = None

    def forward(self, values: Tensor) -> Tensor:
        """Return ``values`` [n, ...] with some of them zeroed.

        Raises:
            UsageError: in train mode, when no generator was lent.
        """
        if not self.training or self.p == 0 or self.owner == "off":
            return values
        if not isinstance(self.owner, torch.Generator):
            raise UsageError(
                "this network drops values at random in train mode and was given no generator to draw from: "
                "call it with dropout=generator, with dropout='off', or with train=False."
            )
        axes = values.dim() if self.axes is None else self.axes
        shape = [*values.shape[:axes], *[1] * (values.dim() - axes)]
        mask = torch.empty(shape, device=self.owner.device).bernoulli_(1 - self.p, generator=self.owner)
        if self.scale and self.p < 1:
            mask /= 1 - self.p
        return values * mask.to(values)

    def extra_repr(self) -> str:
        """Say p and the axes."""
        return f"p={self.p}" + ("" if self.axes is None else f", axes={self.axes}")


def own_dropout(module: nn.Module) -> list[Dropout]:
    """Replace PyTorch's dropout modules, which draw from the global generator, and return all that have an owner.

    Args:
        module: changed in place, whatever library it comes from.
    """
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, _DropoutNd) and type(child) in _AXES:
                setattr(parent, name, Dropout(child.p, _AXES[type(child)]))
    return [child for child in module.modules() if isinstance(child, Dropout)]


@contextmanager
def own_draws_only(module: nn.Module, device: torch.device, name: str) -> Iterator[None]:
    """Refuse a network that moves PyTorch's global generators inside this context; they are put back.

    RReLU is refused whatever it is seen to do, for it draws only where a value is negative.

    Args:
        module: the network.
        device: where it computes.
        name: what it is called.

    Raises:
        UsageError: it does; the message names the module.
    """
    devices = [device] if device.type == "cuda" else []
    active, culprits = [module], [type(child).__name__ for child in module.modules() if isinstance(child, nn.RReLU)]
    with torch.random.fork_rng(devices), ExitStack() as stack:
        before = _positions(devices)

        def look() -> None:
            if not culprits and not all(map(torch.equal, before, _positions(devices))):
                culprits.append(type(active[-1]).__name__)

        def enter(child: nn.Module, _: Any) -> None:
            look()
            active.append(child)

        def leave(_: nn.Module, __: Any, ___: Any) -> None:
            look()
            active.pop()

        for child in module.modules():
            stack.callback(child.register_forward_pre_hook(enter).remove)
            stack.callback(child.register_forward_hook(leave).remove)
        yield
    if culprits:
        raise UsageError(
            f"network '{name}' draws from PyTorch's global generator in train mode ({culprits[0]}), which nothing here "
            "owns. Use limbeck.networks.Dropout there, or set its probability to 0."
        )


def _positions(devices: Sequence[torch.device]) -> list[Tensor]:
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in devices)]


_AXES: dict[type[Any], int | None] = {nn.Dropout: None, nn.Dropout1d: 2, nn.Dropout2d: 2, nn.Dropout3d: 2}
