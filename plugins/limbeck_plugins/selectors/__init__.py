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
