"""A run that was interrupted and continued is the run that was not, to the last bit."""

from __future__ import annotations

import contextlib
import json

import pytest
import torch

from limbeck.distillation import checkpoint
from limbeck.errors import CheckpointError, UsageError
from limbeck.files import read_json, signed, write_json
from limbeck.runs import resumed_config, run
from limbeck.synthetic import SyntheticSet

POOL = {"name": "pool", "networks": 2, "epochs": 1, "images": 100, "augmentation": None}
CALIBRATION = {"matcher": "cross_entropy", "weight": 1.0, "update": "own"}
EXPERTS = {
    "name": "experts",
    "experts": 2,
    "epochs": 3,
    "batch_size": 20,
    "lr": 0.3,
    "augmentation": None,
    "train": True,
}
STUDENTS = {"steps": 3, "max_start": 2, "batch_syn": 6}
FAST = {"syn_lr": 0.02, "lr_lr": 0.001, "lr_img": 50}
FOLLOWED = {"source": EXPERTS, "matcher": STUDENTS, "optimiser": FAST}

CASES = {
    "dc": ("dc", {}),
    "dsa": ("dsa", {}),
    "dm": ("dm", {}),
    "adam": ("dm", {"optimiser": {"name": "adam", "lr_img": 0.05}}),
    "average": ("dm", {"optimiser": {"ema": 0.7}}),
    "groupwise": ("dc", {"optimiser": {"order": "groupwise"}}),
    "clamped": ("dm", {"optimiser": {"clamp": True}}),
    "noise": ("dm", {"init": {"from": "noise"}}),
    "real": ("dsa", {"init": {"from": "real"}, "ipc": 2}),
    "dcc": ("dcc", {"matcher": {"outer_warmup": 1, "inner_warmup": 2}}),
    "dsac": ("dsac", {"matcher": {"outer_warmup": 0, "inner_warmup": 2}}),
    "datadam": ("datadam", {"network": "convnet-d2-w4-in"}),
    "datadam with batch norm": ("datadam", {"network": "convnet-d2-w4-bn", "ipc": 2}),
    "ncfm": ("ncfm", {"source": POOL, "terms": [{**CALIBRATION, "source": {**POOL, "mix": "trained"}}]}),
    "ncfm with learned frequencies": (
        "ncfm",
        {"source": POOL, "terms": None, "matcher": {"sampling": "learned", "frequencies": 32}},
    ),
    "idc": ("idc", {"source": {"outer": 3, "real_images": 40}}),
    "fyi-dsa": ("fyi-dsa", {"formation": {"force": True}}),
    "fyi-dm": ("fyi-dm", {"formation": {"force": True}}),
    "mtt": ("mtt", FOLLOWED),
    "mtt, all of it unrolled": ("mtt", {**FOLLOWED, "matcher": {**STUDENTS, "gradient": "unrolled"}}),
    "tesla": ("tesla", FOLLOWED),
    "tesla with teacher labels": ("tesla", {**FOLLOWED, "matcher": {**STUDENTS, "teacher_labels": True}}),
    "fyi-mtt": ("fyi-mtt", {**FOLLOWED, "formation": {"force": True}}),
    "datm": (
        "datm",
        {
            "source": EXPERTS,
            "matcher": {**STUDENTS, "first_max_start": 1, "expansion_steps": 4, "threshold": 10},
            "optimiser": {**FAST, "lr_label": 20},
            "ipc": 2,
        },
    ),
    "teacher": ("dc", {"labels": {"name": "teacher", "epochs": 1}}),
    "learned labels": ("dsa", {"labels": "learned", "optimiser": {"lr_label": 50}, "ipc": 2}),
    "stored labels": ("dsa", {"labels": {"name": "stored", "epochs": 1, "passes": 2}}),
    "inner training on real images": ("dc", {"source": {"name": "inner", "outer": 3, "inner": 1, "on": "real"}}),
    "batch norm": ("dc", {"network": "convnet-d1-w4-bn", "ipc": 2}),
    "unit space": ("dm", {"optimiser": {"name": "adamw", "lr_img": 0.01, "space": "unit", "clamp": True}}),
    "plateau": ("dm", {"optimiser": {"plateau": 1}}),
    "term": ("dc", {"terms": [{"matcher": "cross_entropy", "source": {"name": "inner", "outer": 2, "inner": 1}}]}),
    "term with an update of its own": (
        "dm",
        {"terms": [{"matcher": "cross_entropy", "source": "fresh", "weight": 0.5, "update": "own"}]},
    ),
    "forward mode in chunks": ("dc", {"execution": {"second_pass": "forward_mode", "chunk": 3}, "ipc": 2}),
}


@pytest.mark.parametrize("case", CASES)
def test_run_interrupted_twice_equals_uninterrupted_one(case, tiny, distil_until, rows_of, losses_of, tmp_path):
    method, settings = CASES[case]
    config, folder = tiny(method, networks=1, **settings), tmp_path / "parts"
    whole = run(config, folder=tmp_path / "whole")
    distil_until(config, folder, 3)
    assert checkpoint.load(folder)[0].step == 2
    distil_until(config, folder, 6, resume=True)
    assert checkpoint.load(folder)[0].step == 5
    assert not (folder / "synthetic.safetensors").exists()
    parts = run(config, folder=folder, resume=True)
    assert_equal(parts.synthetic, whole.synthetic)
    assert losses_of(folder) == losses_of(tmp_path / "whole")
    assert rows_of(folder) == rows_of(tmp_path / "whole")


def assert_equal(one, other):
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.labels, other.labels)
    assert one.recipe == other.recipe
    assert one.component_state.keys() == other.component_state.keys()
    for name, tensor in other.component_state.items():
        assert torch.equal(one.component_state[name], tensor)


@pytest.mark.parametrize("method", ["dc", "dm"])
def test_steps_do_not_depend_on_the_folder_or_on_how_often_losses_are_looked_at(method, tiny, tmp_path):
    kept = run(tiny(method), folder=tmp_path).synthetic
    loose = run(tiny(method, execution={"flush_every": 5})).synthetic
    assert torch.equal(kept.images, loose.images)


@pytest.mark.parametrize("method", ["dc", "dm"])
def test_images_depend_on_the_steps_and_on_the_seed(method, tiny):
    images = [run(tiny(method, **change)).synthetic.images for change in ({}, {"steps": 6}, {"seed": 1})]
    assert not torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


@pytest.mark.parametrize("case", ["dc", "dm", "adam", "average"])
def test_finished_run_extended_equals_one_long_run(case, tiny, rows_of, losses_of, tmp_path):
    method, settings = CASES[case]
    config, folder = tiny(method, networks=1, **settings), tmp_path / "parts"
    long = run(tiny(method, networks=1, steps=10, **settings), folder=tmp_path / "long")
    short = run(config, folder=folder)
    assert not torch.equal(short.synthetic.images, long.synthetic.images)
    longer = resumed_config(folder, {"budget": {"steps": 10}})
    extended = run(longer, folder=folder, resume=True)
    assert_equal(extended.synthetic, long.synthetic)
    assert_equal(SyntheticSet.load(folder), long.synthetic)
    assert losses_of(folder) == losses_of(tmp_path / "long")
    assert rows_of(folder) == rows_of(tmp_path / "long")


def test_extension_without_evaluation_keeps_no_figures_of_the_shorter_run(tiny, tmp_path):
    run(tiny("dm", networks=1), folder=tmp_path)
    longer = resumed_config(tmp_path, {"budget": {"steps": 10}, "evaluation": {"networks": 0}})
    run(longer, folder=tmp_path, resume=True)
    assert SyntheticSet.load(tmp_path).figures == {}
    assert not (tmp_path / "evaluation.json").exists()


def test_resume_without_evaluation_keeps_the_figures_of_the_same_images(tiny, tmp_path):
    run(tiny("dm", networks=1), folder=tmp_path)
    before = SyntheticSet.load(tmp_path).figures
    run(resumed_config(tmp_path, {"evaluation": {"networks": 0}}), folder=tmp_path, resume=True)
    assert before
    assert SyntheticSet.load(tmp_path).figures == before
    assert (tmp_path / "evaluation.json").exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"ipc": 2}, "ipc"),
        ({"seed": 1}, "seed"),
        ({"optimiser": {"lr_img": 0.5}}, "optimiser.lr_img"),
        ({"matcher": {"name": "gradient", "distance": "mse"}}, "matcher.distance"),
        ({"data": {"name": "digits", "max_per_class": 20, "batch_real": 5}}, "data.batch_real"),
    ],
)
def test_other_settings_are_refused_on_resume(change, named, tiny, tmp_path):
    run(tiny("dc", steps=1), folder=tmp_path)
    before = contents(tmp_path)
    with pytest.raises(UsageError, match=f"'{named}' cannot change.*budget, evaluation, execution.*--out") as told:
        resumed_config(tmp_path, change)
    assert "\n" not in str(told.value)
    with pytest.raises(CheckpointError, match=f"with {named}.*--out") as told:
        run(tiny("dc", **change), folder=tmp_path, resume=True)
    assert "\n" not in str(told.value)
    assert contents(tmp_path) == before


def test_other_real_images_are_refused_on_resume(tiny, tmp_path):
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.rand(40, 1, 8, 8, generator=generator), torch.arange(40) % 10
    run(tiny("dm", steps=2), (images, labels), folder=tmp_path)
    before = contents(tmp_path)
    with pytest.raises(CheckpointError, match=r"other real images.*--out"):
        run(resumed_config(tmp_path, {"budget": {"steps": 4}}), folder=tmp_path, resume=True)
    assert contents(tmp_path) == before
    run(resumed_config(tmp_path, {"budget": {"steps": 4}}), (images, labels), folder=tmp_path, resume=True)


def contents(folder):
    """Bytes of everything a run left, but its lock."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != ".lock"}


def test_finished_run_is_not_written_over(tiny, tmp_path):
    run(tiny("dm", steps=1), folder=tmp_path)
    with pytest.raises(UsageError, match="--resume"):
        run(tiny("dm", steps=1), folder=tmp_path)


def test_empty_folder_cannot_be_resumed(tmp_path):
    with pytest.raises(UsageError, match=r"no run to resume.*--out"):
        resumed_config(tmp_path, {})


def test_changed_execution_takes_effect_on_resume(tiny, distil_until, tmp_path):
    distil_until(tiny("dm"), tmp_path, 3)
    changed = resumed_config(tmp_path, {"execution": {"chunk": 5}})
    run(changed, folder=tmp_path, resume=True)
    assert json.loads((tmp_path / "plan.json").read_text())["chunks"]["synthetic"] == 5


def test_unchanged_execution_reuses_the_plan(tiny, distil_until, tmp_path):
    distil_until(tiny("dm"), tmp_path, 3)
    plan = read_json(tmp_path / "plan.json")
    plan["chunks"]["real"] = 7
    write_json(tmp_path / "plan.json", signed(plan))
    run(resumed_config(tmp_path, {"budget": {"steps": 8}}), folder=tmp_path, resume=True)
    assert json.loads((tmp_path / "plan.json").read_text())["chunks"]["real"] == 7


@pytest.mark.parametrize("damage", ["truncated", "one bit"])
def test_damaged_checkpoint_is_refused(damage, tiny, distil_until, tmp_path):
    distil_until(tiny("dm"), tmp_path, 3)
    path = tmp_path / checkpoint.NAME
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[:-5]
    else:
        content[-5] ^= 4
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="truncated or altered") as told:
        run(resumed_config(tmp_path, {}), folder=tmp_path, resume=True)
    assert "\n" not in str(told.value)


def test_flipped_bit_of_a_checkpoint_is_found_or_does_no_harm(tmp_path):
    tensors = {"parameters.images": torch.randn(3), "generators.data": torch.arange(5, dtype=torch.uint8)}
    position = checkpoint.Position(5, 0.25, {"ipc": 1, "seed": 3}, "digest")
    path = checkpoint.save(tmp_path, position, tensors)
    content = path.read_bytes()
    for bit in range(0, 8 * len(content), 7):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with contextlib.suppress(CheckpointError):
            where, found = checkpoint.load(tmp_path)
            assert where == position
            assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
