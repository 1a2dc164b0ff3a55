"""Networks as functions of their weights: any ``nn.Module``, started from a generator of our own."""

from limbeck.networks.build import build_network
from limbeck.networks.dropout import Dropout
from limbeck.networks.functional import FunctionalNetwork, Network, State
from limbeck.networks.pool import Pool, vary

__all__ = ["Dropout", "FunctionalNetwork", "Network", "Pool", "State", "build_network", "vary"]
