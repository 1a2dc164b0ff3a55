"""Write the parts of the documentation that the code knows best, between ``generated`` marks.

They come from the hooks, the base classes, what is registered, and the method files:

    python docs/generate.py            writes them
    python docs/generate.py --check    names the files that are not up to date; exit status 1 if there are any
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from limbeck.component import Component
from limbeck.entries import DISTRIBUTION, Entry, read_target, singular
from limbeck.methods import Figure, MethodFile, Rule, When, read_method
from limbeck.plugins import load_installed
from limbeck.testing.suite import checks_of, module_of, title

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end generated -->)", re.S)
WIDTH = 118
NEW_PAGE = "# {kind}\n" + "".join(
    f"\n<!-- generated: {part} -->\n<!-- end generated -->\n" for part in ("hook", "contract", "ships")
)
REGISTRY = load_installed().registry
KINDS = [kind for kind in REGISTRY.kinds() if REGISTRY.kind(kind).distribution == DISTRIBUTION]


def documents(root: Path = ROOT) -> dict[Path, str]:
    """Return every file with generated parts, as it ought to be.

    Raises:
        SystemExit: a file asks for a part that nothing here writes.
    """
    found = {}
    for path in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        if BLOCK.search(text):
            found[path] = _filled(path, text, PARTS)
    for kind in KINDS:
        path = root / "docs" / "plugins" / f"{kind}.md"
        text = path.read_text(encoding="utf-8") if path.exists() else NEW_PAGE.format(kind=kind)
        found[path] = _filled(path, text, {name: partial(part, kind) for name, part in PAGE_PARTS.items()})
    return found


def stale(root: Path = ROOT) -> list[str]:
    """Return the files whose generated parts are not what they ought to be, relative to the root."""
    wanted = documents(root)
    found = {path: path.read_text(encoding="utf-8") if path.exists() else "" for path in wanted}
    return [path.relative_to(root).as_posix() for path in wanted if wanted[path] != found[path]]


def main(arguments: Sequence[str]) -> int:
    """Write or check, and return the exit status."""
    if list(arguments) not in ([], ["--check"]):
        sys.stderr.write("type: python docs/generate.py [--check]\n")
        return 2
    wanted, names = documents(), stale()
    for name in names:
        sys.stdout.write(f"{name} is not up to date; type: python docs/generate.py\n" if arguments else f"{name}\n")
        if not arguments:
            (ROOT / name).parent.mkdir(exist_ok=True)
            (ROOT / name).write_text(wanted[ROOT / name], encoding="utf-8")
    return 1 if arguments and names else 0


# A kind's page


def _hook(kind: str) -> Iterator[str]:
    """How a kind is offered and started from: the first lines of its page."""
    function, one = _hook_of(kind), singular(kind).replace(" ", "_")
    offer = re.search(r"``(register\(.*?\))``", inspect.getdoc(function) or "", re.S)
    yield f"{_summary(kind)[0].upper()}{_summary(kind)[1:]}."
    yield from ["", *_head("", "")]
    yield _row("hook", f"`{_call(function)}`")
    yield _row("offer one", f"`{_words(offer[1] if offer else '')}`")
    yield _row("base class", ", ".join(f"`{_public(cls)}`" for cls in _bases(kind)) or NO_BASE[kind])
    yield _row("start from", f"`limbeck plugins new my-idea --kind {one}`")
    yield _row("look", f"`limbeck list {kind}`, `limbeck show {one} NAME`")
    yield from _paragraphs(_Doc.of(function).paragraphs[1:], first="")


def _contract(kind: str) -> Iterator[str]:
    """Classes, methods, shapes and checks of a kind."""
    base = getattr(module_of(kind), "BASE", None)
    classes = [MethodFile, Rule, When, Figure] if kind == "methods" else [*_bases(kind)]
    classes += [base] if base and base not in classes else []
    more = getattr(module_of(kind), "RECORDS", ())
    for number, cls in enumerate(dict.fromkeys([*classes, *_records(classes), *more])):
        yield from _class(cls) if number else ["## Reference", "", *_class(cls)]
        yield ""
    yield from ["## What is checked", ""]
    yield from _wrapped(
        f"`limbeck plugins check` asks of every {singular(kind)} what it asks of "
        "[all](../plugin-guide.md#what-is-checked), and:"
    )
    yield ""
    own = module_of(kind)
    yield from (line for check in (own.CHECKS if own else ()) for line in _item(f"{title(check)}."))


def _ships(kind: str) -> Iterator[str]:
    """A table of what comes with Limbeck."""
    entries = _shipped(kind)
    yield from ["## What ships", ""]
    if not entries:
        yield f"No {singular(kind)} ships with Limbeck."
        return
    columns = 3 if any(entry.paper for entry in entries.values()) else 2
    yield from _head(*("name", "", "published")[:columns])
    for name, entry in entries.items():
        yield _row(*(f"`{name}`", entry.summary, _paper(entry.paper))[:columns])


def _class(cls: type) -> Iterator[str]:
    """A class or record: what its docstring says, then its methods."""
    doc = _Doc.of(cls)
    yield f"### `{_public(cls)}`"
    yield from _paragraphs(doc.paragraphs, first="")
    told = [f"`{name}`: {text}" for name, text in doc.sections.get("Attributes", [])]
    if issubclass(cls, BaseModel) and not told:
        words = inspect.get_annotations(cls)
        told = [f"`{field.alias or name}: {_annotation(words[name])}`" for name, field in cls.model_fields.items()]
    yield from [""] if told else []
    yield from (line for text in told for line in _item(text))
    if issubclass(cls, Component) or _is_protocol(cls):
        for name, function, is_property in _members(cls):
            if name not in dict(doc.sections.get("Attributes", [])):
                yield from ["", *_method(name, function, is_property)]


def _method(name: str, function: Callable[..., Any], is_property: bool) -> Iterator[str]:
    doc, returned = _Doc.of(function), _annotation(inspect.signature(function).return_annotation)
    call = f"{name}: {returned}" if is_property else f"{_call(function, name, typed=True)} -> {returned}"
    yield f"**`{call}`**" + (" *(to be written)*" if getattr(function, "__isabstractmethod__", False) else "")
    yield from _paragraphs(doc.paragraphs, first="")
    rest = [
        *(f"`{argument}`: {text}" for argument, text in doc.sections.get("Args", [])),
        *(f"returns: {text}" for _, text in doc.sections.get("Returns", [])),
        *(f"raises `{error}`: {text}" for error, text in doc.sections.get("Raises", [])),
    ]
    yield from [""] if rest else []
    yield from (line for text in rest for line in _item(text))


def _bases(kind: str) -> list[type]:
    """Return what authors derive from: the families that the kind's checks name, or its base class."""
    base = getattr(module_of(kind), "BASE", None)
    return list(getattr(module_of(kind), "FAMILIES", [base] if base else []))


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
            words = re.findall(r"\w+", " ".join(map(_annotation, types.values())))
            named = [vars(sys.modules[cls.__module__]).get(word) for word in words]
            kept = [n for n in named if isinstance(n, type) and (dataclasses.is_dataclass(n) or _is_protocol(n))]
            found.update(dict.fromkeys(kept))
    return [record for record in found if _Doc.of(record).sections.get("Attributes")]


# Parts of other pages


def _kinds() -> Iterator[str]:
    """The guide's table of kinds."""
    yield from _head("kind", "offers", "hook", "base class")
    for kind in KINDS:
        bases = ", ".join(f"`{_public(cls)}`" for cls in _bases(kind)) or NO_BASE[kind]
        call = _call(_hook_of(kind))
        yield _row(f"[{kind}](plugins/{kind}.md)", _summary(kind), f"`{call}`", bases)


def _checks() -> Iterator[str]:
    """What is asked of everything, and of every component with a class."""
    own = module_of("selectors")
    for check in checks_of("selectors"):
        if check not in own.CHECKS:  # type: ignore[union-attr]
            yield from _item(f"{title(check)}.")


def _what_ships() -> Iterator[str]:
    """The first page's table."""
    yield from _head("", "", "")
    for kind in [*FIRST, *(kind for kind in KINDS if kind not in FIRST)]:
        names = ", ".join(f"`{name}`" for name in _shipped(kind))
        if names:
            place = "docs/methods.md" if kind == "methods" else f"docs/plugins/{kind}.md"
            yield _row(f"[{kind.replace('_', ' ')}]({place})", _summary(kind), names)


def _methods() -> Iterator[str]:
    """A table of all methods."""
    yield from _head("method", "title", "published", "compares or picks by", "network", "code that was followed")
    for name, method in _method_files().items():
        part = "matcher" if "matcher" in method.settings else "selector"
        chosen, network = _spec(method.settings.get(part)), method.settings.get("network", "")
        part = f"{part} `{chosen}`"
        yield _row(f"[`{name}`](#{name})", method.title, _paper(method.paper), part, f"`{network}`", method.code)


def _figures() -> Iterator[str]:
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
    yield from _head("method", "data", *(f"ipc {ipc}" for ipc in columns), "where it stands")
    for (name, data, source), row in rows.items():
        yield _row(f"`{name}`", f"`{data}`", *(row.get(ipc, "") for ipc in columns), source)


def _method_notes() -> Iterator[str]:
    """A section for each method: its summary, notes, and what its small profile does otherwise."""
    for number, (name, method) in enumerate(_method_files().items()):
        yield from [*([""] if number else []), f"### {name}", ""]
        yield from _wrapped(f"**{method.title}**: {method.summary}.")
        if method.notes:
            yield ""
            for note in method.notes:
                yield from _item(" ".join(note.split()))
        for profile, rules in method.profiles.items():
            told = [(rule.when, rule.deviations) for rule in rules if rule.deviations]
            if told:
                yield from ["", f"What `--profile {profile}` changes:", ""]
            for where, deviations in told:
                condition = _condition(where)
                yield from _item(f"{condition + ': ' if condition else ''}{'; '.join(deviations)}")


def _method_files() -> dict[str, MethodFile]:
    return {name: read_method(read_target(entry), name) for name, entry in _shipped("methods").items()}


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


# Words


class _Doc(NamedTuple):
    """A docstring taken apart: paragraphs, and (name, text) pairs of each section."""

    paragraphs: list[str]
    sections: dict[str, list[tuple[str, str]]]

    @classmethod
    def of(cls, what: Any) -> _Doc:
        """Read the docstring of a class or function."""
        parts = re.split(r"^(Args|Attributes|Returns|Raises|Yields):\n", inspect.getdoc(what) or "", flags=re.M)
        sections = {}
        for name, body in zip(parts[1::2], parts[2::2], strict=True):
            inner, _, after = body.partition("\n\n")
            items = re.split(r"^(?=\S)", textwrap.dedent(inner), flags=re.M)
            pairs = [_words(item).partition(": ")[::2] for item in items if item.strip()]
            sections[name] = [("", _words(inner))] if name == "Returns" else pairs
            parts[0] += f"\n\n{after}" if after.strip() else ""
        paragraphs = [_words(text) for text in re.split(r"\n\s*\n", parts[0]) if text.strip()]
        return cls(paragraphs, sections)


def _paragraphs(paragraphs: Sequence[str], first: str | None = None) -> Iterator[str]:
    """Yield paragraphs, wrapped, with a line between them and ``first`` before them."""
    for number, paragraph in enumerate(paragraphs):
        yield from [""] if number or first is not None else []
        yield from _wrapped(paragraph)


def _words(text: str) -> str:
    return " ".join(text.split())


def _wrapped(text: str, width: int = WIDTH) -> list[str]:
    return textwrap.wrap(text.replace("``", "`"), width, break_long_words=False, break_on_hyphens=False)


def _item(text: str) -> list[str]:
    return [("  " if number else "- ") + line for number, line in enumerate(_wrapped(text, WIDTH - 2))]


def _head(*cells: str) -> list[str]:
    return [_row(*cells), "|" + "---|" * len(cells)]


def _row(*cells: str) -> str:
    return "|" + "|".join(f" {_words(cell)} ".replace("|", "\\|") if cell else " " for cell in cells) + "|"


def _paper(paper: str) -> str:
    number = paper.removeprefix("arXiv:")
    return paper if number == paper else f"[{paper}](https://arxiv.org/abs/{number})"


def _summary(kind: str) -> str:
    """Return what a kind is for, from its hook's docstring."""
    return REGISTRY.kind(kind).summary


def _shipped(kind: str) -> dict[str, Entry]:
    return {name: entry for name, entry in REGISTRY.entries(kind).items() if entry.is_shipped}


def _call(function: Callable[..., Any], name: str = "", *, typed: bool = False) -> str:
    """Return a function as it is called, with or without types."""
    words, is_keyword_only = [], False
    for argument in inspect.signature(function).parameters.values():
        if argument.name in ("self", "cls"):
            continue
        if argument.kind is argument.KEYWORD_ONLY and not is_keyword_only:
            words.append("*")
            is_keyword_only = True
        word = ("*" if argument.kind is argument.VAR_POSITIONAL else "") + argument.name
        word += f": {_annotation(argument.annotation)}" if typed else ""
        words.append(word + (f" = {argument.default!r}" if argument.default is not argument.empty else ""))
    return f"{name or function.__name__}({', '.join(words)})"


def _annotation(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"Annotated\[(\w+), .*?\)\]", r"\1", text)
    return re.sub(r"\btorch\.(?=Generator|Tensor|device)", "", text)


def _public(cls: type) -> str:
    """Return the shortest path that a class is offered under."""
    parts = cls.__module__.split(".")
    for end in range(1, len(parts) + 1):
        module = ".".join(parts[:end])
        if cls.__name__ in getattr(importlib.import_module(module), "__all__", ()):
            return f"{module}.{cls.__name__}"
    return f"{cls.__module__}.{cls.__name__}"


def _is_protocol(cls: type) -> bool:
    return bool(vars(cls).get("_is_protocol", False))


def _hook_of(kind: str) -> Callable[..., Any]:
    hook: Callable[..., Any] = getattr(importlib.import_module(REGISTRY.kind(kind).module), f"register_{kind}")
    return hook


def _filled(path: Path, text: str, parts: Mapping[str, Callable[[], Iterable[str]]]) -> str:
    def fill(match: re.Match[str]) -> str:
        if match[2] not in parts:
            raise SystemExit(f"{path.name} asks for the part '{match[2]}'. Known: {', '.join(parts)}.")
        return match[1] + "\n".join(parts[match[2]]()).strip("\n") + "\n" + match[3]

    return BLOCK.sub(fill, text)


FIRST = ["methods", "matchers", "selectors", "datasets", "networks", "protocols", "pools"]
INNER = {"engine", "drawn"}
"""Members by which families of matchers meet the loop; their authors are not plugin authors."""
NO_BASE = {"applications": "none: a module", "commands": "a `click` command", "methods": "a YAML file or a mapping"}
PARTS: dict[str, Callable[[], Iterable[str]]] = {
    "kinds": _kinds,
    "checks": _checks,
    "what-ships": _what_ships,
    "methods": _methods,
    "figures": _figures,
    "method-notes": _method_notes,
}
PAGE_PARTS: dict[str, Callable[[str], Iterable[str]]] = {"hook": _hook, "contract": _contract, "ships": _ships}

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
