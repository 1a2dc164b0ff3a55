"""Losses that stop being numbers, memory that does not suffice, and what observers are told of it all."""

from __future__ import annotations

import json

import pytest
import torch

from limbeck import events
from limbeck import plugins as plugins_module
from limbeck.cli.main import main
from limbeck.distillation import checkpoint
from limbeck.errors import DivergenceError, LimbeckError
from limbeck.matching.feature import FeatureEngine
from limbeck.matching.gradient import GradientEngine
from limbeck.matching.teacher import TeacherEngine
from limbeck.plugins import load_files
from limbeck.runs import Listener, resumed_config, run
from limbeck.training.single import Training

BROKEN = """
    import torch
    from limbeck import hookimpl
    from limbeck.matching import FeatureMatcher

    class Broken(FeatureMatcher):
        def taps(self, network):
            return ["embedding"]

        def signal(self, maps):
            return {"e": maps["embedding"]}

        def discrepancy(self, syn, real, step):
            loss = (syn["e"] - real["e"]).square().sum()
            return loss * float("nan") if step.step == 5 else loss

    @hookimpl
    def register_matchers(register):
        register("broken", f"{__name__}:Broken", method="dm")
"""
OBSERVER = """
    from limbeck import events, hookimpl

    @hookimpl
    def before_run(run):
        events.seen.append(("before_run", run.first_step, run.total_steps))

    @hookimpl
    def after_steps(first, last, losses, seconds):
        events.seen.append(("after_steps", first, last, len(losses)))

    @hookimpl
    def after_checkpoint(checkpoint):
        events.seen.append(("after_checkpoint", checkpoint.step))

    @hookimpl
    def after_evaluation(evaluation):
        events.seen.append(("after_evaluation", evaluation.label))

    @hookimpl
    def on_run_error(run, error):
        events.seen.append(("on_run_error", type(error).__name__))

    @hookimpl
    def after_run(run, result):
        events.seen.append(("after_run", result.steps))
"""


@pytest.fixture
def plugin(loose):
    """Load loose plugins for the length of a test."""
    plugins_module._loader.cache_clear()
    yield lambda source, name: load_files([loose(source, name)])
    plugins_module._loader.cache_clear()


@pytest.fixture
def seen(plugin, monkeypatch):
    """What an observer is told."""
    told = []
    monkeypatch.setattr(events, "seen", told, raising=False)
    plugin(OBSERVER, "observer.py")
    return told


# Divergence


@pytest.mark.parametrize(("method", "flush_every"), [("dc", 4), ("dm", 3)])
def test_divergence_names_the_first_bad_step_and_keeps_the_last_good_checkpoint(
    method, flush_every, tiny, distil_until, tmp_path
):
    config = tiny(method, optimiser={"lr_img": 1e-30}, execution={"flush_every": flush_every})
    distil_until(config, tmp_path, 6)
    good = (tmp_path / checkpoint.NAME).read_bytes()
    kept = checkpoint.load(tmp_path)[0].step
    spoil = Listener(planned=lambda parts, cost: parts.parameters.optimiser.param_groups[0].update(lr=1e30))
    with pytest.raises(DivergenceError, match=rf"at step {kept + 1}\b.* after {kept} steps is kept") as told:
        run(resumed_config(tmp_path, {"budget": {"steps": 9}}), folder=tmp_path, resume=True, listener=spoil)
    assert "--set optimiser.lr_img=1e-31" in str(told.value)
    assert "\n" not in str(told.value)
    assert (tmp_path / checkpoint.NAME).read_bytes() == good
    assert not (tmp_path / "synthetic.safetensors").exists()
    steps = [json.loads(row)["step"] for row in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert steps == list(range(kept))
    resumed = run(resumed_config(tmp_path, {}), folder=tmp_path, resume=True)
    assert torch.isfinite(resumed.synthetic.images).all()


def test_checkpoint_that_is_kept_is_finite_however_often_one_is_taken(tiny, tmp_path):
    with pytest.raises(DivergenceError, match=r"at step 1\..* after 1 steps is kept"):
        run(tiny("dm", optimiser={"lr_img": 1e30}), folder=tmp_path)
    assert all(torch.isfinite(tensor).all() for tensor in checkpoint.load(tmp_path)[1].values())


def test_a_loss_that_is_no_number_ends_the_command_with_status_1(plugin, loose, tiny_args, tmp_path, capsys):
    folder = tmp_path / "run"
    arguments = ["--matcher", "broken", "--steps", "9", "--networks", "0", "--out", str(folder)]
    assert main([*tiny_args, *arguments, "-p", str(loose(BROKEN, "broken.py"))]) == 1
    (line,) = [each for each in capsys.readouterr().err.splitlines() if each]
    assert line.startswith("limbeck: error: the loss became nan at step 5. Lower the learning rate")
    assert line.endswith("The checkpoint after 4 steps is kept.")
    position, tensors = checkpoint.load(folder)
    assert position.step == 4
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    assert not (folder / "synthetic.safetensors").exists()


def test_divergence_at_once_speaks_of_no_checkpoint_and_leaves_no_folder(tiny, tmp_path):
    with pytest.raises(DivergenceError, match=r"at step 1\. ") as told:
        run(tiny("dm", optimiser={"lr_img": 1e30}, execution={"flush_every": 4}), folder=tmp_path / "run")
    assert "kept" not in str(told.value)
    assert not (tmp_path / "run").exists()


def test_network_that_diverges_between_steps_is_never_saved(tiny, tmp_path):
    source = {"name": "inner", "outer": 3, "inner": 9, "lr_net": 1e30}
    with pytest.raises(DivergenceError, match=r"'source\..*' stopped being finite by step 0\. "):
        run(tiny("dc", source=source), folder=tmp_path)
    assert not (tmp_path / checkpoint.NAME).exists()
    assert not (tmp_path / "synthetic.safetensors").exists()


# Memory


class Scarce:
    """An engine that finds no memory at chosen calls, after it has done its work."""

    def __init__(self, monkeypatch, engine, calls, error):
        self.calls, self.count, original = calls, 0, engine.accumulate

        def accumulate(engine, batches, state, step, groups):
            loss = original(engine, batches, state, step, groups)
            self.count += step.step > 0
            if self.count in self.calls:
                self.count += 1
                raise error
            return loss

        monkeypatch.setattr(engine, "accumulate", accumulate)


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce] can't allocate memory: you tried"),
]
SCARCE = {
    "dc": ("dc", GradientEngine, {}),
    "groupwise": ("dc", GradientEngine, {"optimiser": {"order": "groupwise"}}),
    "batch norm": ("dc", GradientEngine, {"network": "convnet-d1-w4-bn"}),
    "dm": ("dm", FeatureEngine, {}),
    "term": ("dm", TeacherEngine, {"terms": [{"matcher": "cross_entropy", "source": "fresh"}]}),
}


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["cuda", "cpu"])
@pytest.mark.parametrize("case", SCARCE)
def test_out_of_memory_halves_the_chunk_and_computes_the_update_again(case, error, tiny, monkeypatch, tmp_path):
    method, engine, settings = SCARCE[case]
    config = tiny(method, execution={"chunk": 8}, **{"ipc": 2, **settings})
    undisturbed = run(config).synthetic
    Scarce(monkeypatch, engine, [3], error)
    news = []
    disturbed = run(config, folder=tmp_path, listener=Listener(progress=news.append)).synthetic
    torch.testing.assert_close(disturbed.images, undisturbed.images, rtol=1e-5, atol=1e-5)
    plan = json.loads((tmp_path / "plan.json").read_text())
    (change,) = plan["changes"]
    assert (plan["chunks"]["real"], plan["chunks"]["synthetic"]) == (4, 4)
    assert (change["reason"], change["real"], change["synthetic"]) == ("out of memory", 4, 4)
    assert change["step"] == (1 if case == "groupwise" else 3)
    assert [len(each.changes) for each in news] == [int(each.step > change["step"]) for each in news]


@pytest.mark.parametrize("on", ["synthetic", "real"])
def test_out_of_memory_between_steps_cuts_the_training_and_moves_nothing_twice(on, tiny, monkeypatch, tmp_path):
    source = {"name": "inner", "outer": 3, "inner": 2, "on": on, "real_images": 30, "batch_train": 10}
    config = tiny("dc", ipc=2, source=source)
    undisturbed = run(config).synthetic
    original, steps = Training.advance, []

    def advance(training):
        original(training)
        steps.append(training.settings.chunk)
        if len(steps) == 9:
            raise OUT_OF_MEMORY[1]

    monkeypatch.setattr(Training, "advance", advance)
    disturbed = run(config).synthetic
    torch.testing.assert_close(disturbed.images, undisturbed.images, rtol=1e-5, atol=1e-5)
    assert steps[8] is None
    assert steps[9] is not None


def test_smaller_chunk_is_kept_when_the_run_is_resumed(tiny, distil_until, monkeypatch, tmp_path):
    config = tiny("dm", ipc=2, execution={"chunk": 8})
    with monkeypatch.context() as patch:
        Scarce(patch, FeatureEngine, [2], OUT_OF_MEMORY[0])
        distil_until(config, tmp_path, 5)
    used = []
    run(config, folder=tmp_path, resume=True, listener=Listener(planned=lambda parts, cost: used.append(parts.plan)))
    assert used[0].chunks.synthetic == 4
    assert len(used[0].changes) == 1


def test_memory_for_not_even_one_image_is_one_line(tiny, monkeypatch, tmp_path):
    Scarce(monkeypatch, FeatureEngine, range(1, 99), OUT_OF_MEMORY[0])
    with pytest.raises(
        LimbeckError, match=r"at step 1, even for one image a pass\. Lower data\.batch_real.*after 1 steps is kept"
    ):
        run(tiny("dm"), folder=tmp_path)


def test_another_error_of_torch_is_not_taken_for_scarce_memory(tiny, monkeypatch):
    Scarce(monkeypatch, FeatureEngine, [1], RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        run(tiny("dm"))


# Observers


def test_observers_are_told_everything_in_order(seen, tiny, tmp_path):
    run(tiny("dm", steps=5, networks=1, execution={"flush_every": 2}), folder=tmp_path)
    assert seen == [
        ("before_run", 0, 5),
        ("after_steps", 0, 1, 2),
        ("after_checkpoint", 2),
        ("after_steps", 2, 3, 2),
        ("after_checkpoint", 4),
        ("after_steps", 4, 4, 1),
        ("after_checkpoint", 5),
        ("after_evaluation", "synthetic"),
        ("after_run", 5),
    ]


def test_observers_of_a_resumed_run_are_told_of_the_rest(seen, tiny, distil_until, tmp_path):
    distil_until(tiny("dm", steps=5), tmp_path, 3)
    assert seen[-1] == ("on_run_error", "Halt")
    seen.clear()
    run(tiny("dm", steps=4), folder=tmp_path, resume=True)
    assert seen == [
        ("before_run", 2, 4),
        ("after_steps", 2, 2, 1),
        ("after_checkpoint", 3),
        ("after_steps", 3, 3, 1),
        ("after_checkpoint", 4),
        ("after_checkpoint", 4),
        ("after_run", 4),
    ]


def test_observers_are_told_of_a_divergence_and_of_nothing_after_it(seen, plugin, tiny):
    plugin(BROKEN, "broken.py")
    with pytest.raises(DivergenceError):
        run(tiny("dm", matcher={"name": "broken"}, execution={"flush_every": 4}))
    assert seen == [("before_run", 0, 7), ("after_steps", 0, 3, 4), ("on_run_error", "DivergenceError")]
