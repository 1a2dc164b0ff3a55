"""Networks as functions of their weights: any ``nn.Module``, started from a generator of our own."""

from limbeck.networks.functional import FunctionalNetwork, Network, State

__all__ = ["FunctionalNetwork", "Network", "State"]
