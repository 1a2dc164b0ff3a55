"""The registry: components by kind and name, each with where it came from.

Registering imports nothing. A name is looked up with "-" and "_" alike; what follows the longest
registered name is a variant, which the component itself turns into options.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from limbeck.component import Component
from limbeck.entries import Entry, Failure, Kind, Plugin, canonical, import_target, read_target, singular
from limbeck.errors import MissingExtraError, PluginError, UnknownNameError, UsageError, unknown_name
from limbeck.options import parse

if TYPE_CHECKING:
    from limbeck.lifecycle import Lifecycle


SECTIONS = {
    "datasets": "data",
    "network_sources": "source",
    "label_projectors": "labels",
    "protocols": "evaluation.protocol",
    "executors": "execution.executor",
}
"""Where a run's configuration holds a component's options, when that is not named like the kind.

Options of a kind that an application declares stand behind the component's name, and are called by that.
"""


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
        self._told: set[Failure] = set()
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

    def news(self) -> list[Failure]:
        """Return the failures that this method has not returned before."""
        fresh = [failure for failure in self.failures if failure not in self._told]
        self._told.update(fresh)
        return fresh

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
        found = self.kind(kind)
        what = singular(found.name).replace(" ", "_")
        name = given.pop("name", None)
        if not isinstance(name, str):
            raise UsageError(f"a {what} needs a name. Type 'limbeck list {kind}' to see them.")
        where = SECTIONS.get(found.name, what) if found.package == __package__ else name
        cls, variant = self.load(kind, name)
        for option in variant.keys() & given.keys():
            if variant[option] != given[option]:
                raise UsageError(
                    f"the name '{name}' says {option}={variant[option]!r}, but the option "
                    f"'{where}.{option}' is {given[option]!r}. Drop one of them."
                )
        component = cls(parse(cls.Options, {**variant, **given, **forced}, where))
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

    def require(self, needed: Iterable[Mapping[str, str]]) -> None:
        """Check that the components a stored set names are installed.

        Args:
            needed: ``kind``, ``name`` and ``distribution`` of each.

        Raises:
            MissingExtraError: one is absent; the message says what to install.
        """
        for part in needed:
            kind, name, owner = part["kind"], part["name"], part["distribution"]
            try:
                self.find(kind, f"{owner}:{name}")
            except UnknownNameError as error:
                how = f"Give it with --plugin {owner}" if owner.endswith(".py") else f"Type: pip install {owner}"
                raise MissingExtraError(
                    f"the set needs the {singular(kind)} '{name}' of {owner}, which is not installed. {how}"
                ) from error

    def unknown(self, kind: str, asked: str) -> UnknownNameError:
        """Build the error for a name that nobody offers, naming plugins that may have."""
        what = singular(kind)
        bare = _key(asked.rpartition(":")[2])
        for failure in self._failures:
            if any((kind, bare) == (k, _key(n)) for k, n in failure.offers):
                owner = f"the plugin '{failure.name}' ({failure.distribution})"
                return UnknownNameError(f"the {what} '{asked}' is offered by {owner}, which {failure.reason}.")
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


def _conflict(offers: list[Entry]) -> str:
    """Say that two third parties offer one name, and how to choose."""
    owners = " and ".join(o.provider for o in offers)
    choices = " or ".join(f"'{o.qualified}'" for o in offers)
    return f"the {singular(offers[0].kind)} '{offers[0].name}' is offered by {owners}; ask for {choices}"


def _key(name: str) -> str:
    return name.replace("_", "-")


def _describe(target: Any) -> str:
    return f"the class {target.__name__}" if isinstance(target, type) else f"of type {type(target).__name__}"
