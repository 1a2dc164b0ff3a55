"""NASWOT: in how many ways do images switch the ReLUs of a fresh network?

Paper: Mellor et al., "Neural Architecture Search without Training" (arXiv:2006.04647, version 3), section 3: c_i says
for each of N_A units whether image i switches it on, K_ij = N_A - Hamming(c_i, c_j), and the score is log |det K|.
Public code: BayesWatch/nas-without-training (MIT).

The same: a batch of 128, batch norm in training mode, units counted at the input of every ReLU. Different: what counts
as a ReLU is named below, and a network without one is refused, where the public code scores it as no number; double
precision, in which K is exact. Two images that switch all units alike make the determinant zero: the worst score.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from limbeck.errors import UsageError
from limbeck.networks import FunctionalNetwork
from limbeck_applications.nas.proxies.untrained import OnBatch, batch_of, fresh
from limbeck_applications.nas.proxy import Candidate, Material

SWITCHES = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU)
"""Activations that are linear on both sides of zero, so that a unit is on or off."""


class Nwot(OnBatch):
    """How many ways of switching the ReLUs a batch of real images shows."""

    class Options(OnBatch.Options):
        """How large the batch is."""

        images: int = Field(128, ge=2, description="real training images looked at, drawn by lot")

    def value(self, candidate: Candidate, material: Material) -> float:
        """Return log |det K|; minus infinity where two images switch all units alike.

        Args:
            candidate: the architecture.
            material: holds the batch.

        Raises:
            UsageError: the network has no ReLU.
        """
        network, images = candidate.network, batch_of(material)[0]
        with counted_agreement(network, len(images)) as agreement, torch.no_grad():
            network(fresh(candidate), images, dropout="off")
        if not bool(agreement.any()):
            raise UsageError(
                f"proxy '{self.name}' counts ReLUs that are on, but '{candidate.architecture.name}' has no ReLU "
                "module: its activation is never off, as with sigmoid, or is called as a function, which is not seen. "
                "Rank such architectures by another proxy."
            )
        return float(torch.linalg.slogdet(agreement).logabsdet)


@contextmanager
def counted_agreement(network: FunctionalNetwork, number: int) -> Iterator[Tensor]:
    """Yield K, float64 [n, n], to which each ReLU adds on how many units two of the n images agree."""
    agreement = torch.zeros(number, number, dtype=torch.float64, device=network.device)

    def look(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        on = (inputs[0] > 0).flatten(1).double()
        agreement.add_(on @ on.T + (1 - on) @ (1 - on).T)

    switches = [module for module in network.module.modules() if isinstance(module, SWITCHES)]
    handles = [module.register_forward_pre_hook(look) for module in switches]
    try:
        yield agreement
    finally:
        for handle in handles:
            handle.remove()
