"""Attention matching: networks should look at the same places of real and synthetic images.

Paper: Sajedi et al., "DataDAM: Efficient Dataset Distillation with Attention Matching", ICCV 2023, arXiv:2310.00093:
spatial attention of every layer but the last, with L = L_SAM + lambda L_MMD.
Public code: DataDistillation/DataDAM (no licence file). Where it differs from the paper, and what is done here:

- Exponent: the paper raises activations to the power 4, the code to the power 1. ``exponent`` has the paper's default.
- Scale: the code multiplies both terms by 100, the paper does not. Here neither is multiplied, so that a learning rate
  of 1 in the code is one of 100 here. The method file has 100.
- Network: the paper's table has instance norm, the code's ConvNet batch norm. This matcher takes both; with batch norm
  a pass holds the images of all classes, as in the code.
- Layers: the code looks at the ReLUs of ``features``, but the last. Here it is every activation whose output is a map,
  but the last: the same layers there, and some in networks of any structure. One that is called more than once is seen
  in its last call.
- Length: maps of zeros stay zeros in both. The code divides by 1e-12 or more, which also shortens maps of small
  activations at power 4; here they are normalised like all others.
- Iterations (8000 in the paper's table, 20000 in the code) and the real batch (64 in the code) are the method file's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from limbeck import Options as OptionsBase
from limbeck.errors import UsageError, unknown_name
from limbeck.matching import FeatureMatcher, StepContext
from limbeck.networks.functional import EMBEDDING, FunctionalNetwork

Signals = dict[str, Tensor]


def attention(maps: Tensor, exponent: Literal[1, 2, 4]) -> Tensor:
    """Return where a layer looks: activations to a power, summed over channels, each sample of length 1.

    Args:
        maps: activations [n, ch, h, w].
        exponent: the power of their absolute values.

    Returns:
        [n, h w], not negative; zeros for a sample whose activations are all zero.
    """
    powers = maps.abs() if exponent == 1 else maps.square()
    energy = (powers.square() if exponent == 4 else powers).sum(1).flatten(1)
    top = energy.detach().amax(1, keepdim=True)
    return functional.normalize(energy / torch.where(top > 0, top, 1), dim=1)


class Attention(FeatureMatcher):
    """Squared distances of mean attention maps, and of mean embeddings with a weight (arXiv:2310.00093)."""

    class Options(OptionsBase):
        """Settings of attention matching."""

        layers: tuple[str, ...] | None = Field(
            None,
            min_length=1,
            description="layers whose maps are matched, such as [features.2]; an unknown name lists those there are; "
            "all activations but the last when not given",
        )
        exponent: Literal[1, 2, 4] = Field(4, description="power of activations; 4 in the paper, 1 in its public code")
        weight: float = Field(0.01, ge=0, description="of the distance of mean embeddings, lambda in the paper")

    def taps(self, network: FunctionalNetwork) -> Sequence[str]:
        """Look at the layers asked for, or at every activation but the last, and at what enters the classifier.

        Raises:
            UsageError: a layer is unknown or has no maps, or the network has too few of them.
        """
        maps, network_name = _layers_with_maps(network), f"network '{network.name}'"
        if not maps:
            raise UsageError(
                f"{network_name} has no layers with maps, so it looks at no places. Choose one of convolutions, as in "
                "--network convnet-d3-w128-in."
            )
        for name in self.options.layers or ():
            if name not in maps:
                raise unknown_name("layer", name, maps, f"These layers of {network_name} have maps.")
        layers = self.options.layers or [name for name, module in maps.items() if _is_activation(module)][:-1]
        if not layers:
            raise UsageError(
                f"{network_name} has no two activations with maps, of which all but the last are matched. Name layers, "
                f"as in --set 'matcher.layers=[{next(iter(maps))}]'. These have maps: {', '.join(maps)}."
            )
        return [*layers, EMBEDDING]

    def signal(self, maps: Mapping[str, Tensor]) -> Signals:
        """Each image's attention [n, h w] in every layer, and its embedding [n, k]."""
        exponent = self.options.exponent
        return {tap: out if tap == EMBEDDING else attention(out, exponent) for tap, out in maps.items()}

    def discrepancy(self, syn: Signals, real: Signals, step: StepContext) -> Tensor:
        """Return L_SAM + lambda L_MMD of one class, a scalar."""
        weights = {tap: self.options.weight if tap == EMBEDDING else 1.0 for tap in syn}
        return torch.stack([weights[tap] * (syn[tap] - real[tap]).square().sum() for tap in syn]).sum()


def _is_activation(module: nn.Module) -> bool:
    """Whether this works number by number, as PyTorch's activations do and those of timm."""
    softmaxes = nn.Softmax, nn.Softmax2d, nn.Softmin, nn.LogSoftmax
    return "activation" in type(module).__module__ and not isinstance(module, softmaxes)


def _layers_with_maps(network: FunctionalNetwork) -> dict[str, nn.Module]:
    """Return the modules whose output is [n, ch, h, w], by name, in the order they are called."""
    modules = {name: module for name, module in network.module.named_modules() if name}
    state = {**dict(network.module.named_parameters()), **dict(network.module.named_buffers())}
    blank = torch.zeros(1, *network.shape, device=network.device, dtype=network.dtype)
    with torch.no_grad():
        found = network.features(state, blank, list(modules), train=False)
    return {name: modules[name] for name, out in found.items() if isinstance(out, Tensor) and out.ndim == 4}
