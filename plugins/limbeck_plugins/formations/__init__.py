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
