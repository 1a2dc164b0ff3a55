"""From what was asked to a configuration: the method's file first, the user's settings over it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from limbeck.config import RunConfig, build, flatten, merge
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
    asked = merge({"data": {}}, settings or {})
    if matcher is not None:
        asked = merge(asked, {"matcher": matcher})
    stated, wanted = asked.pop("method", None), asked.pop("profile", None)
    method = method or stated or _method_of(asked)
    if method is None:
        return build(asked)
    text = registry().resource("methods", str(method))
    name = registry().entry("methods", str(method)).name
    profile = profile or wanted or "published"
    section, ipc = asked["data"], asked.get("ipc", DEFAULT_IPC)
    data = section.get("name", DEFAULT_DATA) if isinstance(section, Mapping) else DEFAULT_DATA
    resolved = read_method(text, name).resolve(str(profile), str(data), ipc if isinstance(ipc, int) else 0)
    named = {"method": name, "profile": profile}
    chosen = build(_without_budget(resolved.settings, asked), named, asked)
    published = build(resolved.settings, named, {"data": {"name": data}, "ipc": ipc})
    return chosen.model_copy(
        update={
            "reference": None if resolved.figure is None else resolved.figure.model_dump(exclude_none=True),
            "deviations": (*resolved.deviations, *_changes(published, chosen)),
        }
    )


def _without_budget(settings: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Drop the method's budget when the user gives one: it is neither cut short nor drawn out."""
    return {key: value for key, value in settings.items() if key != "budget" or not asked.get("budget")}


def _method_of(asked: Mapping[str, Any]) -> str | None:
    spec = asked.get("matcher")
    named = spec.get("name") if isinstance(spec, Mapping) else spec
    if not isinstance(named, str):
        return None
    entry = registry().entry("matchers", named)
    if not entry.method and "source" not in asked:
        raise UsageError(
            f"matcher '{entry.name}' names no method to start from. Add one, for example --method dm, "
            'or register the matcher with method="dm".'
        )
    return entry.method or None


NOT_COMPARED = ("method", "profile", "seed", "ipc", "execution", "reference", "deviations")


def _changes(published: RunConfig, chosen: RunConfig) -> list[str]:
    """Name the settings that the user changed, in the form ``section.key: old -> new``.

    A component that takes the place of another is one change, its options aside from those given.
    """
    old, new = _compared(published), _compared(chosen)
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    replaced = {key.removesuffix("name") for key in changed if key.endswith(".name")}
    return [
        f"{key.removesuffix('.name')}: {_written(old.get(key))} -> {_written(new.get(key))}"
        for key in changed
        if key in new or key.endswith(".name") or not any(key.startswith(section) for section in replaced)
    ]


def _compared(config: RunConfig) -> dict[str, Any]:
    settings = {key: value for key, value in config.to_dict().items() if key not in NOT_COMPARED}
    found = flatten(settings)
    found.pop("evaluation.baselines", None)
    return found


def _written(value: Any) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
