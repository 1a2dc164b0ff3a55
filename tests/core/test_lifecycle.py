"""Observers are called in order with what they ask for, and a failing one never stops a run."""

from __future__ import annotations

import pytest

from limbeck.entries import Failure
from limbeck.events import CheckpointInfo, RunInfo
from limbeck.plugins import load_installed

RUN = RunInfo("runs/a", "dm", "distribution", "digits", 1, "convnet", 0, 0, 10, "cpu", {})
OBSERVER = """
    from limbeck import hookimpl
    import limbeck.events as log

    @hookimpl
    def before_run(run):
        log.seen.append((NAME, run.method))

    @hookimpl
    def after_steps(last, losses, future=7):
        log.seen.append((NAME, last, losses, future))

    @hookimpl
    def after_checkpoint(checkpoint):
        BODY
"""


@pytest.fixture
def observed(loose, monkeypatch):
    """Load two observers, of which ``a`` runs ``body`` at each checkpoint."""

    def load(body):
        import limbeck.events

        seen = []
        monkeypatch.setattr(limbeck.events, "seen", seen, raising=False)
        quiet = OBSERVER.replace("BODY", "log.seen.append((NAME, checkpoint.step))")
        loader = load_installed()
        loader.load_files(
            [
                loose(quiet.replace("NAME", "'b'"), "b.py"),
                loose(OBSERVER.replace("BODY", body).replace("NAME", "'a'"), "a.py"),
            ]
        )
        return loader.registry, seen

    return load


def test_observers_are_called_by_name_with_what_they_ask_for(observed):
    registry, seen = observed("pass")
    registry.hooks.before_run(RUN)
    registry.hooks.after_steps(0, 1, (0.5, 0.25), 0.1)
    expected = [(name, *rest) for rest in [("dm",), (1, (0.5, 0.25), 7)] for name in "ab"]
    assert seen == expected


def test_a_failing_observer_is_recorded_once_and_the_run_goes_on(observed):
    registry, seen = observed("raise RuntimeError(f'step {checkpoint.step}')")
    for step in (1, 2):
        registry.hooks.after_checkpoint(CheckpointInfo(step, "c"))
    assert seen == [("b", 1), ("b", 2)]
    reason = "failed in its hook after_checkpoint: it raised RuntimeError: step 1 (a.py, line 15)"
    assert registry.failures == [Failure("a", "a.py", reason)]


def test_strict_raises_an_observers_error_with_its_name(observed, monkeypatch):
    registry, _ = observed("raise RuntimeError('full')")
    monkeypatch.setenv("LIMBECK_STRICT", "1")
    with pytest.raises(RuntimeError, match="full") as caught:
        registry.hooks.after_checkpoint(CheckpointInfo(1, "c"))
    assert caught.value.__notes__ == ["in the hook after_checkpoint of the plugin 'a' (a.py)"]


def test_a_plugin_that_fails_to_register_observes_nothing(observed, loose):
    _, seen = observed("pass")
    loader = load_installed()
    broken = OBSERVER.replace("BODY", "pass").replace("NAME", "'c'") + (
        "\n    @hookimpl\n    def register_matchers(register):\n        raise ValueError\n"
    )
    loader.load_files([loose(broken, "c.py")])
    loader.registry.hooks.before_run(RUN)
    assert seen == []
    assert "raised ValueError" in loader.registry.failures[0].reason
