"""What the registry holds about a component, a kind, a plugin and a failure, and how a target is imported."""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limbeck.errors import MissingExtraError, PluginError
from limbeck.files import sha256

DISTRIBUTION = "limbeck"
_HERE = str(Path(__file__).parent) + os.sep


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
        facts: what listings show of it without importing it.
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
    facts: Mapping[str, Any] = field(default_factory=dict, hash=False)
    plugin: str = ""
    distribution: str = ""
    version: str = ""
    module: str = ""

    @property
    def provider(self) -> str:
        """The distribution and its version."""
        return f"{self.distribution} {self.version}".rstrip()

    @property
    def revision(self) -> str:
        """The distribution's version; for a loose file, which has none, a digest of its text."""
        file = getattr(sys.modules.get(self.module), "__file__", None)
        return self.version or (sha256(Path(file).read_bytes()) if file else "")

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
        summary: what it is for, from its hook's docstring.
        distribution: who declared it.
        module: where its hook is declared.
    """

    name: str
    summary: str
    distribution: str
    module: str = ""

    @property
    def package(self) -> str:
        """The package that holds its checks (``testing/kinds/KIND.py``) and its templates (``templates/KIND``)."""
        return self.module.rpartition(".")[0]


def canonical(distribution: str) -> str:
    """Return a distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def is_strict() -> bool:
    """Whether ``LIMBECK_STRICT`` asks for every plugin error to be raised."""
    return os.environ.get("LIMBECK_STRICT", "") not in ("", "0")


def singular(kind: str) -> str:
    """Return a kind as a person says one of it: "network_sources" is "network source"."""
    return re.sub("s$", "", re.sub("ies$", "y", kind)).replace("_", " ")


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
        return f"pip install '{entry.distribution if entry.version else DISTRIBUTION}[{entry.extra}]'"
    return f"pip install {entry.distribution if entry.version else library}"
