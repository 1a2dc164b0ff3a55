"""Running checks on a component: which there are, how each ended, and why."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

from limbeck.entries import Entry, describe_error, import_target, singular
from limbeck.errors import MissingExtraError

Status = Literal["passed", "failed", "not applicable"]


PRECISION = "; checks are made in float64: give new tensors the type of those they meet"


class Broken(AssertionError):
    """A promise that a component does not keep; the message says what was seen."""


class NotApplicable(Exception):
    """A check that cannot be made of this component; the message says why."""


@dataclass(frozen=True)
class Outcome:
    """How one check of one component ended.

    Attributes:
        kind: the component's kind, in the plural.
        name: the component.
        check: what was checked, as a statement.
        status: "passed", "failed" or "not applicable".
        reason: one line; empty where the check passed.
    """

    kind: str
    name: str
    check: str
    status: Status
    reason: str = ""


@dataclass(frozen=True)
class Subject:
    """A component that is checked.

    Attributes:
        entry: what was registered.
        name: what selects it.
        kept: what checks of this component share, by name; computed once.
    """

    entry: Entry
    name: str
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Its kind, in the plural."""
        return self.entry.kind

    @property
    def cls(self) -> Any:
        """Its class; for kinds without classes what was registered."""
        return import_target(self.entry)

    def given(self) -> dict[str, Any]:
        """Return the options it is tried with beside its defaults.

        Raises:
            NotApplicable: an option is required and its ``trial_options`` do not say what to give.
        """
        from limbeck.plugins import registry

        cls, variant = registry().load(self.kind, self.name)
        options = {key: value for key, value in cls.trial_options.items() if key not in variant}
        fields = cls.Options.model_fields
        required = [name for name, f in fields.items() if f.is_required() and name not in {**variant, **options}]
        if required:
            raise NotApplicable(f"needs the option '{required[0]}', for which its trial_options give nothing")
        return options

    def make(self, **options: Any) -> Any:
        """Return a new instance with its trial options, and with ``options`` over them."""
        from limbeck.plugins import registry

        return registry().create(self.kind, {"name": self.name, **self.given(), **options})

    def keep(self, name: str, compute: Callable[[], Any]) -> Any:
        """Return what ``compute`` returned when it was first asked for under this name."""
        if name not in self.kept:
            self.kept[name] = compute()
        return self.kept[name]


Check = Callable[[Subject], None]


def require(condition: Any, message: str) -> None:
    """Raise ``Broken`` unless the condition holds."""
    if not condition:
        raise Broken(message)


def subject(kind: str, name: str) -> Subject:
    """Return a registered component as a subject.

    Args:
        kind: in the plural or singular.
        name: as users type it; a variant is checked as the variant.

    Raises:
        UnknownNameError: there is none.
    """
    from limbeck.plugins import registry

    return Subject(registry().entry(kind, name), name)


def checks_of(kind: str) -> list[Check]:
    """Return the checks of a kind, those of all kinds first."""
    own = module_of(kind)
    names = ["general"] if own and not hasattr(own, "BASE") else ["general", "components"]
    modules = [importlib.import_module(f"limbeck.testing.{name}") for name in names]
    return [check for module in [*modules, *([own] if own else [])] for check in module.CHECKS]


def module_of(kind: str) -> ModuleType | None:
    """Return the module with a kind's checks, ``testing.kinds.KIND`` of the package that declares it, or None."""
    from limbeck.plugins import registry

    package = registry().kind(kind).package
    name = f"{package}.testing.kinds.{kind}"
    try:
        found = importlib.util.find_spec(name) if package else None
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):  # something that the checks import
            raise
        found = None
    return importlib.import_module(name) if found else None


def title(check: Check) -> str:
    """Return what a check states: the first line of its docstring, without the full stop."""
    return (inspect.getdoc(check) or check.__name__).partition("\n")[0].rstrip(".")


def check(kind: str, name: str) -> list[Outcome]:
    """Make every check of a component.

    Args:
        kind: in the plural or singular ("matcher").
        name: as users type it.

    Raises:
        UnknownNameError: there is none of this name.
    """
    return list(outcomes(subject(kind, name)))


def outcomes(of: Subject) -> Iterator[Outcome]:
    """Make every check of a component, and yield how each ended as soon as it is known."""
    for function in checks_of(of.kind):
        status, reason = _attempt(function, of)
        yield Outcome(of.kind, of.name, title(function), status, reason)


def conformance(kind: str, name: str) -> None:
    """Make every check of a component, for use in a test.

    Args:
        kind: in the plural or singular ("matcher").
        name: as users type it.

    Raises:
        AssertionError: lists the checks that failed, and why.
        UnknownNameError: there is none of this name.
    """
    failed = [outcome for outcome in check(kind, name) if outcome.status == "failed"]
    if failed:
        lines = [f"  {outcome.check}: {outcome.reason}" for outcome in failed]
        what = f"{singular(failed[0].kind)} '{name}' fails {len(failed)} check{'s' if len(failed) > 1 else ''}:"
        raise AssertionError("\n".join([f"the {what}", *lines]))


def _attempt(function: Check, of: Subject) -> tuple[Status, str]:
    from limbeck.testing.randomness import moved_generators

    try:
        for _ in range(2):  # a library may move them once, while it is imported
            with moved_generators() as moved:
                function(of)
            if not moved:
                break
        if moved:
            return "failed", f"moves the global generator of {' and '.join(moved)}; draw from the one it is given"
    except NotApplicable as reason:
        return "not applicable", str(reason)
    except MissingExtraError as reason:
        return "not applicable", str(reason)
    except Broken as reason:
        return "failed", str(reason)
    except Exception as error:
        return "failed", describe_error(error) + (PRECISION if "double" in str(error) else "")
    return "passed", ""
