"""Limbeck: dataset distillation with one exact engine and plugins for everything that has a name.

Importing this package is cheap: torch is loaded when the first function that needs it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from limbeck.hookspecs import hookimpl

if TYPE_CHECKING:
    from limbeck.api import distill, evaluate, load_dataset
    from limbeck.options import Options
    from limbeck.synthetic import SyntheticSet

__version__ = "0.1.0"

__all__ = ["Options", "SyntheticSet", "distill", "evaluate", "hookimpl", "load_dataset"]

_LAZY = {
    "Options": "limbeck.options",
    "SyntheticSet": "limbeck.synthetic",
    "distill": "limbeck.api",
    "evaluate": "limbeck.api",
    "load_dataset": "limbeck.api",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'limbeck' has no attribute '{name}'")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
