"""Pools of one network with one thing changed at a time.

Paper: Zhao et al., "Dataset Condensation with Gradient Matching" (arXiv:2006.05929), appendix: sets distilled with one
choice of width, depth, norm, activation or pooling train networks of another.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from limbeck.networks.pool import Pool, vary
from limbeck.options import Options as OptionsBase


class Variants(Pool):
    """One network, spelt with each of ``tokens`` in turn; the rest of its variant is kept."""

    tokens: ClassVar[tuple[str, ...]]

    class Options(OptionsBase):
        """What is varied."""

        base: str | None = Field(None, description="network to vary; the set's own when not given")

    def members(self, network: str) -> list[str]:
        """Return the variants in order; the one that equals the network keeps its name.

        Raises:
            UsageError: the network has no such variants.
        """
        base = self.options.base or network
        return list(dict.fromkeys(vary(base, token) for token in self.tokens))


class Width(Variants):
    """The set's own network with 32, 64, 128 and 256 channels."""

    tokens = ("w32", "w64", "w128", "w256")


class Depth(Variants):
    """The set's own network with 1, 2, 3 and 4 blocks; small images do not take the deepest."""

    tokens = ("d1", "d2", "d3", "d4")


class Norm(Variants):
    """The set's own network without norm and with batch, layer, instance and group norm."""

    tokens = ("nonorm", "bn", "ln", "in", "gn")


class Activation(Variants):
    """The set's own network with sigmoid, ReLU, leaky ReLU and swish."""

    tokens = ("sigmoid", "relu", "leaky", "swish")


class Pooling(Variants):
    """The set's own network without pooling, with max pooling and with average pooling."""

    tokens = ("nopool", "max", "avg")
