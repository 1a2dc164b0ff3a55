"""Selectors: coresets of real images."""

from __future__ import annotations

from limbeck import hookimpl
from limbeck.hookspecs import Register


@hookimpl
def register_selectors(register: Register) -> None:
    """Offer the selectors that ship with Limbeck."""
    register(
        "random",
        "limbeck_plugins.selectors.random:RandomSelector",
        summary="ipc images of every class, drawn without replacement",
    )
    register(
        "herding",
        "limbeck_plugins.selectors.herding:Herding",
        summary="images whose mean stays nearest to the mean of their class, in a trained network's embedding",
        paper="arXiv:1611.07725",
    )
    register(
        "k_center",
        "limbeck_plugins.selectors.k_center:KCenter",
        summary="images that leave none far from all of them, farthest first, in a trained network's embedding",
        paper="arXiv:1708.00489",
    )
    register(
        "k_means",
        "limbeck_plugins.selectors.k_means:KMeansSelector",
        summary="the images nearest to the centres of clusters in a trained network's embedding",
        paper="arXiv:2207.09639",
    )
    register(
        "forgetting",
        "limbeck_plugins.selectors.forgetting:Forgetting",
        summary="the images that a network in training forgets most often",
        paper="arXiv:1812.05159",
    )
    register(
        "patches",
        "limbeck_plugins.selectors.patches:Patches",
        summary="crops of real images that a trained observer classifies with the least loss, tiled into images",
        paper="arXiv:2312.03526",
    )
