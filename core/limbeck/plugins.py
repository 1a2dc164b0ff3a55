"""Finding and loading plugins, so that a broken one never stops the tool.

Loading has two phases: all modules are imported and applications declare their kinds, and only then
are hooks checked, so that a hook of an application is never taken for a misspelling. Plugins are
walked in the order of their distributions and names; nothing depends on the order of registration.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from limbeck import hookspecs as core_hookspecs
from limbeck.errors import PluginError, UsageError, closest
from limbeck.hookspecs import PROJECT
from limbeck.registry import (
    DISTRIBUTION,
    Entry,
    Failure,
    Kind,
    Plugin,
    Registry,
    canonical,
    describe_error,
    is_strict,
)

if TYPE_CHECKING:
    from limbeck.events import CheckpointInfo, EvaluationInfo, RunInfo, RunResult

GROUP = "limbeck"
NAME = re.compile(r"[A-Za-z0-9]+([_.-][A-Za-z0-9]+)*")


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


class Lifecycle:
    """The life-cycle hooks of all plugins. A plugin that raises is recorded and the run goes on."""

    def __init__(self, manager: pluggy.PluginManager, fail: Callable[[Failure], None]) -> None:
        self._manager = manager
        self._fail = fail

    def before_run(self, run: RunInfo) -> None:
        """Tell every plugin that a run is about to take its first step."""
        self._call("before_run", run=run)

    def after_steps(self, first: int, last: int, losses: Sequence[float], seconds: float) -> None:
        """Tell every plugin about finished steps."""
        self._call("after_steps", first=first, last=last, losses=losses, seconds=seconds)

    def after_evaluation(self, evaluation: EvaluationInfo) -> None:
        """Tell every plugin about one row of an evaluation."""
        self._call("after_evaluation", evaluation=evaluation)

    def after_checkpoint(self, checkpoint: CheckpointInfo) -> None:
        """Tell every plugin about a checkpoint on disk."""
        self._call("after_checkpoint", checkpoint=checkpoint)

    def on_run_error(self, run: RunInfo, error: BaseException) -> None:
        """Tell every plugin what ended a run."""
        self._call("on_run_error", run=run, error=error)

    def after_run(self, run: RunInfo, result: RunResult) -> None:
        """Tell every plugin that a run finished."""
        self._call("after_run", run=run, result=result)

    def _call(self, hook: str, **values: Any) -> None:
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        for implementation in sorted(caller.get_hookimpls(), key=lambda i: i.plugin_name):
            wanted = [*implementation.argnames, *implementation.kwargnames]
            try:
                implementation.function(**{name: values[name] for name in wanted if name in values})
            except Exception as error:
                distribution, _, name = implementation.plugin_name.rpartition(":")
                error.add_note(f"in the hook {hook} of the plugin '{name}' ({distribution})")
                if is_strict():
                    raise
                self._fail(
                    Failure(name, distribution, f"failed in its hook {hook}: it {describe_error(error)}")
                )


class Loader:
    """Loads plugins into one registry, a batch at a time."""

    def __init__(self) -> None:
        self.registry = Registry()
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(core_hookspecs)
        self._files: set[Path] = set()
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
        fresh = [path for path in dict.fromkeys(_existing(p) for p in paths) if path not in self._files]
        self._files.update(fresh)
        names = [path.name for path in self._files]
        self.load(
            Candidate(
                name=path.stem,
                distribution=path.name if names.count(path.name) == 1 else str(path),
                version="",
                load=functools.partial(_load_file, path),
            )
            for path in fresh
        )

    def _attempt(self, candidate: Candidate, phase: Callable[[Candidate], None]) -> bool:
        try:
            phase(candidate)
        except (Exception, SystemExit) as error:
            if candidate.module is not None and self._manager.get_plugin(candidate.id) is candidate.module:
                self._manager.unregister(name=candidate.id)
            self._fail(candidate, error, candidate.offers)
            return False
        return True

    def _fail(self, candidate: Candidate, error: BaseException, offers: Iterable[Entry]) -> None:
        """Record a failure, or raise it when ``LIMBECK_STRICT`` is set."""
        if is_strict():
            error.add_note(f"in the plugin '{candidate.name}' ({candidate.distribution})")
            raise error
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
        """Call ``register_applications`` and declare the kinds of the applications it offers."""
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
                summary = (inspect.getdoc(getattr(module, name)) or "").partition("\n")[0]
                kinds.append(Kind(name.removeprefix("register_"), summary, distribution))
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
        ) -> None:
            _check_offer(kind, name, target)
            if hookspecs and kind != "applications":
                raise PluginError(f"offers '{name}' with hookspecs, which only applications may have")
            if hookspecs:
                candidate.declares.append(hookspecs)
            candidate.offers.append(
                Entry(
                    kind, name, target, summary, paper, method, extra,
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


@functools.cache
def _loader() -> Loader:
    """Return this process's loader, with every installed plugin loaded."""
    loader = Loader()
    loader.load(_installed(loader.registry))
    return loader


def registry() -> Registry:
    """Return this process's registry, with every installed plugin loaded on the first call."""
    return _loader().registry


def load_files(paths: Iterable[str | Path]) -> None:
    """Load loose plugin files into this process's registry; a file is loaded once.

    Args:
        paths: Python files with ``@limbeck.hookimpl`` functions.

    Raises:
        UsageError: a file does not exist.
    """
    _loader().load_files(paths)


def _installed(registry: Registry) -> Iterator[Candidate]:
    """Yield a candidate for each entry point that ``LIMBECK_PLUGINS`` does not leave out."""
    listed = os.environ.get("LIMBECK_PLUGINS")
    allowed = None if listed is None else {canonical(n) for n in re.split(r"[,\s]+", listed) if n}
    seen: set[str] = set()
    for point in metadata.entry_points(group=GROUP):
        distribution = (point.dist and point.dist.name) or point.module.split(".")[0]
        version = (point.dist and point.dist.version) or "unknown"
        seen.add(canonical(distribution))
        if allowed is None or distribution == DISTRIBUTION or canonical(distribution) in allowed:
            yield Candidate(point.name, distribution, version, point.load)
        elif distribution not in registry.skipped:
            registry.skipped.append(distribution)
    for missing in sorted((allowed or set()) - seen):
        registry.fail(Failure(missing, missing, "is named in LIMBECK_PLUGINS, but is not installed"))


def _existing(path: str | Path) -> Path:
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
    if (
        isinstance(target, str)
        and kind != "applications"
        and ":" not in target
        and not Path(target).is_absolute()
    ):
        raise PluginError(f"offers '{name}' as '{target}'; a target is written 'module:Name'")


def _summary(candidate: Candidate, hooks: Sequence[str]) -> Plugin:
    return Plugin(
        name=candidate.name,
        distribution=candidate.distribution,
        version=candidate.version,
        path=str(getattr(candidate.module, "__file__", "") or ""),
        kinds=tuple(sorted({offer.kind for offer in candidate.offers})),
        hooks=tuple(hooks),
    )
