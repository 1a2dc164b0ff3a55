"""Formations: how stored images become training images."""

from __future__ import annotations

from limbeck import hookimpl
from limbeck.hookspecs import Register


@hookimpl
def register_formations(register: Register) -> None:
    """Offer the formations that ship with Limbeck."""
    register(
        "identity",
        "limbeck_plugins.formations.identity:Identity",
        summary="one stored image is one training image",
    )
    register(
        "flip",
        "limbeck_plugins.formations.flip:Flip",
        summary="matching and inner training see every stored image and its mirror image",
        paper="arXiv:2407.08113",
    )
    register(
        "tiles",
        "limbeck_plugins.formations.tiles:Tiles",
        summary="one stored image is cut into tiles, each enlarged to a training image",
        paper="arXiv:2205.14959",
    )
