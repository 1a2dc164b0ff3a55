"""Evaluation protocols."""

from __future__ import annotations

from limbeck import hookimpl
from limbeck.hookspecs import Register


@hookimpl
def register_protocols(register: Register) -> None:
    """Offer the protocol that most papers of the field report."""
    register(
        "dc",
        "limbeck_plugins.protocols.dc:DCProtocol",
        summary="SGD for 300 epochs (1000 with augmentation), learning rate / 10 half way, last epoch",
        paper="arXiv:2006.05929",
    )
