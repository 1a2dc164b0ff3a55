"""Parts of pages that are about everything: kinds, checks, what ships, methods and their figures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from generating import markdown, source
from generating.source import KINDS, NO_BASE
from limbeck.entries import read_target
from limbeck.methods import MethodFile, When, read_method
from limbeck.testing.suite import checks_of, module_of, title

FIRST = ["methods", "matchers", "selectors", "datasets", "networks", "protocols", "pools"]


def kinds() -> Iterator[str]:
    """The guide's table of kinds."""
    yield from markdown.head("kind", "offers", "hook", "base class")
    for kind in KINDS:
        bases = ", ".join(f"`{source.public(cls)}`" for cls in source.bases(kind)) or NO_BASE[kind]
        call = source.call(source.hook_of(kind))
        yield markdown.row(f"[{kind}](plugins/{kind}.md)", source.summary(kind), f"`{call}`", bases)


def checks() -> Iterator[str]:
    """What is asked of everything, and of every component with a class."""
    own = module_of("selectors")
    for check in checks_of("selectors"):
        if check not in own.CHECKS:  # type: ignore[union-attr]
            yield from markdown.item(f"{title(check)}.")


def what_ships() -> Iterator[str]:
    """The first page's table."""
    yield from markdown.head("", "", "")
    for kind in [*FIRST, *(kind for kind in KINDS if kind not in FIRST)]:
        names = ", ".join(f"`{name}`" for name in source.shipped(kind))
        if names:
            place = "docs/methods.md" if kind == "methods" else f"docs/plugins/{kind}.md"
            yield markdown.row(f"[{kind.replace('_', ' ')}]({place})", source.summary(kind), names)


def methods() -> Iterator[str]:
    """A table of all methods."""
    yield from markdown.head(
        "method", "title", "published", "compares or picks by", "network", "code that was followed"
    )
    for name, method in _method_files().items():
        part = "matcher" if "matcher" in method.settings else "selector"
        chosen, network = _spec(method.settings.get(part)), method.settings.get("network", "")
        part = f"{part} `{chosen}`"
        yield markdown.row(
            f"[`{name}`](#{name})", method.title, markdown.paper(method.paper), part, f"`{network}`", method.code
        )


def figures() -> Iterator[str]:
    """What was published for exactly the settings in the files."""
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for name, method in _method_files().items():
        for rule in chain.from_iterable(method.profiles.values()):
            if rule.figure is None:
                continue
            figure, where = rule.figure, (name, _listed(rule.when.data), rule.figure.source)
            value = f"{figure.accuracy:.1f}" + (f" ± {figure.std:.1f}" if figure.std is not None else "")
            rows.setdefault(where, {})[_listed(rule.when.ipc)] = value
    columns = sorted({ipc for row in rows.values() for ipc in row}, key=lambda ipc: (len(ipc), ipc))
    yield from markdown.head("method", "data", *(f"ipc {ipc}" for ipc in columns), "where it stands")
    for (name, data, stands), row in rows.items():
        yield markdown.row(f"`{name}`", f"`{data}`", *(row.get(ipc, "") for ipc in columns), stands)


def method_notes() -> Iterator[str]:
    """A section for each method: its summary, notes, and what its small profile does otherwise."""
    for number, (name, method) in enumerate(_method_files().items()):
        yield from [*([""] if number else []), f"### {name}", ""]
        yield from markdown.wrapped(f"**{method.title}**: {method.summary}.")
        if method.notes:
            yield ""
            for note in method.notes:
                yield from markdown.item(" ".join(note.split()))
        for profile, rules in method.profiles.items():
            told = [(rule.when, rule.deviations) for rule in rules if rule.deviations]
            if told:
                yield from ["", f"What `--profile {profile}` changes:", ""]
            for where, deviations in told:
                condition = _condition(where)
                yield from markdown.item(f"{condition + ': ' if condition else ''}{'; '.join(deviations)}")


def _method_files() -> dict[str, MethodFile]:
    return {name: read_method(read_target(entry), name) for name, entry in source.shipped("methods").items()}


def _condition(when: When) -> str:
    ipc = re.sub(r"^(\d+)\.\.$", r"\1 or more", _listed(when.ipc))
    return ", ".join([*([f"data `{_listed(when.data)}`"] if when.data else []), *([f"ipc {ipc}"] if ipc else [])])


def _listed(value: Any) -> str:
    return "" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _spec(value: Any) -> str:
    """Return a component of a configuration as people write it: ``gradient, distance=ours``."""
    given = {"name": value} if isinstance(value, str) else dict(value or {})
    name = given.pop("name", "")
    return ", ".join([name, *(f"{key}={option}" for key, option in given.items())])


PARTS: dict[str, Callable[[], Iterable[str]]] = {
    "kinds": kinds,
    "checks": checks,
    "what-ships": what_ships,
    "methods": methods,
    "figures": figures,
    "method-notes": method_notes,
}
