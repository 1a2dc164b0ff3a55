"""Continual learning with distilled memories: what this application offers. Strings only, nothing heavy."""

from __future__ import annotations

import importlib
from typing import Any

from limbeck.hookspecs import Register, hookimpl

__all__ = ["DistilledBuffer", "DistilledGDumb", "DistilledReplay"]

HERE = "limbeck_applications.continual"
_LAZY = {
    "DistilledBuffer": "bridge.buffer",
    "DistilledGDumb": "bridge.gdumb",
    "DistilledReplay": "bridge.replay",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module '{HERE}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{HERE}.{_LAZY[name]}"), name)


@hookimpl
def register_applications(register: Register) -> None:
    """Offer the application and the kinds that it declares."""
    register(
        "continual",
        HERE,
        summary="learn a stream of classes one after the other, with a few stored images of the past",
        extra="continual",
        hookspecs=f"{HERE}.hookspecs",
    )


@hookimpl
def register_commands(register: Register) -> None:
    """Offer the command."""
    register("continual", f"{HERE}.cli:continual", summary="learn a stream of classes from distilled memories")


@hookimpl
def register_continual_benchmarks(register: Register) -> None:
    """Offer what ships: streams made of real data sets."""


@hookimpl
def register_continual_strategies(register: Register) -> None:
    """Offer what ships: ways to learn a stream."""
    register(
        "distilled_gdumb",
        f"{HERE}.strategies.distilled_gdumb:DistilledGDumb",
        summary="a fresh network after each experience, trained on the distilled memory alone",
        paper="arXiv:2110.04181",
    )
