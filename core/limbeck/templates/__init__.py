"""Packages to start from: one folder a kind, each with a component that works and a test that passes.

A kind's folder holds ``template.toml`` (summary, further arguments of the registration, how it is used), a
``test.py.txt``, and files that take the place of those in ``package``. ``KIND-FAMILY`` is a second template of a kind.
Files end with ``.txt``, so that no tool takes them for code; ``PACKAGE`` and ``NAME`` in paths and ``$words`` in texts
are filled in. Templates of an application's own kinds lie in its package, in a folder ``templates`` like this one.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import keyword
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Any

import limbeck
from limbeck.entries import singular
from limbeck.errors import UsageError
from limbeck.registry import Registry

COMMON = "package"
NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
PREFIX = "limbeck-"


@dataclass(frozen=True)
class Names:
    """What one name is called in each place.

    Attributes:
        name: what users type ("my_net"; "my-net" for commands).
        identifier: the same as Python may hold it ("my_net").
        cls: the class ("MyNet").
        distribution: what pip calls it ("limbeck-my-net").
        package: what Python imports ("limbeck_my_net").
    """

    name: str
    identifier: str
    cls: str
    distribution: str
    package: str

    @classmethod
    def of(cls, name: str, kind: str) -> Names:
        """Derive all from one.

        Raises:
            UsageError: it cannot be a name everywhere.
        """
        bare = name.removeprefix(PREFIX)
        identifier, hyphened = bare.replace("-", "_"), bare.replace("_", "-")
        camel = "".join(word.capitalize() for word in identifier.split("_"))
        if not NAME.fullmatch(bare) or keyword.iskeyword(identifier) or keyword.iskeyword(camel):
            raise UsageError(
                f"'{name}' cannot be a plugin's name: write lower-case letters and digits, words joined by '-' or '_', "
                "beginning with a letter, and no word of Python's own, for example 'my-idea'."
            )
        return cls(
            hyphened if kind == "commands" else identifier, identifier, camel, f"{PREFIX}{hyphened}",
            f"limbeck_{identifier}",
        )  # fmt: skip


def kinds(registry: Registry) -> dict[str, list[str]]:
    """Return every kind that has a template, with the families among which there is a choice."""
    found = {kind: [folder.name.partition("-")[2] for folder in _of_kind(registry, kind)] for kind in registry.kinds()}
    return {kind: families for kind, families in found.items() if families}


def _of_kind(registry: Registry, kind: str) -> list[Traversable]:
    """Return the folders of a kind's templates, in the package that declares it."""
    package = registry.kind(kind).package
    root = files(package) / "templates" if package else None
    if root is None or not root.is_dir():
        return []
    found = [folder for folder in root.iterdir() if folder.name.partition("-")[0] == kind]
    return sorted((f for f in found if (f / "template.toml").is_file()), key=lambda folder: folder.name)


def write_package(registry: Registry, name: str, kind: str, out: Path, family: str = "") -> tuple[Path, str]:
    """Write an installable package with one component of a kind.

    Args:
        registry: says which names are taken.
        name: of the plugin, which its folder gets too.
        kind: in the plural or singular.
        out: where the folder is made.
        family: which of several templates; the first where it is empty.

    Returns:
        The new folder, and the commands that use the component.

    Raises:
        UsageError: a name that cannot be one or is taken, or a kind or family without a template.
    """
    plural, template = _template(registry, kind, family)
    names = Names.of(name, plural)
    folder = out / name
    _refuse_taken(registry, plural, names, folder)
    stated = tomllib.loads(template.joinpath("template.toml").read_text(encoding="utf-8"))
    words = _words(plural, names, name, stated)
    words["test"] = _fill(template.joinpath("test.py.txt"), words).rstrip("\n")
    sources = {**dict(_files(files(__name__) / COMMON)), **dict(_files(template))}
    for path, source in sources.items():
        place = folder / _fill_path(path, names)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(_fill(source, words).rstrip() + "\n", encoding="utf-8")
    return folder, words["use"]


def _template(registry: Registry, kind: str, family: str) -> tuple[str, Traversable]:
    plural = registry.kind(kind).name
    known = {folder.name: folder for folder in _of_kind(registry, plural)}
    if not known:
        known_kinds = ", ".join(kinds(registry))
        raise UsageError(f"there is no template for the kind '{plural}'. There is one for: {known_kinds}.")
    name = f"{plural}-{family}" if family and family != DEFAULT_FAMILY.get(plural) else plural
    if name not in known:
        choices = [DEFAULT_FAMILY.get(plural, ""), *(folder.partition("-")[2] for folder in known)]
        allowed = ", ".join(filter(None, choices))
        said = f"; allowed: {allowed}" if allowed else ": leave out --family"
        raise UsageError(f"the kind '{plural}' has no family '{family}'{said}.")
    return plural, known[name]


DEFAULT_FAMILY = {"matchers": "feature"}
"""What the template of a kind without a family in its name is called, where there are others."""


def _refuse_taken(registry: Registry, kind: str, names: Names, folder: Path) -> None:
    """Refuse a name that something has already.

    Raises:
        UsageError: says what has it.
    """
    what = singular(kind)
    for known, entry in registry.entries(kind).items():
        if known.rpartition(":")[2].replace("_", "-") == names.name.replace("_", "-"):
            raise UsageError(f"there is a {what} '{entry.name}' already, of {entry.provider}. Choose another name.")
    if _is_installed(names.distribution) or importlib.util.find_spec(names.package):
        raise UsageError(
            f"'{names.distribution}' is installed already. Choose another name, or remove it first: "
            f"limbeck plugins uninstall {names.distribution}"
        )
    if folder.exists():
        raise UsageError(f"{folder} exists already. Choose another name, or another place with --out.")


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _words(kind: str, names: Names, folder: str, stated: dict[str, Any]) -> dict[str, str]:
    """Return what stands for each ``$word``."""
    one = singular(kind)
    module = one.replace(" ", "_")
    words = {
        "name": names.name,
        "identifier": names.identifier,
        "command": names.identifier.replace("_", "-"),
        "Class": names.cls,
        "target": stated.get("target", names.cls),
        "distribution": names.distribution,
        "package": names.package,
        "folder": folder,
        "kind": kind,
        "one": one,
        "module": module,
        "version": ".".join(limbeck.__version__.split(".")[:2]),
    }
    words["arguments"] = "".join(f"\n        {argument}," for argument in stated.get("arguments", []))
    for key, default in {"summary": "", "use": "", "file": f"{module}.py", "next": ""}.items():
        words[key] = Template(stated.get(key, default)).substitute(words).strip()
    words["Summary"] = words["summary"][0].upper() + words["summary"][1:]
    return words


def _files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    """Yield the files of a template by the path they get, before names are filled in."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".txt") and (prefix or folder.name == COMMON):
            yield prefix + entry.name.removesuffix(".txt"), entry


def _fill_path(path: str, names: Names) -> str:
    stem = names.name if path.endswith(".yaml") else names.identifier
    return path.replace("PACKAGE", names.package).replace("NAME", stem)


def _fill(source: Traversable, words: dict[str, str]) -> str:
    return Template(source.read_text(encoding="utf-8")).substitute(words)
