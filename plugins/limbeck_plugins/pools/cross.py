"""Pools across families of networks.

Paper: Zhao et al., "Dataset Condensation with Gradient Matching" (arXiv:2006.05929), table 3: sets distilled with one
family train the others. The vision transformer is that of "DC-BENCH" (arXiv:2207.09639).
"""

from __future__ import annotations

from pydantic import Field

from limbeck.errors import UsageError
from limbeck.networks.pool import Pool, vary
from limbeck.options import Options as OptionsBase
from limbeck.plugins import registry


class Cross(Pool):
    """One network of each family. The set's own network comes first and stands for its family."""

    class Options(OptionsBase):
        """Which families."""

        networks: tuple[str, ...] = Field(
            ("mlp", "convnet", "lenet", "alexnet", "vgg11", "resnet18", "vit"),
            min_length=1,
            description="their networks, each once; the set's own takes the place of its family",
        )

    def members(self, network: str) -> list[str]:
        """Return the set's own network, then those of the other families."""
        own = _family(network)
        return [network, *(name for name in self.options.networks if _family(name) != own)]


class BatchNorm(Pool):
    """Families with batch norm. The set's own network comes first with batch norm, in the place of its family."""

    class Options(OptionsBase):
        """Which families."""

        networks: tuple[str, ...] = Field(
            ("convnet-bn", "convnet-bn-swish", "alexnet-bn", "vgg11-bn", "resnet18-bn"),
            min_length=1,
            description="networks with batch norm; those of the set's own family keep the rest of its variant",
        )

    def members(self, network: str) -> list[str]:
        """Return the set's own family with batch norm where it has that, then the other families."""
        names, own = self.options.networks, _family(network)
        same = [name for name in names if _family(name) == own]
        first = [vary(network, *registry().find("networks", name)[1]) for name in same] or _with_batch_norm(network)
        return list(dict.fromkeys([*first, *(name for name in names if name not in same)]))


def _family(name: str) -> str:
    return registry().entry("networks", name).qualified


def _with_batch_norm(network: str) -> list[str]:
    try:
        return [vary(network, "bn")]
    except UsageError:
        return []
