"""Pools: networks that a set is judged by together, named from the set's own."""

from __future__ import annotations

from abc import ABC, abstractmethod

from limbeck.component import Component
from limbeck.data.spec import DataSpec
from limbeck.errors import UsageError
from limbeck.networks.build import build_network
from limbeck.plugins import registry


class Pool(Component, ABC):
    """Names the networks a set is trained on to see how far it carries."""

    @abstractmethod
    def members(self, network: str) -> list[str]:
        """Return names of networks, each once, the set's own first where it belongs.

        Args:
            network: the set's own network.

        Raises:
            UsageError: that network has no such variants.
        """

    def fitting(self, network: str, spec: DataSpec) -> tuple[list[str], dict[str, str]]:
        """Return the members that take a data set's images, and why each of the others does not.

        Args:
            network: the set's own network.
            spec: the data set.

        Returns:
            Names in order, and one line by name for those left out.
        """
        fits, left_out = [], {}
        for member in self.members(network):
            try:
                build_network(member, spec)
            except UsageError as error:
                left_out[member] = str(error)
            else:
                fits.append(member)
        return fits, left_out


def vary(network: str, *tokens: str) -> str:
    """Return the name of a network's variant: ``vary("convnet-d3-w32", "w64")`` is ``"convnet-d3-w64"``.

    Each token takes the place of the one that set the same option. A variant that equals the network keeps the
    network's name.

    Args:
        network: a name, with or without a variant.
        *tokens: parts of a variant's name.

    Raises:
        UsageError: the network's family does not know a token.
    """
    found = registry()
    cls, _ = found.load("networks", network)
    given = found.find("networks", network)[1]
    family = network[: len(network) - len("-".join(["", *given]))]
    for token in tokens:
        try:
            options = cls.variant([token]).keys()
        except UsageError as error:
            raise UsageError(f"network '{family}' has no variants like '{token}': {error}") from error
        rest = [None if cls.variant([other]).keys() & options else other for other in given]
        given = [other or token for other in rest] + ([] if None in rest else [token])
    changed = "-".join([family, *given])
    same = found.create("networks", changed).options == found.create("networks", network).options
    return network if same else changed
