"""The multilayer perceptron of the field: two hidden layers of 128 units.

In the form of Zhao et al., "Dataset Condensation with Gradient Matching" (arXiv:2006.05929), section 4.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pydantic import Field
from torch import nn

from limbeck.networks.functional import Network
from limbeck.options import Options as OptionsBase
from limbeck_plugins.networks.blocks import Classified, Shape, read_variant


class MLP(Network):
    """Pixels through hidden linear layers with ReLU, then a linear classifier; takes images of any size.
    Tokens of a variant: ``d2`` hidden layers, ``w128`` units of each, as in ``mlp-d3-w64``.
    """

    class Options(OptionsBase):
        """Structure of the network."""

        depth: int = Field(2, ge=1, le=12, description="hidden layers")
        width: int = Field(128, ge=1, description="units of every hidden layer")

    @classmethod
    def variant(cls, tokens: Sequence[str]) -> dict[str, Any]:
        """Read ``["d2", "w128"]`` as ``{"depth": 2, "width": 128}``."""
        return read_variant("mlp", tokens, {}, {"d": "depth", "w": "width"}, "mlp-d3-w64")

    def build(self, shape: Shape, num_classes: int) -> nn.Module:
        """Return the module; its layers are ``features.<i>`` and ``classifier``."""
        layers: list[nn.Module] = [nn.Flatten()]
        units = math.prod(shape)
        for _ in range(self.options.depth):
            layers += [nn.Linear(units, self.options.width), nn.ReLU()]
            units = self.options.width
        return Classified(nn.Sequential(*layers), nn.Linear(units, num_classes))
