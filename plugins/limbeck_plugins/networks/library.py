"""Networks of other libraries: their structure and their initialisation, with every random number ours."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from limbeck.errors import UnknownNameError, UsageError
from limbeck.networks import Dropout

SHOWN = 100
"""Most names that an error lists; above that, only those near the one asked for."""


class LibraryNetwork(nn.Module):
    """A network that a library's function makes, initialised as that function does it.

    Attention takes the path of plain arithmetic, which has second derivatives.

    Args:
        make: returns the network; the weights it draws count, so it is called for every fresh start.
        replace: returns the owned dropout that takes the place of a module of the library, or None.
    """

    def __init__(self, make: Callable[[], nn.Module], replace: Callable[[nn.Module], Dropout | None]) -> None:
        super().__init__()
        self._make = make
        self.network = make()
        for parent in list(self.network.modules()):
            for name, child in list(parent.named_children()):
                owned = replace(child)
                if owned is not None:
                    setattr(parent, name, owned)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [n, C]."""
        with sdpa_kernel(SDPBackend.MATH):
            logits: Tensor = self.network(images)
        return logits

    def draw_state(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Return fresh weights and buffers by name.

        The library draws from PyTorch's global generator, which is moved to a place drawn from ``generator`` and then
        put back where it was.
        """
        seed = torch.randint(2**63 - 1, (), generator=generator, device=generator.device)
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(torch.Generator().manual_seed(int(seed)).get_state())
            fresh = self._make()
        kinds = {**dict(self.network.named_parameters()), **dict(self.network.named_buffers())}
        drawn = {**dict(fresh.named_parameters()), **dict(fresh.named_buffers())}
        return {f"network.{name}": drawn[name].detach().to(kind) for name, kind in kinds.items()}


def named_as(library: str, asked: str, names: Iterable[str]) -> str:
    """Return the library's name for what was asked for, with hyphens and underscores alike.

    Raises:
        UnknownNameError: there is none; the message has the names, or those near it where they are many.
    """
    known = {name.replace("_", "-"): name for name in names}
    key = asked.replace("_", "-")
    if key in known:
        return known[key]
    near = [known[match] for match in difflib.get_close_matches(key, known, n=8, cutoff=0.5)]
    guess = f" Did you mean '{library}-{near[0]}'?" if near else ""
    shown = sorted(known.values()) if len(known) <= SHOWN else near
    listed = f"{'Known' if len(known) <= SHOWN else 'Near it'}: {', '.join(shown) or 'none'}."
    raise UnknownNameError(f"{library} has no network '{asked}'.{guess} {listed}")


def adapt_first_convolution(network: nn.Module, channels: int) -> nn.Module:
    """Give a network made for colour images a first convolution for ``channels``, with PyTorch's default weights."""
    if channels == 3:
        return network
    name, first = next((name, child) for name, child in network.named_modules() if isinstance(child, nn.Conv2d))
    parent, _, own = name.rpartition(".")
    made: Mapping[str, Any] = {
        key: getattr(first, key) for key in ("kernel_size", "stride", "padding", "dilation", "padding_mode")
    }
    convolution = nn.Conv2d(channels, first.out_channels, bias=first.bias is not None, **made)
    setattr(network.get_submodule(parent), own, convolution)
    return network


def made(name: str, shape: tuple[int, int, int], make: Callable[[], nn.Module]) -> nn.Module:
    """Return what ``make`` returns.

    Raises:
        UsageError: the library refuses; its reason is in the message.
    """
    try:
        return make()
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        size = "x".join(map(str, shape))
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise UsageError(f"network '{name}' cannot be made for images of {size}: {reason}.") from error
