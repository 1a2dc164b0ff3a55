"""Network families."""

from __future__ import annotations

from limbeck.hookspecs import Register, hookimpl


@hookimpl
def register_networks(register: Register) -> None:
    """Offer the ConvNet family."""
    register(
        "convnet",
        "limbeck_plugins.networks.convnet:ConvNet",
        summary="blocks of convolution, norm, activation and pooling; variants such as convnet-d3-w128-in",
        paper="arXiv:2006.05929",
    )
