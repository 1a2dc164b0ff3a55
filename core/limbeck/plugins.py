"""Finding and loading plugins, so that a broken one never stops the tool.

Loading has two phases: all modules are imported and applications declare their kinds, and only then
are hooks checked, so that a hook of an application is never taken for a misspelling. Plugins are
walked in the order of their distributions and names; nothing depends on the order of registration.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pluggy

from limbeck import hookspecs as core_hookspecs
from limbeck.discovery import Candidate, existing_file, installed, loose
from limbeck.entries import DISTRIBUTION, Entry, Failure, Kind, Plugin, describe_error, is_strict
from limbeck.errors import PluginError, closest
from limbeck.hookspecs import PROJECT
from limbeck.lifecycle import Lifecycle
from limbeck.registry import Registry

NAME = re.compile(r"[A-Za-z0-9]+([_.-][A-Za-z0-9]+)*")


class Loader:
    """Loads plugins into one registry, a batch at a time.

    Attributes:
        registry: what was loaded.
        files: the loose plugin files among it, in the order they were given.
    """

    def __init__(self) -> None:
        self.registry = Registry()
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(core_hookspecs)
        self.files: dict[Path, None] = {}
        self._ids: set[str] = set()
        self.registry.hooks = Lifecycle(self._manager, self.registry.fail)
        self._declare_kinds(core_hookspecs, DISTRIBUTION)

    def load(self, candidates: Iterable[Candidate]) -> None:
        """Load plugins; those that break a rule are recorded as failures and leave nothing behind."""
        loaded = sorted(candidates, key=lambda c: c.key)
        for phase in (self._import, self._learn_kinds, self._register):
            loaded = [candidate for candidate in loaded if self._attempt(candidate, phase)]

    def load_files(self, paths: Iterable[str | Path]) -> None:
        """Load loose plugin files, each once.

        Raises:
            UsageError: a file does not exist.
        """
        fresh = [path for path in dict.fromkeys(existing_file(p) for p in paths) if path not in self.files]
        self.files.update(dict.fromkeys(fresh))
        names = [path.name for path in self.files]
        self.load(loose(p, p.name if names.count(p.name) == 1 else str(p)) for p in fresh)

    def _attempt(self, candidate: Candidate, phase: Callable[[Candidate], None]) -> bool:
        try:
            phase(candidate)
        except (Exception, SystemExit) as error:
            if candidate.module is not None and self._manager.get_plugin(candidate.id) is candidate.module:
                self._manager.unregister(name=candidate.id)
            if is_strict():
                raise _blamed(candidate, error) from error.__cause__
            self._fail(candidate, error, candidate.offers)
            return False
        return True

    def _fail(self, candidate: Candidate, error: BaseException, offers: Iterable[Entry]) -> None:
        known = tuple((offer.kind, offer.name) for offer in offers)
        self.registry.fail(Failure(candidate.name, candidate.distribution, describe_error(error), known))

    def _import(self, candidate: Candidate) -> None:
        if candidate.id in self._ids:
            raise PluginError("is the second entry point of this name in its distribution")
        self._ids.add(candidate.id)
        candidate.module = candidate.load()
        for hook in self._hooks_of(candidate.module):
            _check_implementation(self._manager, candidate.module, hook)

    def _learn_kinds(self, candidate: Candidate) -> None:
        """Call ``register_applications`` and declare the kinds of the applications it offers.

        A kind stays declared when its application fails later: plugins that fill it have done nothing wrong.
        """
        if "register_applications" not in self._hooks_of(candidate.module):
            return
        self._collect(candidate, "register_applications")
        for name in dict.fromkeys(candidate.declares):
            module = importlib.import_module(name)
            self._declare_kinds(module, candidate.distribution)
            self._manager.add_hookspecs(module)

    def _declare_kinds(self, module: Any, distribution: str) -> None:
        kinds = []
        for name in dir(module):
            if self._manager.parse_hookspec_opts(module, name) is None:
                continue
            if name.startswith("register_"):
                meaning = _meaning(getattr(module, name))
                kinds.append(Kind(name.removeprefix("register_"), meaning, distribution, module.__name__))
            elif module is not core_hookspecs:
                raise PluginError(f"declares the hook '{name}'; an application declares register_<kind> only")
        self.registry.declare(kinds)

    def _register(self, candidate: Candidate) -> None:
        """Check a plugin's hooks, call them, and take over what they offered."""
        hooks = self._hooks_of(candidate.module)
        for hook in hooks:
            self._check_known(candidate.module, hook)
        if not hooks and candidate.distribution != DISTRIBUTION:
            raise PluginError("implements no hook; mark its functions with @limbeck.hookimpl")
        self._manager.register(candidate.module, candidate.id)
        for hook in hooks:
            if hook.startswith("register_") and hook != "register_applications":
                self._collect(candidate, hook)
        for offer in candidate.offers:
            try:
                self.registry.add(offer)
            except PluginError as error:
                if is_strict():
                    raise
                self._fail(candidate, error, [offer])
        self.registry.plugins.append(_summary(candidate, hooks))

    def _collect(self, candidate: Candidate, hook: str) -> None:
        """Call one ``register_<kind>`` hook and keep what it offers aside."""
        kind = hook.removeprefix("register_")

        def register(
            name: str,
            target: Any,
            *,
            summary: str = "",
            paper: str = "",
            method: str = "",
            extra: str = "",
            hookspecs: str = "",
            facts: Mapping[str, Any] | None = None,
        ) -> None:
            _check_offer(kind, name, target)
            if hookspecs and kind != "applications":
                raise PluginError(f"offers '{name}' with hookspecs, which only applications may have")
            if hookspecs:
                candidate.declares.append(hookspecs)
            candidate.offers.append(
                Entry(
                    kind, name, target, summary, paper, method, extra, dict(facts or {}),
                    plugin=candidate.name,
                    distribution=candidate.distribution,
                    version=candidate.version,
                    module=getattr(candidate.module, "__name__", ""),
                )
            )  # fmt: skip

        getattr(candidate.module, hook)(register)

    def _hooks_of(self, module: Any) -> list[str]:
        """Return the names of everything in a plugin that is marked as a hook, sorted."""
        return [n for n in dir(module) if self._manager.parse_hookimpl_opts(module, n) is not None]

    def _check_known(self, module: Any, hook: str) -> None:
        specs = {n: c.spec for n, c in vars(self._manager.hook).items() if c.has_spec()}
        if hook not in specs:
            near = closest(hook, specs)
            guess = f"; did it mean '{near}'?" if near else ""
            raise PluginError(f"implements the hook '{hook}', which does not exist{guess}")
        allowed = [*specs[hook].argnames, *specs[hook].kwargnames]
        for name, parameter in inspect.signature(getattr(module, hook)).parameters.items():
            if name not in allowed and parameter.default is parameter.empty:
                raise PluginError(
                    f"implements the hook '{hook}' with the parameter '{name}'; it has {', '.join(allowed)}"
                )


def load_installed() -> Loader:
    """Return a new loader with every installed plugin loaded."""
    loader = Loader()
    found = installed()
    loader.load(found.candidates)
    loader.registry.skipped = found.skipped
    for name in found.missing:
        loader.registry.fail(Failure(name, name, "is named in LIMBECK_PLUGINS, but is not installed"))
    return loader


_loader = functools.cache(load_installed)


def registry() -> Registry:
    """Return this process's registry, with every installed plugin loaded on the first call."""
    return _loader().registry


@contextlib.contextmanager
def using(loader: Loader) -> Iterator[Registry]:
    """Have ``registry`` return another loader's registry inside a block, as tests and checks of plugins do."""
    global _loader
    before, _loader = _loader, functools.cache(lambda: loader)
    try:
        yield registry()
    finally:
        _loader = before


def is_loaded() -> bool:
    """Whether the registry has been built."""
    return _loader.cache_info().currsize > 0


def load_files(paths: Iterable[str | Path]) -> None:
    """Load loose plugin files into this process's registry; a file is loaded once.

    Args:
        paths: Python files with ``@limbeck.hookimpl`` functions.

    Raises:
        UsageError: a file does not exist.
    """
    _loader().load_files(paths)


def plugin_files() -> list[Path]:
    """Return the loose plugin files that are loaded, in the order they were given."""
    return list(_loader().files)


def _blamed(candidate: Candidate, error: BaseException) -> BaseException:
    """Return an error that names the plugin it comes from."""
    owner = f"the plugin '{candidate.name}' ({candidate.distribution})"
    if isinstance(error, PluginError):
        return PluginError(f"{owner} {error}.")
    error.add_note(f"in {owner}")
    return error


def _check_implementation(manager: pluggy.PluginManager, module: Any, hook: str) -> None:
    """Refuse what pluggy accepts and this loader could not call as the author means."""
    options = manager.parse_hookimpl_opts(module, hook)
    if options and (options["wrapper"] or options["hookwrapper"]):
        raise PluginError(f"implements the hook '{hook}' as a wrapper; hooks here cannot be wrapped")
    for parameter in inspect.signature(getattr(module, hook)).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            raise PluginError(
                f"implements the hook '{hook}' with the parameter '{parameter}', which is keyword-only or "
                "starred; name the hook's parameters plainly"
            )


def _check_offer(kind: str, name: str, target: Any) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise PluginError(f"offers {name!r} in register_{kind}; a name is letters, digits, '_', '-' and '.'")
    is_place = not isinstance(target, str) or ":" in target or Path(target).is_absolute()
    if not is_place and kind != "applications":
        raise PluginError(f"offers '{name}' as '{target}'; a target is written 'module:Name'")


def _meaning(hook: Any) -> str:
    """Return what "Offer matchers: what is compared." says about matchers."""
    line = (inspect.getdoc(hook) or "").partition("\n")[0].replace("``", "").rstrip(".")
    return line.partition(": ")[2] or line


def _summary(candidate: Candidate, hooks: Sequence[str]) -> Plugin:
    return Plugin(
        name=candidate.name,
        distribution=candidate.distribution,
        version=candidate.version,
        path=str(getattr(candidate.module, "__file__", "") or ""),
        kinds=tuple(sorted({offer.kind for offer in candidate.offers})),
        hooks=tuple(hooks),
    )
