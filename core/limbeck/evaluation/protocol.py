"""Protocols: named evaluation procedures."""

from __future__ import annotations

from abc import ABC, abstractmethod

from limbeck.component import Component
from limbeck.evaluation.recipe import Recipe


class Protocol(Component, ABC):
    """A published way to measure a set: train fresh networks on it and test them."""

    @abstractmethod
    def recipe(self, network: str, stored: Recipe | None) -> Recipe:
        """Return how each network is trained.

        Args:
            network: the network to train, which may differ from the stored recipe's.
            stored: the recipe that travels with the set, or none. The protocol's own numbers win; what belongs to
                the set (``stored.belongings()``: labels, formation, what it was made with) is handed on.
        """
