"""Protocols: named evaluation procedures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from limbeck.component import Component
from limbeck.config import Spec
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


def augmentation_of(asked: Spec | None, stored: Recipe | None) -> dict[str, Any] | None:
    """Return what a protocol trains with: the augmentation asked for (``none`` for none), else the set's own."""
    if asked is None:
        return stored.augmentation if stored else None
    return None if asked.name == "none" else asked.model_dump()
