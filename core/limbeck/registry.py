"""The registry: components by kind and name, each with where it came from.

Registering imports nothing. A name is looked up with "-" and "_" alike; what follows the longest
registered name is a variant, which the component itself turns into options.
"""

from __future__ import annotations

import importlib
import os
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.component import Component
from limbeck.errors import MissingExtraError, PluginError, UnknownNameError, UsageError, unknown_name
from limbeck.options import parse

if TYPE_CHECKING:
    from limbeck.plugins import Lifecycle

DISTRIBUTION = "limbeck"
_HERE = str(Path(__file__).parent)


@dataclass(frozen=True)
class Entry:
    """One offered component and its provenance.

    Attributes:
        kind: the plural kind ("matchers").
        name: what users type.
        target: ``"module:Attribute"`` or the object itself.
        summary: one line for listings.
        paper: where it was published.
        method: for matchers: the method that ``--matcher NAME`` alone starts from.
        extra: the optional-dependency group that installs what the target needs.
        plugin: the name of the plugin that offers it.
        distribution: the distribution that the plugin belongs to, or the file name of a loose plugin.
        version: the distribution's version, empty for a loose plugin.
        module: the plugin's module.
    """

    kind: str
    name: str
    target: Any
    summary: str = ""
    paper: str = ""
    method: str = ""
    extra: str = ""
    plugin: str = ""
    distribution: str = ""
    version: str = ""
    module: str = ""

    @property
    def provider(self) -> str:
        """The distribution and its version."""
        return f"{self.distribution} {self.version}".rstrip()

    @property
    def qualified(self) -> str:
        """The name that selects this offer among several: ``DIST:NAME``."""
        return f"{self.distribution}:{self.name}"

    @property
    def is_shipped(self) -> bool:
        """Whether it comes with Limbeck itself."""
        return self.distribution == DISTRIBUTION


@dataclass(frozen=True)
class Failure:
    """A plugin, or one offer of a plugin, that was left out.

    Attributes:
        name: the plugin.
        distribution: the distribution it belongs to, or the file name of a loose plugin.
        reason: one line.
        offers: ``(kind, name)`` of what is known to be missing because of it.
    """

    name: str
    distribution: str
    reason: str
    offers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Plugin:
    """A plugin that was loaded.

    Attributes:
        name: its entry point's name, or the stem of a loose file.
        distribution: the distribution it belongs to, or the file name of a loose plugin.
        version: the distribution's version, empty for a loose plugin.
        path: the module's file.
        kinds: the kinds it fills.
        hooks: the hooks it implements.
    """

    name: str
    distribution: str
    version: str
    path: str
    kinds: tuple[str, ...]
    hooks: tuple[str, ...]


@dataclass(frozen=True)
class Kind:
    """A sort of component.

    Attributes:
        name: the plural name.
        summary: the first line of its hook's docstring.
        distribution: who declared it.
    """

    name: str
    summary: str
    distribution: str


class Registry:
    """Components by kind and name.

    Attributes:
        failures: what was left out and why, in the order it was found.
        plugins: what was loaded.
        skipped: distributions that ``LIMBECK_PLUGINS`` leaves out.
        hooks: the life-cycle hooks of all plugins, as methods.
    """

    hooks: Lifecycle

    def __init__(self) -> None:
        self.plugins: list[Plugin] = []
        self.skipped: list[str] = []
        self._failures: list[Failure] = []
        self._kinds: dict[str, Kind] = {}
        self._offers: dict[str, dict[str, list[Entry]]] = {}

    # Filling

    def declare(self, kinds: Sequence[Kind]) -> None:
        """Add kinds, all of them or none.

        Raises:
            PluginError: one of them is declared already.
        """
        for kind in kinds:
            if kind.name in self._kinds:
                owner = self._kinds[kind.name].distribution
                raise PluginError(f"declares the kind '{kind.name}', which {owner} declares already")
        self._kinds.update({kind.name: kind for kind in kinds})
        self._offers.update({kind.name: {} for kind in kinds})

    def add(self, entry: Entry) -> None:
        """Add one offer; a second third party offering the same name withdraws it.

        Raises:
            PluginError: the name is a shipped one, or this distribution offers it already.
        """
        offers = self._offers[entry.kind].setdefault(_key(entry.name), [])
        what = f"{singular(entry.kind)} '{entry.name}'"
        for other in offers:
            if other.distribution == entry.distribution:
                raise PluginError(f"offers the {what} twice")
            if other.is_shipped:
                raise PluginError(f"offers the {what}, a name that ships with Limbeck; give it another name")
        offers.append(entry)

    def fail(self, failure: Failure) -> None:
        """Record a failure, once."""
        if failure not in self._failures:
            self._failures.append(failure)

    # Asking

    @property
    def failures(self) -> list[Failure]:
        """What was left out and why; names that two third parties offer come last."""
        return [*self._failures, *self._conflicts()]

    def kind(self, asked: str) -> Kind:
        """Return a kind by its plural or singular name.

        Raises:
            UnknownNameError: there is no such kind.
        """
        word = asked.replace("-", "_")
        for candidate in (word, f"{word}s", re.sub("y$", "ies", word)):
            if candidate in self._kinds:
                return self._kinds[candidate]
        raise unknown_name("kind", asked, self._kinds, "Type 'limbeck list' to see them.")

    def kinds(self) -> list[str]:
        """Return every kind, sorted."""
        return sorted(self._kinds)

    def entries(self, kind: str) -> dict[str, Entry]:
        """Return the offers of a kind by the name that selects each, sorted by name."""
        found: dict[str, Entry] = {}
        for offers in self._offers[self.kind(kind).name].values():
            found.update({o.name if len(offers) == 1 else o.qualified: o for o in offers})
        return dict(sorted(found.items()))

    def names(self, kind: str) -> list[str]:
        """Return the names of a kind, sorted; each of them can be loaded."""
        return list(self.entries(kind))

    def find(self, kind: str, name: str) -> tuple[Entry, list[str]]:
        """Return the offer with the longest registered prefix of ``name``, and the variant's tokens.

        Raises:
            UnknownNameError: no offer matches, or two third parties offer it.
        """
        plural = self.kind(kind).name
        distribution, _, bare = name.rpartition(":")
        tokens = _key(bare).split("-")
        for cut in range(len(tokens), 0, -1):
            offers = self._offers[plural].get("-".join(tokens[:cut]), [])
            if distribution:
                offers = [o for o in offers if canonical(o.distribution) == canonical(distribution)]
            if len(offers) == 1:
                return offers[0], tokens[cut:]
            if offers:
                raise UnknownNameError(f"{_conflict(offers)}.")
        raise self.unknown(plural, name)

    def entry(self, kind: str, name: str) -> Entry:
        """Return the offer that ``name`` (a variant included) selects."""
        return self.find(kind, name)[0]

    def load(self, kind: str, name: str) -> tuple[type[Component], dict[str, Any]]:
        """Import a component's class and return it with the options its variant stands for.

        Raises:
            UnknownNameError: no offer matches.
            MissingExtraError: its optional library is not installed.
            PluginError: the plugin's module does not hold what was registered.
        """
        entry, tokens = self.find(kind, name)
        target = import_target(entry)
        if not (isinstance(target, type) and issubclass(target, Component)):
            raise PluginError(
                f"{singular(entry.kind)} '{entry.qualified}' is {_describe(target)}, not a class that "
                "derives from limbeck.component.Component."
            )
        if not tokens:
            return target, {}
        if getattr(target.variant, "__func__", None) is Component.variant.__func__:  # type: ignore[attr-defined]
            raise self.unknown(entry.kind, name)
        return target, target.variant(tokens)

    def create(self, kind: str, spec: str | Mapping[str, Any], **forced: Any) -> Any:
        """Make a component.

        Args:
            kind: its kind.
            spec: ``"name"``, ``"name-variant"`` or ``{"name": ..., **options}``.
            **forced: options that win over the others.

        Raises:
            UsageError: a name or option that is not understood, or an option that contradicts the variant.
        """
        given = {"name": spec} if isinstance(spec, str) else dict(spec)
        what = singular(self.kind(kind).name)
        name = given.pop("name", None)
        if not isinstance(name, str):
            raise UsageError(f"a {what} needs a name. Type 'limbeck list {kind}' to see them.")
        cls, variant = self.load(kind, name)
        for option in variant.keys() & given.keys():
            if variant[option] != given[option]:
                raise UsageError(
                    f"the name '{name}' says {option}={variant[option]!r}, but the option "
                    f"'{what}.{option}' is {given[option]!r}. Drop one of them."
                )
        component = cls(parse(cls.Options, {**variant, **given, **forced}, what))
        component.name = name
        return component

    def resource(self, kind: str, name: str) -> str:
        """Return the text an offer points to: ``"package:file"``, an absolute path, or a mapping as YAML.

        Raises:
            UnknownNameError: no offer has this name.
            PluginError: the text cannot be read.
        """
        entry, tokens = self.find(kind, name)
        if tokens:
            raise self.unknown(entry.kind, name)
        return read_target(entry)

    def unknown(self, kind: str, asked: str) -> UnknownNameError:
        """Build the error for a name that nobody offers, naming plugins that may have."""
        what = singular(kind)
        for failure in self._failures:
            if any((kind, _key(asked)) == (k, _key(n)) for k, n in failure.offers):
                owner = f"the plugin '{failure.name}' ({failure.distribution})"
                return UnknownNameError(
                    f"the {what} '{asked}' is offered by {owner}, which {failure.reason}."
                )
        hint = f"Type 'limbeck list {kind}' to see them."
        if broken := sorted({f.name for f in self._failures}):
            hint += f" Plugins left out that may offer it: {', '.join(broken)}; 'limbeck plugins' says why."
        if self.skipped:
            hint += f" LIMBECK_PLUGINS leaves out: {', '.join(self.skipped)}."
        return unknown_name(what, asked, self.names(kind), hint)

    def _conflicts(self) -> list[Failure]:
        clashes = [o for by_name in self._offers.values() for o in by_name.values() if len(o) > 1]
        return [
            Failure(
                entry.plugin,
                entry.distribution,
                f"offers a name that is not its alone: {_conflict(offers)}",
                ((entry.kind, entry.name),),
            )
            for offers in clashes
            for entry in offers
        ]


def singular(kind: str) -> str:
    """Return a kind as a person says one of it: "network_sources" is "network source"."""
    return re.sub("s$", "", re.sub("ies$", "y", kind)).replace("_", " ")


def canonical(distribution: str) -> str:
    """Return a distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def is_strict() -> bool:
    """Whether ``LIMBECK_STRICT`` asks for every plugin error to be raised."""
    return os.environ.get("LIMBECK_STRICT", "") not in ("", "0")


def describe_error(error: BaseException) -> str:
    """Return what went wrong as one line, with the place in the plugin's code it was raised at."""
    if isinstance(error, PluginError):
        return str(error)
    text = " ".join(str(error).split())
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _is_plugin_code(f.filename)]
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"raised {type(error).__name__}{': ' + text if text else ''}{place}"


def import_target(entry: Entry) -> Any:
    """Import what an offer points to.

    Raises:
        MissingExtraError: an optional library is not installed.
        PluginError: the import fails for any other reason.
    """
    if not isinstance(entry.target, str):
        return entry.target
    module, _, attribute = entry.target.partition(":")
    return _guarded(entry, lambda: _import(module, attribute))


def read_target(entry: Entry) -> str:
    """Return the text that an offer points to.

    Raises:
        PluginError: it cannot be read.
    """
    text: str = _guarded(entry, lambda: _read(entry.target))
    return text


def _import(module: str, attribute: str) -> Any:
    loaded = importlib.import_module(module)
    if attribute and not hasattr(loaded, attribute):
        raise PluginError(f"looks for '{attribute}', which the module '{module}' does not have")
    return getattr(loaded, attribute) if attribute else loaded


def _read(target: Any) -> str:
    if isinstance(target, Mapping):
        import yaml

        return str(yaml.safe_dump(dict(target), sort_keys=False))
    if Path(str(target)).is_absolute():
        return Path(target).read_text(encoding="utf-8")
    from importlib.resources import files

    package, _, name = str(target).partition(":")
    return files(package).joinpath(name).read_text(encoding="utf-8")


def _is_plugin_code(filename: str) -> bool:
    """Whether a traceback's frame is neither the interpreter's import machinery nor this package."""
    return not filename.startswith("<") and "importlib" not in filename and not filename.startswith(_HERE)


def _guarded(entry: Entry, action: Callable[[], Any]) -> Any:
    """Run a plugin's code and turn what it raises into one line that names it."""
    what = f"{singular(entry.kind)} '{entry.name}'"
    try:
        return action()
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        own = str(entry.target).split(".")[0].split(":")[0]
        if missing and missing.split(".")[0] != own:
            raise MissingExtraError(
                f"the {what} needs '{missing}', which is not installed. Type: {_install(entry, missing)}"
            ) from error
        if is_strict():
            error.add_note(f"while loading the {what} of {entry.provider}")
            raise
        raise PluginError(
            f"the {what} of {entry.provider} could not be loaded: it {describe_error(error)}. "
            "LIMBECK_STRICT=1 shows where."
        ) from error


def _install(entry: Entry, library: str) -> str:
    """Return the command that installs what a target lacks."""
    if entry.extra:
        return f"pip install '{entry.distribution}[{entry.extra}]'"
    return f"pip install {entry.distribution if entry.version else library}"


def _conflict(offers: list[Entry]) -> str:
    """Say that two third parties offer one name, and how to choose."""
    owners = " and ".join(o.provider for o in offers)
    choices = " or ".join(f"'{o.qualified}'" for o in offers)
    return f"the {singular(offers[0].kind)} '{offers[0].name}' is offered by {owners}; ask for {choices}"


def _key(name: str) -> str:
    return name.replace("_", "-")


def _describe(target: Any) -> str:
    return f"the class {target.__name__}" if isinstance(target, type) else f"of type {type(target).__name__}"
