"""Synaptic flow: what flows from an image of ones through the absolute weights.

Paper: Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic flow"
(arXiv:2006.05467), Eq. 2: R = 1' |W_L| ... |W_1| 1 and, for each weight, w dR/dw. As a proxy: Abdelfattah et al.,
"Zero-Cost Proxies for Lightweight NAS" (arXiv:2101.08134), section 3: the sum over all weights. Public code:
SamsungLabs/zero-cost-nas (Apache-2.0), ganguli-lab/Synaptic-Flow.

The same: absolute values, an image of ones, norms passed over, double precision (R of deep networks leaves single),
the sum over weights of convolutions and linear layers. Different: biases are zero, as in the equation, where the
public code lets them flow too; every norm is passed over and not batch norm alone, since none of them lets the flow
grow with the weights.

With ReLU and without biases every layer's sum is R itself. With sigmoid R has no such meaning, but is a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from limbeck.networks import FunctionalNetwork
from limbeck_applications.nas.proxies.untrained import Untrained, fresh, weight_names
from limbeck_applications.nas.proxy import Candidate, Material

NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.LocalResponseNorm)


class Synflow(Untrained):
    """The flow through the absolute weights; no real image is looked at."""

    def value(self, candidate: Candidate, material: Material) -> float:
        """Return the sum of w dR/dw over the weights.

        Args:
            candidate: the architecture.
            material: says how large images are.
        """
        network, names = candidate.network, weight_names(candidate.network)
        state = {
            name: value.abs() if name in names else torch.zeros_like(value) if name.endswith("bias") else value
            for name, value in fresh(candidate).items()
        }
        weights = [state[name].requires_grad_() for name in names]
        ones = torch.ones(1, *material.spec.shape, device=network.device, dtype=torch.float64)
        with without_norms(network):
            flow = network(state, ones, train=False).sum()
        gradients = torch.autograd.grad(flow, weights, allow_unused=True, materialize_grads=True)
        with torch.no_grad():
            sums = [(weight * gradient).sum() for weight, gradient in zip(weights, gradients, strict=True)]
        return float(torch.stack(sums).sum())


@contextmanager
def without_norms(network: FunctionalNetwork) -> Iterator[None]:
    """Let what flows into a norm flow out of it unchanged."""
    norms = [module for module in network.module.modules() if isinstance(module, NORMS)]
    handles = [module.register_forward_hook(lambda _, inputs, __: inputs[0]) for module in norms]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
