"""Every random number has an owner: named generators derived from one seed.

Nothing in Limbeck draws from torch's global generator or from the clock.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

STREAMS = ("data", "init", "augment", "match", "train")


def derive_seed(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed that depends on ``seed`` and on every name, and on nothing else.

    Args:
        seed: the run's seed, any non-negative integer.
        names: the path to the owner, for example ``("eval", 3)``.
    """
    text = "/".join([str(seed), *map(str, names)]).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little") >> 1


def generator(seed: int, *names: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator of its own on ``device``, seeded from ``seed`` and the owner's names."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *names))


class Generators:
    """The streams of one run: ``data``, ``init``, ``augment``, ``match`` and ``train``.

    Evaluation has none: the generators of each of its networks are derived from the seed and the path
    ``eval/ROW/NUMBER``, whatever the run has drawn.

    Args:
        seed: the run's seed.
        device: where numbers are drawn; the stream differs between device types.
    """

    data: torch.Generator
    init: torch.Generator
    augment: torch.Generator
    match: torch.Generator
    train: torch.Generator

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.seed = seed
        self.device = torch.device(device)
        for name in STREAMS:
            setattr(self, name, generator(seed, name, device=device))

    def state_dict(self) -> dict[str, Tensor]:
        """Return the position of every stream as uint8 tensors."""
        return {name: getattr(self, name).get_state() for name in STREAMS}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Put every stream back where ``state_dict`` found it."""
        for name in STREAMS:
            getattr(self, name).set_state(state[name].cpu())
