"""Memories as they are written on one line: ``method:option=value,option=value``."""

from __future__ import annotations

from typing import Any

from limbeck.cli.written import component, refuse
from limbeck.config import merge


def memory(text: str) -> dict[str, Any]:
    """Read a memory, such as ``dm:ipc=10,storage=uint8,seconds=15``.

    Returns:
        Settings of a memory; those with a dot, such as ``optimiser.lr_img``, are settings of the run that distils.

    Raises:
        UsageError: as ``component``, or an option called ``method``.
    """
    values = component(text, "--memory")
    refuse(values.keys() - {"name"}, ("method",), text, "--memory")
    return {"method": values.pop("name"), **_apart(values)}


def _apart(values: dict[str, Any]) -> dict[str, Any]:
    """Put what was written with dots below ``settings``."""
    nested = {key: value for key, value in values.items() if isinstance(value, dict) and key != "settings"}
    plain = {key: value for key, value in values.items() if key not in nested}
    return merge(plain, {"settings": nested}) if nested else plain
