"""The command line."""

from __future__ import annotations

from limbeck.cli.main import main

__all__ = ["main"]
