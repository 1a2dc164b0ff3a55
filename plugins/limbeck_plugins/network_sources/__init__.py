"""Network sources: which network each step looks through, and how it moves."""

from __future__ import annotations

from limbeck import hookimpl
from limbeck.hookspecs import Register


@hookimpl
def register_network_sources(register: Register) -> None:
    """Offer the network sources that ship with Limbeck."""
    register(
        "fresh",
        "limbeck_plugins.network_sources.fresh:Fresh",
        summary="a new random network at every step",
        paper="arXiv:2110.04181",
    )
    register(
        "inner",
        "limbeck_plugins.network_sources.inner:Inner",
        summary="a network trained between steps, on synthetic or on real images",
        paper="arXiv:2006.05929",
    )
    register(
        "pool",
        "limbeck_plugins.network_sources.pool:Pool",
        summary="networks trained on real images beforehand, between their start and their end",
        paper="arXiv:2502.20653",
    )
    register(
        "experts",
        "limbeck_plugins.network_sources.experts:Experts",
        summary="networks trained on real images beforehand, after any of their epochs",
        paper="arXiv:2203.11932",
    )
