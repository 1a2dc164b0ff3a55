"""What ``limbeck show`` says about one component."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from limbeck.component import Component
from limbeck.entries import Entry, import_target
from limbeck.methods import Rule, read_method
from limbeck.registry import Registry

BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "multiple_of": "a multiple of"}
LENGTHS = {"min_length": "at least", "max_length": "at most"}


def describe_target(found: Registry, entry: Entry, name: str) -> tuple[str, list[list[str]]]:
    """Return the first paragraph of a component's docstring and a row for each of its options.

    Args:
        found: the registry.
        entry: the component's entry.
        name: the name as it was asked for; a variant's options replace the defaults.

    Returns:
        The text, and rows of option, type, default, range and meaning.
    """
    target = import_target(entry)
    if isinstance(target, click.Command):
        return target.get_help(click.Context(target, info_name=f"limbeck {entry.name}")), []
    text = (inspect.getdoc(target) or "No description.").split("\n\n")[0]
    if not (isinstance(target, type) and issubclass(target, Component)):
        return text, []
    _, variant = found.load(entry.kind, name)
    return text, list(_option_rows(target.Options, variant))


def describe_method(text: str, name: str) -> str:
    """Return a method file as a person reads it: settings, then each profile's rules and figures.

    Raises:
        PluginError: the file is not valid.
    """
    method = read_method(text, name)
    lines = [f"  title: {method.title}", *([f"  code: {method.code}"] if method.code else [])]
    lines += [f"  - {note}" for note in method.notes]
    lines += ["", "settings:"]
    lines += [f"  {line}" for line in _dump(method.settings)]
    for profile, rules in method.profiles.items():
        lines += ["", f"profile {profile}:"]
        lines += [f"  {line}" for rule in rules for line in _rule_lines(rule)]
    return "\n".join(lines)


def _rule_lines(rule: Rule) -> Iterator[str]:
    """Yield one rule of a profile: where it holds, what it sets, what was published for it."""
    where = ", ".join(f"{key} {value}" for key, value in rule.when if value is not None)
    yield f"{where or 'always'}:"
    for line in _dump(rule.settings):
        yield f"  {line}"
    if rule.figure:
        spread = "" if rule.figure.std is None else f" ± {rule.figure.std}"
        yield f"  published: {rule.figure.accuracy}{spread} % ({rule.figure.source})"
    for deviation in rule.deviations:
        yield f"  deviates: {deviation}"


def _dump(settings: Mapping[str, Any]) -> list[str]:
    """Write each setting on one line, as it would be typed in a file."""
    import yaml

    style: dict[str, Any] = {"default_flow_style": True, "sort_keys": False, "width": 10**6}
    return [f"{key}: {yaml.safe_dump(value, **style).splitlines()[0]}" for key, value in settings.items()]


def _option_rows(options: type[BaseModel], variant: Mapping[str, Any], prefix: str = "") -> Iterator[list[str]]:
    """Yield a row for each field; a nested model's fields follow under a dotted name."""
    for name, field in options.model_fields.items():
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            yield from _option_rows(nested, variant.get(name, {}), f"{prefix}{name}.")
            continue
        default = "required" if field.is_required() else _value(_default(field))
        if name in variant:
            default = f"{_value(variant[name])} (from the name)"
        meaning = field.description or ""
        yield [prefix + name, _type(field.annotation), default, _range(field), meaning]


def _default(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=True, validated_data={})


def _value(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, default=str)


def _type(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " | ".join(_value(choice) for choice in get_args(annotation))
    if annotation is type(None):
        return "null"
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    if get_origin(annotation) in (Union, UnionType):
        return " | ".join(_type(part) for part in get_args(annotation))
    return str(annotation).replace("typing.", "")


def _range(field: FieldInfo) -> str:
    parts = []
    for constraint in field.metadata:
        for name, sign in {**BOUNDS, **LENGTHS}.items():
            bound = getattr(constraint, name, None)
            if bound is not None:
                parts.append(f"{sign} {bound}{' items' if name in LENGTHS else ''}")
    return ", ".join(parts)
