"""From what was asked to a configuration: the method's file first, the user's settings over it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limbeck.config import RunConfig, build, merge
from limbeck.errors import UsageError
from limbeck.methods import read_method
from limbeck.plugins import registry

DEFAULT_DATA, DEFAULT_IPC = "digits", 1


def configure(
    method: str | None = None,
    matcher: str | None = None,
    profile: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> RunConfig:
    """Resolve a method's settings for the data set and ipc asked for, and lay the user's over them.

    Args:
        method: a method's name; a matcher alone starts from the method named in its registration.
        matcher: a matcher that takes the place of the method's.
        profile: ``published`` or ``small``.
        settings: the user's own, nested as in ``RunConfig``; they win.

    Raises:
        UsageError: unknown names or options, values out of range, or nothing to start from.
    """
    asked = merge({}, settings or {})
    if matcher is not None:
        asked = merge(asked, {"matcher": {"name": matcher}})
    method = method or asked.pop("method", None) or _method_of(asked)
    profile = profile or asked.get("profile") or "published"
    if method is None:
        return build(asked)
    text = registry().resource("methods", method)
    name = registry().entry("methods", method).name
    data = asked.get("data", {}).get("name", DEFAULT_DATA)
    ipc = asked.get("ipc", DEFAULT_IPC)
    base, figure, deviations = read_method(text, name).resolve(profile, data, ipc if isinstance(ipc, int) else 0)
    chosen = build(base, {"method": name, "profile": profile}, asked)
    changed = [*deviations, *_changes(build(base, {"data": {"name": data}, "ipc": ipc}), chosen)]
    reference = None if figure is None else figure.model_dump(exclude_none=True)
    return chosen.model_copy(update={"reference": reference, "deviations": tuple(changed)})


def _method_of(asked: Mapping[str, Any]) -> str | None:
    spec = asked.get("matcher")
    if not isinstance(spec, Mapping) or "name" not in spec:
        return None
    entry = registry().entry("matchers", str(spec["name"]))
    if not entry.method and "source" not in asked:
        raise UsageError(
            f"matcher '{entry.name}' names no method to start from. Add one, for example --method dm, "
            "or register the matcher with method=\"dm\"."
        )
    return entry.method or None


COMPARED = ("network", "source", "init", "matcher", "selector", "formation", "augmentation", "labels", "optimiser", "budget")


def _changes(base: RunConfig, chosen: RunConfig) -> list[str]:
    """Name the user's settings that differ from the method's, in the form ``section: old -> new``."""
    old, new = base.to_dict(), chosen.to_dict()
    old["batch_real"], new["batch_real"] = base.data.batch_real, chosen.data.batch_real
    keys = [*COMPARED, "batch_real"]
    return [f"{key}: {_short(old.get(key))} -> {_short(new.get(key))}" for key in keys if old.get(key) != new.get(key)]


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return "none" if value is None else str(value)
