"""A kind's page: its hook, its classes and what is checked, and what ships."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pydantic import BaseModel

from generating import markdown, source
from generating.source import NO_BASE
from limbeck.component import Component
from limbeck.entries import singular
from limbeck.methods import Figure, MethodFile, Rule, When
from limbeck.testing.suite import module_of, title

INNER = {"engine", "drawn"}
"""Members by which families of matchers meet the loop; their authors are not plugin authors."""


def hook(kind: str) -> Iterator[str]:
    """How a kind is offered and started from: the first lines of its page."""
    function, one = source.hook_of(kind), singular(kind).replace(" ", "_")
    offer = re.search(r"``(register\(.*?\))``", inspect.getdoc(function) or "", re.S)
    yield f"{source.summary(kind)[0].upper()}{source.summary(kind)[1:]}."
    yield from ["", *markdown.head("", "")]
    yield markdown.row("hook", f"`{source.call(function)}`")
    yield markdown.row("offer one", f"`{markdown.words(offer[1] if offer else '')}`")
    yield markdown.row(
        "base class", ", ".join(f"`{source.public(cls)}`" for cls in source.bases(kind)) or NO_BASE[kind]
    )
    yield markdown.row("start from", f"`limbeck plugins new my-idea --kind {one}`")
    yield markdown.row("look", f"`limbeck list {kind}`, `limbeck show {one} NAME`")
    yield from markdown.paragraphs(markdown.Doc.of(function).paragraphs[1:], first="")


def contract(kind: str) -> Iterator[str]:
    """Classes, methods, shapes and checks of a kind."""
    base = getattr(module_of(kind), "BASE", None)
    classes = [MethodFile, Rule, When, Figure] if kind == "methods" else [*source.bases(kind)]
    classes += [base] if base and base not in classes else []
    more = getattr(module_of(kind), "RECORDS", ())
    for number, cls in enumerate(dict.fromkeys([*classes, *_records(classes), *more])):
        yield from _class(cls) if number else ["## Reference", "", *_class(cls)]
        yield ""
    yield from ["## What is checked", ""]
    yield from markdown.wrapped(
        f"`limbeck plugins check` asks of every {singular(kind)} what it asks of "
        "[all](../plugin-guide.md#what-is-checked), and:"
    )
    yield ""
    own = module_of(kind)
    yield from (line for check in (own.CHECKS if own else ()) for line in markdown.item(f"{title(check)}."))


def ships(kind: str) -> Iterator[str]:
    """A table of what comes with Limbeck."""
    entries = source.shipped(kind)
    yield from ["## What ships", ""]
    if not entries:
        yield f"No {singular(kind)} ships with Limbeck."
        return
    columns = 3 if any(entry.paper for entry in entries.values()) else 2
    yield from markdown.head(*("name", "", "published")[:columns])
    for name, entry in entries.items():
        yield markdown.row(*(f"`{name}`", entry.summary, markdown.paper(entry.paper))[:columns])


def _class(cls: type) -> Iterator[str]:
    """A class or record: what its docstring says, then its methods."""
    doc = markdown.Doc.of(cls)
    yield f"### `{source.public(cls)}`"
    yield from markdown.paragraphs(doc.paragraphs, first="")
    told = [f"`{name}`: {text}" for name, text in doc.sections.get("Attributes", [])]
    if issubclass(cls, BaseModel) and not told:
        words = inspect.get_annotations(cls)
        told = [
            f"`{field.alias or name}: {source.annotation(words[name])}`" for name, field in cls.model_fields.items()
        ]
    yield from [""] if told else []
    yield from (line for text in told for line in markdown.item(text))
    if issubclass(cls, Component) or source.is_protocol(cls):
        for name, function, is_property in _members(cls):
            if name not in dict(doc.sections.get("Attributes", [])):
                yield from ["", *_method(name, function, is_property)]


def _method(name: str, function: Callable[..., Any], is_property: bool) -> Iterator[str]:
    doc, returned = markdown.Doc.of(function), source.annotation(inspect.signature(function).return_annotation)
    call = f"{name}: {returned}" if is_property else f"{source.call(function, name, typed=True)} -> {returned}"
    yield f"**`{call}`**" + (" *(to be written)*" if getattr(function, "__isabstractmethod__", False) else "")
    yield from markdown.paragraphs(doc.paragraphs, first="")
    rest = [
        *(f"`{argument}`: {text}" for argument, text in doc.sections.get("Args", [])),
        *(f"returns: {text}" for _, text in doc.sections.get("Returns", [])),
        *(f"raises `{error}`: {text}" for error, text in doc.sections.get("Raises", [])),
    ]
    yield from [""] if rest else []
    yield from (line for text in rest for line in markdown.item(text))


def _members(cls: type) -> Iterator[tuple[str, Callable[..., Any], bool]]:
    """Yield name, function, and whether it is a property, of what a class itself offers to authors."""
    for name, value in vars(cls).items():
        if name.startswith("_") or name in INNER:
            continue
        if isinstance(value, property) and value.fget:
            yield name, value.fget, True
        elif isinstance(value, classmethod | staticmethod) or inspect.isfunction(value):
            yield name, value.__func__ if isinstance(value, classmethod | staticmethod) else value, False


def _records(classes: Iterable[type]) -> list[type]:
    """Return the dataclasses and protocols that components hold, or their methods are given or return, each once."""
    found: dict[type, None] = {}
    for cls in (cls for cls in classes if issubclass(cls, Component)):
        told = [function.__annotations__ for _, function, _ in _members(cls)]
        for types in [*told, inspect.get_annotations(cls)]:
            words = re.findall(r"\w+", " ".join(map(source.annotation, types.values())))
            named = [vars(sys.modules[cls.__module__]).get(word) for word in words]
            kept = [n for n in named if isinstance(n, type) and (dataclasses.is_dataclass(n) or source.is_protocol(n))]
            found.update(dict.fromkeys(kept))
    return [record for record in found if markdown.Doc.of(record).sections.get("Attributes")]


PARTS: dict[str, Callable[[str], Iterable[str]]] = {"hook": hook, "contract": contract, "ships": ships}
