"""What ``limbeck plugins check`` is pointed at: a distribution, a file, a package's folder, a component."""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.discovery import GROUP, Candidate, existing_file, installed
from limbeck.entries import DISTRIBUTION, Entry, Failure, canonical
from limbeck.errors import UsageError
from limbeck.plugins import Loader, load_files, registry, using
from limbeck.testing.suite import Outcome, Subject, outcomes

LOADED = "Limbeck loads the plugin and all that it offers"


def check_target(target: str) -> list[Outcome]:
    """Make every check of every component that a target offers.

    Args:
        target: an installed distribution (``limbeck-`` may be left out), a Python file, a package's folder,
            ``kind/name``, or "all" for what ships.

    Raises:
        UsageError: it is none of these, or offers nothing.
    """
    with _loaded(target) as owner:
        if owner.components is None:
            found = list(_offers(owner.distribution))
            failures = [f for f in registry().failures if canonical(f.distribution) == canonical(owner.distribution)]
        else:
            found, failures = owner.components, []
        if not found and not failures:
            raise UsageError(f"{target} offers no component, so there is nothing to check.")
        return [*map(_left_out, failures), *(outcome for subject in found for outcome in outcomes(subject))]


@dataclass(frozen=True)
class Owner:
    """Who offers what is checked: a distribution (or file), or components named one by one."""

    distribution: str
    components: list[Subject] | None = None


def _loaded(target: str) -> AbstractContextManager[Owner]:
    """Return a context in which what the target offers is in the registry."""
    path = Path(target)
    if target == "all":
        return _present(lambda: Owner(DISTRIBUTION))
    if target.endswith(".py"):
        return _file(path)
    kind, slash, name = target.partition("/")
    if slash and kind and name and not path.exists() and "/" not in name and not kind.startswith("."):
        return _present(lambda: Owner("", [Subject(registry().entry(kind, name), name)]))
    if slash or target.startswith("."):
        return _folder(path)
    return _present(lambda: Owner(_distribution(target)))


@contextmanager
def _present(owner: Callable[[], Owner]) -> Iterator[Owner]:
    yield owner()


@contextmanager
def _file(path: Path) -> Iterator[Owner]:
    file = existing_file(path)
    load_files([file])
    loaded = [plugin.distribution for plugin in registry().plugins if plugin.path == str(file)]
    failed = [f.distribution for f in registry().failures if f.distribution in (str(file), file.name)]
    yield Owner([*loaded, *failed][0])


@contextmanager
def _folder(folder: Path) -> Iterator[Owner]:
    """Load a package from its folder, in place of an installed version of it."""
    project = _project(folder)
    name, version = str(project.get("name", folder.name)), str(project.get("version", "0"))
    points: dict[str, str] = project.get("entry-points", {}).get(GROUP, {})
    if not points:
        raise UsageError(f"{folder}/pyproject.toml has no entry point of the group '{GROUP}', so it offers nothing.")
    roots = [str(root.resolve()) for root in (folder / "src", folder) if root.is_dir()]
    others = [c for c in installed().candidates if canonical(c.distribution) != canonical(name)]
    own = [
        Candidate(point, name, version, lambda module=module: importlib.import_module(module))  # type: ignore[misc]
        for point, module in points.items()
    ]
    before = list(sys.path)
    _forget(module.partition(".")[0] for module in points.values())
    sys.path[:0] = roots
    try:
        loader = Loader()
        loader.load([*others, *own])
        with using(loader):
            yield Owner(name)
    finally:
        sys.path[:] = before
        _forget(module.partition(".")[0] for module in points.values())


def _project(folder: Path) -> dict[str, Any]:
    try:
        text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    except OSError:
        raise UsageError(
            f"{folder} is no package: it holds no pyproject.toml. Give a plugin's distribution, a .py file, "
            "a package's folder, kind/name, or 'all'."
        ) from None
    try:
        project: dict[str, Any] = tomllib.loads(text).get("project", {})
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{folder}/pyproject.toml is no valid TOML: {error}.") from None
    return project


def _forget(packages: Iterable[str]) -> None:
    """Have packages imported anew: another version of them may have been."""
    for package in set(packages):
        for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
            del sys.modules[name]


def _distribution(name: str) -> str:
    from limbeck.installing import find_distribution

    loose = [plugin.distribution for plugin in registry().plugins if not plugin.version]
    return name if name in loose else find_distribution(name)


def _offers(distribution: str) -> Iterator[Subject]:
    """Yield everything that a distribution offers, by kind and name."""
    found = registry()
    for kind in found.kinds():
        for name, entry in found.entries(kind).items():
            if _owned(entry, distribution):
                yield Subject(entry, name)


def _owned(entry: Entry, distribution: str) -> bool:
    return canonical(entry.distribution) == canonical(distribution)


def _left_out(failure: Failure) -> Outcome:
    return Outcome("plugins", failure.name, LOADED, "failed", failure.reason)
