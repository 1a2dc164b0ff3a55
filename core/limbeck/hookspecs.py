"""Every hook of the core on one page: what a plugin author reads.

A plugin is a module with functions that are named like the hooks below and marked with
``@limbeck.hookimpl``. It is found through an entry point of the group ``limbeck``, or given
as a file with ``--plugin``. Take only the parameters you need, under the names used here.

There are two sorts of hook. ``register_<kind>`` hooks offer components by name and are called
once per process, on every rank, before anything is resolved; they import nothing. Life-cycle
hooks observe a run; they are called on rank 0 only, in the order of this page, with plain
Python values. Return values of both are ignored, and an observer that raises is reported
without stopping the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

if TYPE_CHECKING:
    from limbeck.events import CheckpointInfo, EvaluationInfo, RunInfo, RunResult

PROJECT = "limbeck"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Register(Protocol):
    """The callable that every ``register_<kind>`` hook is given."""

    def __call__(
        self,
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
        """Offer one component.

        Args:
            name: what users type: letters, digits, "_" inside a word and "-" between words.
            target: ``"module:Attribute"``, imported when first used, or the object itself. A method's
                target is ``"package:file.yaml"``, an absolute path, or the settings as a mapping.
            summary: one line for listings, without a full stop.
            paper: where it was published, for example ``"arXiv:2110.04181"``.
            method: for matchers: the method whose settings ``--matcher NAME`` alone starts from.
            extra: the optional-dependency group of the distribution that installs what the target needs.
            hookspecs: for applications: the module that declares the application's own kinds.
            facts: what listings show of it without importing it; for data sets see ``register_datasets``.
        """


@hookspec
def register_applications(register: Register) -> None:
    """Offer applications: uses that distilled sets are put to.

    Called once per process, before all other hooks; the return value is ignored. An application may
    declare kinds of its own: each ``register_<kind>`` in the module it names as ``hookspecs`` becomes a
    hook that any plugin may implement.

    Args:
        register: call as ``register("nas", "package.nas", summary=..., hookspecs="package.nas.hookspecs")``.
    """


@hookspec
def register_augmentations(register: Register) -> None:
    """Offer augmentations: random changes, one draw for real and synthetic images.

    Called once per process; the return value is ignored; import nothing here.

    Args:
        register: call as ``register(name, "module:Class", summary=..., paper=...)``.
    """


@hookspec
def register_commands(register: Register) -> None:
    """Offer commands: what can follow ``limbeck`` on the command line.

    Called once per process; the return value is ignored; import nothing here. The module is imported
    when the command is used, and the summary is its line in ``limbeck --help``.

    Args:
        register: call as ``register(name, "module:command", summary=...)`` with a ``click`` command.
    """


@hookspec
def register_datasets(register: Register) -> None:
    """Offer data sets: real labelled images.

    Called once per process; the return value is ignored; import nothing here. ``limbeck data list`` shows what
    ``facts`` say, each of which may be left out: ``shape`` ("3x32x32"), ``classes``, ``train`` and ``test`` (numbers
    of images, which ``limbeck data check`` compares), ``files`` (those it reads, or their folders, as paths below the
    data root), ``needs`` (what must be set: "path=FOLDER").

    Args:
        register: call as ``register(name, "module:Class", summary=..., paper=..., facts={...})``.
    """


@hookspec
def register_executors(register: Register) -> None:
    """Offer executors: how independent jobs are run.

    Called once per process; the return value is ignored; import nothing here.

    Args:
        register: call as ``register(name, "module:Class", summary=..., extra=...)``.
    """


@hookspec
def register_formations(register: Register) -> None:
    """Offer formations: how stored images become training images.

    Called once per process; the return value is ignored; import nothing here.

    Args:
        register: call as ``register(name, "module:Class", summary=..., paper=...)``.
    """


@hookspec
def register_importers(register: Register) -> None:
    """Offer importers: readers of synthetic sets that other projects published.

    Called once per process; the return value is ignored; import nothing here.

    Args:
        register: call as ``register(name, "module:Class", summary=..., paper=...)``.
    """


@hookspec
def register_label_projectors(register: Register) -> None:
    """Offer label projectors: the labels a student trains with.

    Called once per process; the return value is ignored; import nothing here.

    Args:
        register: call as ``register(name, "module:Class", summary=..., paper=...)``.
    """


@hookspec
def register_matchers(register: Register) -> None:
    """Offer matchers: what is compared between real and synthetic images.

    Called once per process; the return value is ignored; import nothing here.

    Args:
        register: call as ``register(name, "module:Class", summary=..., paper=..., method=...)``.
    """


@hookspec
def register_methods(register: Register) -> None:
    """Offer methods: published compositions under their papers' names.

    Called once per process; the return value is ignored; read nothing here.

    Args:
        register: call as ``register(name, "package:file.yaml", summary=..., paper=...)``.
    """


@hookspec
def register_network_sources(register: Register) -> None:
    """Offer network sources: which network a step looks through, how it moves.

    Called once per process; the return value is ignored; import nothing here.

    Args:
        register: call as ``register(name, "module:Class", summary=..., paper=...)``.
    """


@hookspec
def register_networks(register: Register) -> None:
    """Offer networks: families of classifiers, with variants after a hyphen.

    Called once per process; the return value is ignored; import nothing here.

    Args:
        register: call as ``register(name, "module:Class", summary=..., paper=...)``.
    """


@hookspec
def register_observers(register: Register) -> None:
    """Offer observers: what writes a run down for other programs.

    Called once per process; the return value is ignored; import nothing here.

    Args:
        register: call as ``register(name, "module:Class", summary=..., extra=...)``.
    """


@hookspec
def register_pools(register: Register) -> None:
    """Offer pools: networks that a set is judged by together.

    Called once per process; the return value is ignored; import nothing here.

    Args:
        register: call as ``register(name, "module:Class", summary=..., paper=...)``.
    """


@hookspec
def register_protocols(register: Register) -> None:
    """Offer protocols: named evaluation procedures.

    Called once per process; the return value is ignored; import nothing here.

    Args:
        register: call as ``register(name, "module:Class", summary=..., paper=...)``.
    """


@hookspec
def register_selectors(register: Register) -> None:
    """Offer selectors: ways to pick real images.

    Called once per process; the return value is ignored; import nothing here.

    Args:
        register: call as ``register(name, "module:Class", summary=..., paper=...)``.
    """


@hookspec
def before_run(run: RunInfo) -> None:
    """Observe a distillation that is about to take its first step.

    Called once per run on rank 0, also when a run is resumed; the return value is ignored.

    Args:
        run: what will be done; ``run.first_step`` is above 0 when it continues.
    """


@hookspec
def after_steps(first: int, last: int, losses: Sequence[float], seconds: float) -> None:
    """Observe finished updates of the synthetic set.

    Called on rank 0 every few steps, when losses are brought over from the device, and before each
    checkpoint; each step is told once. The return value is ignored.

    Args:
        first: number of the first step, counted from 0 over the whole run.
        last: number of the last step, inclusive.
        losses: the matcher's loss at each of these steps, ``last - first + 1`` finite numbers.
        seconds: wall-clock seconds spent distilling so far, those before a resume included.
    """


@hookspec
def after_evaluation(evaluation: EvaluationInfo) -> None:
    """Observe networks that were trained on a set and tested.

    Called on rank 0 once per row of an evaluation: the synthetic set, then each baseline. The return
    value is ignored.

    Args:
        evaluation: accuracies as fractions in [0, 1].
    """


@hookspec
def after_checkpoint(checkpoint: CheckpointInfo) -> None:
    """Observe a checkpoint that is on disk under its final name.

    Called on rank 0 after each checkpoint; the return value is ignored. Copy the file if you need it:
    the next checkpoint replaces it.

    Args:
        checkpoint: the number of finished steps and the file.
    """


@hookspec
def on_run_error(run: RunInfo, error: BaseException) -> None:
    """Observe a run that ends by an error or by Ctrl-C.

    Called at most once per run on rank 0, instead of ``after_run``, even when nothing was set up yet and
    ``before_run`` was not called; the return value is ignored and the error continues on its way.

    Args:
        run: what ``before_run`` was told, or would have been.
        error: what ended the run.
    """


@hookspec
def after_run(run: RunInfo, result: RunResult) -> None:
    """Observe a distillation that finished; its synthetic set is saved.

    Called at most once per run on rank 0; the return value is ignored.

    Args:
        run: what ``before_run`` was told.
        result: steps, seconds, number of images, bytes, and the accuracy if it was measured.
    """
