"""Calling the life-cycle hooks of all plugins, and the observers of one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

from limbeck.entries import Failure, describe_error, is_strict

if TYPE_CHECKING:
    from limbeck.events import CheckpointInfo, EvaluationInfo, RunInfo, RunResult
    from limbeck.observers import Observer


class Lifecycle:
    """The life-cycle hooks of all plugins, then a run's observers. One that raises is recorded and the run goes on."""

    def __init__(
        self, manager: pluggy.PluginManager, fail: Callable[[Failure], None], observers: Sequence[Observer] = ()
    ) -> None:
        self._manager = manager
        self._fail = fail
        self._observers = observers
        self._told: set[tuple[str, str]] = set()

    def with_observers(self, observers: Sequence[Observer]) -> Lifecycle:
        """Return the same hooks with the observers of one run after them."""
        return Lifecycle(self._manager, self._fail, observers)

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
                self._report(implementation.plugin_name, hook, error)
        for observer in self._observers:
            try:
                getattr(observer, hook)(**values)
            except Exception as error:
                self._report(f"observers:{observer.name}", hook, error)

    def _report(self, plugin: str, hook: str, error: Exception) -> None:
        """Record the first failure of a plugin's hook, or raise it when ``LIMBECK_STRICT`` is set."""
        distribution, _, name = plugin.rpartition(":")
        if is_strict():
            error.add_note(f"in the hook {hook} of the plugin '{name}' ({distribution})")
            raise error
        if (plugin, hook) not in self._told:
            self._told.add((plugin, hook))
            self._fail(Failure(name, distribution, f"failed in its hook {hook}: it {describe_error(error)}"))
