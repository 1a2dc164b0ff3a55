"""What the code says of kinds, classes and functions."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

from limbeck.entries import DISTRIBUTION, Entry
from limbeck.plugins import load_installed
from limbeck.testing.suite import module_of

REGISTRY = load_installed().registry
KINDS = [kind for kind in REGISTRY.kinds() if REGISTRY.kind(kind).distribution == DISTRIBUTION]
NO_BASE = {"applications": "none: a module", "commands": "a `click` command", "methods": "a YAML file or a mapping"}


def summary(kind: str) -> str:
    """Return what a kind is for, from its hook's docstring."""
    return REGISTRY.kind(kind).summary


def shipped(kind: str) -> dict[str, Entry]:
    """Return what Limbeck itself offers of a kind, by name."""
    return {name: entry for name, entry in REGISTRY.entries(kind).items() if entry.is_shipped}


def hook_of(kind: str) -> Callable[..., Any]:
    """Return the function that declares a kind's hook."""
    hook: Callable[..., Any] = getattr(importlib.import_module(REGISTRY.kind(kind).module), f"register_{kind}")
    return hook


def bases(kind: str) -> list[type]:
    """Return what authors derive from: the families that the kind's checks name, or its base class."""
    base = getattr(module_of(kind), "BASE", None)
    return list(getattr(module_of(kind), "FAMILIES", [base] if base else []))


def call(function: Callable[..., Any], name: str = "", *, typed: bool = False) -> str:
    """Return a function as it is called, with or without types."""
    words, is_keyword_only = [], False
    for argument in inspect.signature(function).parameters.values():
        if argument.name in ("self", "cls"):
            continue
        if argument.kind is argument.KEYWORD_ONLY and not is_keyword_only:
            words.append("*")
            is_keyword_only = True
        word = ("*" if argument.kind is argument.VAR_POSITIONAL else "") + argument.name
        word += f": {annotation(argument.annotation)}" if typed else ""
        words.append(word + (f" = {argument.default!r}" if argument.default is not argument.empty else ""))
    return f"{name or function.__name__}({', '.join(words)})"


def annotation(annotation: Any) -> str:
    """Return a type as people write it."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"Annotated\[(\w+), .*?\)\]", r"\1", text)
    return re.sub(r"\btorch\.(?=Generator|Tensor|device)", "", text)


def public(cls: type) -> str:
    """Return the shortest path that a class is offered under."""
    parts = cls.__module__.split(".")
    for end in range(1, len(parts) + 1):
        module = ".".join(parts[:end])
        if cls.__name__ in getattr(importlib.import_module(module), "__all__", ()):
            return f"{module}.{cls.__name__}"
    return f"{cls.__module__}.{cls.__name__}"


def is_protocol(cls: type) -> bool:
    """Return whether a class is a protocol."""
    return bool(vars(cls).get("_is_protocol", False))
