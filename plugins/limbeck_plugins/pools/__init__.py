"""Pools: networks that a set is judged by together."""

from __future__ import annotations

from limbeck import hookimpl
from limbeck.hookspecs import Register

POOLS = {
    "activation": ("variants:Activation", "the set's own network with sigmoid, ReLU, leaky ReLU and swish"),
    "batch_norm": ("cross:BatchNorm", "families with batch norm: ConvNet (ReLU, swish), AlexNet, VGG11, ResNet18"),
    "cross": ("cross:Cross", "one network of each family: MLP, ConvNet, LeNet, AlexNet, VGG11, ResNet18, ViT"),
    "depth": ("variants:Depth", "the set's own network with 1, 2, 3 and 4 blocks"),
    "norm": ("variants:Norm", "the set's own network with no, batch, layer, instance and group norm"),
    "pooling": ("variants:Pooling", "the set's own network with no, max and average pooling"),
    "width": ("variants:Width", "the set's own network with 32, 64, 128 and 256 channels"),
}
"""Where each pool is and what is in it; their choice follows the public code of arXiv:2006.05929."""


@hookimpl
def register_pools(register: Register) -> None:
    """Offer the pools that ship with Limbeck."""
    for name, (target, summary) in POOLS.items():
        register(name, f"limbeck_plugins.pools.{target}", summary=summary, paper="arXiv:2006.05929")
