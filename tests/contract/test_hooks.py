"""Every hook of the core is documented, annotated, called as documented, and stays on one page."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing

import pytest

from limbeck import events, hookspecs
from limbeck import plugins as plugins_module
from limbeck.api import distill
from limbeck.lifecycle import Lifecycle
from limbeck.observers import Observer
from limbeck.plugins import load_files, load_installed

HOOKS = {
    name: function
    for name, function in vars(hookspecs).items()
    if inspect.isfunction(function) and hasattr(function, "limbeck_spec")
}
REGISTRATION = sorted(name for name in HOOKS if name.startswith("register_"))
LIFE_CYCLE = [name for name in HOOKS if not name.startswith("register_")]
RUN = events.RunInfo("runs/a", "dm", "distribution", "digits", 1, "convnet", 0, 0, 10, "cpu", {"threads": 1})
VALUES = {
    "run": RUN,
    "first": 0,
    "last": 1,
    "losses": (0.5, 0.25),
    "seconds": 0.5,
    "evaluation": events.EvaluationInfo("synthetic", "dc", 2, 0.5, 0.1, (0.4, 0.6)),
    "checkpoint": events.CheckpointInfo(10, "runs/a/checkpoint.safetensors"),
    "error": RuntimeError("stopped"),
    "result": events.RunResult(10, 1.5, 10, 2560, None),
}


def test_the_hooks_fit_on_a_page():
    assert 10 < len(HOOKS) <= 24
    assert LIFE_CYCLE == [
        "before_run", "after_steps", "after_evaluation", "after_checkpoint", "on_run_error", "after_run",
    ]  # fmt: skip


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_says_when_how_often_and_what_its_return_value_does(hook):
    text = inspect.getdoc(HOOKS[hook])
    first = text.splitlines()[0]
    assert first.endswith(".")
    assert len(first) <= 80
    assert "Called " in text
    assert "return value is ignored" in " ".join(text.split())
    assert ("rank 0" in text) == (hook in LIFE_CYCLE)
    documented = re.findall(r"^    (\w+): ", text.partition("Args:")[2], flags=re.MULTILINE)
    assert documented == list(inspect.signature(HOOKS[hook]).parameters)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_annotated(hook):
    names = {**vars(hookspecs), **vars(events)}
    hints = typing.get_type_hints(HOOKS[hook], globalns=names)
    assert hints.pop("return") is type(None)
    assert list(hints) == list(inspect.signature(HOOKS[hook]).parameters)


@pytest.mark.parametrize("hook", REGISTRATION)
def test_every_registration_hook_fills_its_kind(hook, loose):
    loader = load_installed()
    source = f"""
    from limbeck import hookimpl

    @hookimpl
    def {hook}(register):
        register("contract", "nowhere:Nothing", summary="s", paper="p", method="m", extra="e")
    """
    loader.load_files([loose(source)])
    registry = loader.registry
    entry = registry.entry(hook.removeprefix("register_"), "contract")
    assert (entry.summary, entry.paper, entry.method, entry.extra) == ("s", "p", "m", "e")
    assert (entry.plugin, entry.distribution) == ("mine", "mine.py")
    assert registry.failures == []
    assert registry.kind(entry.kind).summary


@pytest.mark.parametrize("hook", LIFE_CYCLE)
def test_every_life_cycle_hook_is_called_with_what_it_documents(hook, loose, monkeypatch):
    parameters = list(inspect.signature(HOOKS[hook]).parameters)
    seen = []
    monkeypatch.setattr(events, "seen", seen, raising=False)
    source = f"""
    from limbeck import events, hookimpl

    @hookimpl
    def {hook}({", ".join(parameters)}):
        events.seen.append(({", ".join(parameters)},))
    """
    loader = load_installed()
    loader.load_files([loose(source)])
    method = getattr(loader.registry.hooks, hook)
    assert list(inspect.signature(method).parameters) == parameters
    method(**{name: VALUES[name] for name in parameters})
    assert seen == [tuple(VALUES[name] for name in parameters)]
    assert loader.registry.failures == []


def test_the_callable_class_has_a_method_for_every_life_cycle_hook():
    assert public(Lifecycle) == ["with_observers", *LIFE_CYCLE]


def test_an_observer_has_a_method_for_every_life_cycle_hook_with_its_parameters():
    assert public(Observer) == LIFE_CYCLE
    for hook in LIFE_CYCLE:
        assert list(inspect.signature(getattr(Observer, hook)).parameters)[1:] == list(
            inspect.signature(HOOKS[hook]).parameters
        )


def public(cls):
    return [name for name in vars(cls) if not name.startswith("_")]


@pytest.mark.parametrize("record", [events.RunInfo, events.EvaluationInfo, events.CheckpointInfo, events.RunResult])
def test_events_are_frozen_plain_values_and_documented(record):
    assert record.__dataclass_params__.frozen
    fields = [field.name for field in dataclasses.fields(record)]
    assert re.findall(r"^    (\w+): ", inspect.getdoc(record), flags=re.MULTILINE) == fields
    assert "Tensor" not in "".join(str(hint) for hint in typing.get_type_hints(record).values())


def test_registration_takes_what_its_protocol_says(loose):
    """The callable that plugins receive and the protocol they are typed against are the same."""
    source = """
    import inspect
    from limbeck import events, hookimpl

    @hookimpl
    def register_matchers(register):
        events.seen = inspect.signature(register)
    """
    load_installed().load_files([loose(source)])
    given = events.__dict__.pop("seen")
    promised = inspect.signature(hookspecs.Register.__call__)
    assert [str(p) for p in given.parameters.values()] == [str(p) for p in promised.parameters.values()][1:]


OBSERVER = """
    from limbeck import events, hookimpl

    @hookimpl
    def before_run(run):
        events.seen.append(("before_run", run))

    @hookimpl
    def after_steps(first, last, losses, seconds):
        events.seen.append(("after_steps", first, last, len(losses), seconds))

    @hookimpl
    def after_evaluation(evaluation):
        events.seen.append(("after_evaluation", evaluation))

    @hookimpl
    def after_checkpoint(checkpoint):
        events.seen.append(("after_checkpoint", checkpoint.step))

    @hookimpl
    def on_run_error(run, error):
        events.seen.append(("on_run_error", run, str(error)))

    @hookimpl
    def after_run(run, result):
        events.seen.append(("after_run", run, result))
"""
SMALL = {
    "matcher": "distribution",
    "profile": "small",
    "network": "convnet-d1-w4-in",
    "device": "cpu",
    "execution": {"flush_every": 2},
    "evaluation": {"networks": 1, "baselines": False, "protocol": {"name": "dc", "epochs": 1}},
}


@pytest.fixture
def seen(loose, monkeypatch):
    """Observe what this process does from now on."""
    told = []
    monkeypatch.setattr(events, "seen", told, raising=False)
    plugins_module._loader.cache_clear()
    load_files([loose(OBSERVER)])
    yield told
    plugins_module._loader.cache_clear()


def test_a_run_calls_the_life_cycle_hooks_in_order(seen, tmp_path):
    synthetic = distill("digits", run_dir=tmp_path / "run", budget={"steps": 5}, **SMALL)
    names = [event[0] for event in seen]
    assert names[0] == "before_run"
    assert names[-2:] == ["after_evaluation", "after_run"]
    assert set(names[1:-2]) == {"after_steps", "after_checkpoint"}
    blocks = [event[1:] for event in seen if event[0] == "after_steps"]
    assert [first for first, *_ in blocks] == [0, *(last + 1 for _, last, *_ in blocks[:-1])]
    assert all(count == last - first + 1 for first, last, count, _ in blocks)
    assert [seconds for *_, seconds in blocks] == sorted(seconds for *_, seconds in blocks)
    assert (blocks[-1][1], len(blocks)) == (4, 3)
    assert [event[1] for event in seen if event[0] == "after_checkpoint"][-1] == 5
    run, (_, same, result), evaluation = seen[0][1], seen[-1], seen[-2][1]
    assert run == same
    assert (run.first_step, run.total_steps, run.matcher, run.device) == (0, 5, "distribution", "cpu")
    assert (result.steps, result.images, result.bytes) == (5, len(synthetic), synthetic.bytes)
    assert (result.accuracy, evaluation.networks) == (evaluation.mean, 1)
    assert plugins_module.registry().failures == []


def test_a_run_that_fails_calls_on_run_error_instead_of_after_run(seen, loose):
    matcher = """
    from limbeck import hookimpl
    from limbeck.matching import FeatureMatcher

    class Failing(FeatureMatcher):
        def taps(self, network):
            return ["embedding"]

        def signal(self, maps):
            return {"e": maps["embedding"]}

        def discrepancy(self, syn, real, step):
            raise ArithmeticError("out of ideas")

    @hookimpl
    def register_matchers(register):
        register("failing", f"{__name__}:Failing", method="dm")
    """
    load_files([loose(matcher, "failing.py")])
    with pytest.raises(ArithmeticError, match="out of ideas"):
        distill("digits", budget={"steps": 5}, **{**SMALL, "matcher": "failing"})
    assert [event[0] for event in seen] == ["before_run", "on_run_error"]
    assert seen[1][1:] == (seen[0][1], "out of ideas")
