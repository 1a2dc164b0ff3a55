"""Finding plugins: entry points of installed distributions, and loose files."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from limbeck.entries import DISTRIBUTION, Entry, canonical
from limbeck.errors import PluginError, UsageError

GROUP = "limbeck"


@dataclass(eq=False)
class Candidate:
    """A plugin that was found, before and while it is loaded.

    Attributes:
        name: its entry point's name, or the stem of a loose file.
        distribution: the distribution it belongs to, or the file name of a loose plugin.
        version: the distribution's version, empty for a loose plugin.
        load: imports and returns the plugin's module.
        module: the imported module.
        offers: what its hooks offered so far.
        declares: modules with hook specifications of its applications.
    """

    name: str
    distribution: str
    version: str
    load: Callable[[], Any]
    module: Any = None
    offers: list[Entry] = field(default_factory=list)
    declares: list[str] = field(default_factory=list)

    @property
    def key(self) -> tuple[bool, bool, str, str]:
        """Shipped plugins first, loose files last, each by distribution and name."""
        return self.distribution != DISTRIBUTION, not self.version, self.distribution, self.name

    @property
    def id(self) -> str:
        """A name that no other plugin has."""
        return f"{self.distribution}:{self.name}"


@dataclass(frozen=True)
class Installed:
    """What entry points lead to.

    Attributes:
        candidates: plugins to load.
        skipped: distributions that ``LIMBECK_PLUGINS`` leaves out.
        missing: distributions that it names and that have no plugin.
    """

    candidates: list[Candidate]
    skipped: list[str]
    missing: list[str]


def installed() -> Installed:
    """Find installed plugins; ``LIMBECK_PLUGINS=a,b`` keeps those distributions' beside Limbeck's own."""
    listed = os.environ.get("LIMBECK_PLUGINS")
    allowed = {canonical(name) for name in re.split(r"[,\s]+", listed or "") if name}
    candidates: list[Candidate] = []
    skipped: set[str] = set()
    for point in metadata.entry_points(group=GROUP):
        owner = (point.dist and point.dist.name) or point.module.partition(".")[0]
        version = (point.dist and point.dist.version) or "unknown"
        if listed is None or owner == DISTRIBUTION or canonical(owner) in allowed:
            candidates.append(Candidate(point.name, owner, version, point.load))
        else:
            skipped.add(owner)
    missing = allowed - {canonical(candidate.distribution) for candidate in candidates}
    return Installed(candidates, sorted(skipped), sorted(missing))


def loose(path: Path, label: str) -> Candidate:
    """Return the plugin in a file of no distribution; ``label`` stands for the distribution's name."""
    return Candidate(path.stem, label, "", functools.partial(_load_file, path))


def existing_file(path: str | Path) -> Path:
    """Return the absolute path of a plugin file.

    Raises:
        UsageError: there is no such file.
    """
    file = Path(path).resolve()
    if not file.is_file():
        raise UsageError(f"the plugin file {path} does not exist. Give --plugin the path of a Python file.")
    return file


def _load_file(path: Path) -> Any:
    """Import a file under a name of its own, so that ``f"{__name__}:Class"`` can be registered in it."""
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    name = f"limbeck_loose_{re.sub(r'[^0-9A-Za-z]', '_', path.stem)}_{digest}"
    loader = SourceFileLoader(name, str(path))
    spec = importlib.util.spec_from_loader(name, loader)
    if spec is None:
        raise PluginError("cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
