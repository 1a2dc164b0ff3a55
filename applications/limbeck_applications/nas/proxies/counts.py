"""Size as a proxy: the number of trainable numbers, and the operations of a forward pass.

Paper: Krishnakumar et al., "NAS-Bench-Suite-Zero" (arXiv:2210.03230), has both among its thirteen proxies, as the
baselines that the others must beat. Written from the definitions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

from limbeck_applications.nas.proxies.untrained import Untrained
from limbeck_applications.nas.proxy import Candidate, Material, Score


class Parameters(Untrained):
    """The number of trainable numbers."""

    def value(self, candidate: Candidate, material: Material) -> float:
        """Return how many numbers training would change.

        Args:
            candidate: the architecture.
            material: not used.
        """
        return float(candidate.network.num_parameters)


class Flops(Untrained):
    """The operations of one image's forward pass."""

    def score(self, candidates: Sequence[Candidate], material: Material) -> list[Score]:
        """Count one architecture after the other.

        Args:
            candidates: the architectures.
            material: says how large images are.
        """
        with FlopCounterMode(display=False):
            torch.zeros(())  # the first use in a process imports for seconds, which no architecture is to blame for
        return super().score(candidates, material)

    def value(self, candidate: Candidate, material: Material) -> float:
        """Return floating-point operations in convolutions and linear layers, two for a multiplication and addition.

        Args:
            candidate: the architecture.
            material: says how large images are.
        """
        module = candidate.network.module
        named = (*module.named_parameters(), *module.named_buffers())
        shapes = {name: value.to("meta") for name, value in named}  # where no device has a way of its own to compute
        image = torch.empty(1, *material.spec.shape, device="meta", dtype=candidate.network.dtype)
        with FlopCounterMode(display=False) as counted, torch.no_grad():
            candidate.network(shapes, image, train=False)
        return float(counted.get_total_flops())
