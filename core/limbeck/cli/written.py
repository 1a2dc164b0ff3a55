"""Components with options as they are written on one line: ``name:option=value,option=value``."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import yaml

from limbeck.config import merge
from limbeck.errors import UsageError

OPENING, CLOSING = "[{(", "]})"


def component(text: str, option: str) -> dict[str, Any]:
    """Read one component.

    Args:
        text: what was typed, such as ``split_mnist:experiences=2``.
        option: where it was typed, for messages.

    Returns:
        Its options with its ``name``; an option with dots in its name is nested.

    Raises:
        UsageError: several components, no name, an option called ``name``, or one without a value.
    """
    found = components(text, option)
    if len(found) > 1:
        raise UsageError(f"{option} takes one name, but '{text}' holds {len(found)}. Give the others on their own.")
    return found[0]


def components(text: str, option: str) -> list[dict[str, Any]]:
    """Read components with commas between them, such as ``naive,der_pp:alpha=0.1,beta=0.5,joint``.

    A part with an equals sign belongs to the component before it; commas within brackets are part of a value.

    Raises:
        UsageError: as ``component``.
    """
    found: list[dict[str, Any]] = []
    for part in _split(text):
        name, colon, rest = part.partition(":")
        is_new = "=" not in name
        if is_new:
            found.append({"name": name.strip()})
        if not found or not found[-1]["name"]:
            raise UsageError(
                f"{option} '{text}' has an empty name. Type names with commas between them, and options after a "
                "colon: name:option=value,option=value."
            )
        if not is_new or colon:
            assigned = _assigned(rest if is_new else part, text, option)
            refuse(assigned, ("name",), text, option)
            found[-1] = merge(found[-1], assigned)
    return found


def refuse(given: Collection[str], names: Collection[str], text: str, option: str) -> None:
    """Refuse an option that would replace the name before the colon.

    Args:
        given: options that were typed.
        names: those that stand for that name.
        text: what was typed.
        option: where it was typed.

    Raises:
        UsageError: one of ``names`` is among ``given``.
    """
    for name in names:
        if name in given:
            raise UsageError(
                f"{option} '{text}': '{name}' is no option, the name stands before the colon. Type for example "
                "name:option=value,option=value."
            )


def _assigned(pair: str, text: str, option: str) -> dict[str, Any]:
    """Read ``key=value``; the value is YAML."""
    key, sign, written = pair.partition("=")
    try:
        value = yaml.safe_load(written)
    except yaml.YAMLError:
        sign = ""
    if not sign or not key.strip():
        raise UsageError(
            f"{option} '{text}': '{pair}' is not OPTION=VALUE. Type for example name:option=value,option=value."
        )
    for step in reversed(key.strip().split(".")):
        value = {step: value}
    return dict(value)


def _split(text: str) -> list[str]:
    """Split at commas that stand outside brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in OPENING) - (letter in CLOSING)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]
