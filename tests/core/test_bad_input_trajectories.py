"""What a user can get wrong about experts and students takes one line that says what to do, before much is done."""

from __future__ import annotations

import json

import pytest

from limbeck.distillation import checkpoint

pytestmark = pytest.mark.usefixtures("no_report")

SOURCE = {"train": True, "experts": 2, "epochs": 3, "batch_size": 20, "lr": 0.3, "augmentation": None}
STUDENTS = {"steps": 2, "max_start": 2}
USAGE = {
    "updates group by group": (
        ["--set", "optimiser.order=groupwise"],
        ["'trajectory'", "all groups as one", "optimiser.order=groupwise"],
    ),
    "no rate of students": (
        ["--set", "optimiser.syn_lr=null"],
        ["'trajectory'", "learning rate to start with", "--set optimiser.syn_lr=0.01"],
    ),
    "a rate out of range": (["--set", "optimiser.syn_lr=20"], ["'optimiser.syn_lr' is 20", "10.0 or less"]),
    "a source without experts": (
        ["--set", "source=fresh"],
        ["'trajectory' follows experts", "'fresh' has none", "source=experts", "--method mtt"],
    ),
    "a term without experts": (
        ["--set", "terms=[{matcher: trajectory, source: fresh}]"],
        ["'trajectory' follows experts", "'fresh' has none"],
    ),
    "a rate of students for a matcher without any": (
        ["--matcher", "distribution"],
        ["optimiser.syn_lr=0.01", "'distribution' trains none", "--set optimiser.syn_lr=null"],
    ),
    "bounds of starts in falling order": (
        ["--set", "matcher.min_start=3"],
        ["min_start=3", "max_start=2", "rising order"],
    ),
    "learned labels beside the teacher's": (
        ["--set", "matcher.teacher_labels=true", "--set", "labels=learned"],
        ["'learned' would never move", "'trajectory'"],
    ),
    "unknown gradient": (["--set", "matcher.gradient=exacct"], ["'matcher.gradient' is 'exacct'", "'truncated'"]),
    "start beyond the buffer": (
        ["--set", "matcher.max_start=5"],
        ["after epoch 4", "trained for 3", "source.epochs=6", "matcher.max_start=2"],
    ),
    "fewer images than a student's batch": (
        ["--set", "matcher.batch_syn=11"],
        ["matcher.batch_syn=11", "10 training images", "leave it out"],
    ),
    "no experts": (
        ["--set", "source.train=false"],
        ["2 experts x 3 epochs", "limbeck experts train --method mtt", "on disk", "source.train=true"],
    ),
}


@pytest.fixture
def tiny_mtt(tiny):
    """A tiny run that follows experts, to be overridden by what comes after it: all of it, or without some settings."""

    def make(*sections):
        given = {"source": SOURCE, "matcher": STUDENTS}
        pairs = [f"{part}.{key}={json.dumps(value)}" for part in sections for key, value in given[part].items()]
        mtt = ["mtt" if each == "dm" else each for each in tiny]
        return [*mtt, "--ipc", 1, *(word for pair in pairs for word in ("--set", pair))]

    return make


@pytest.mark.parametrize("case", USAGE)
def test_a_wrong_request_takes_one_line_and_leaves_no_run(case, refused, tiny_mtt, tmp_path):
    arguments, pieces = USAGE[case]
    replaced = {"source=fresh": "source", "--matcher": "matcher"}
    kept = [part for part in ("source", "matcher") if part not in [replaced.get(word) for word in arguments]]
    status, line = refused(*tiny_mtt(*kept), *arguments)
    assert status == 2
    assert [piece for piece in pieces if piece not in line] == []
    assert sorted(path.name for path in tmp_path.iterdir()) in ([], ["cache"])


def test_a_rate_that_leaves_its_range_ends_the_run_and_keeps_the_last_good_checkpoint(refused, tiny_mtt, tmp_path):
    fast = ["--set", "optimiser.lr_lr=1", "--steps", "60", "--set", "execution.flush_every=1"]
    status, line = refused(*tiny_mtt("source", "matcher"), *fast, "--set", "execution.checkpoint_seconds=0")
    assert status == 1
    for piece in ("syn_lr left its range from 1e-06 to 10", "Lower optimiser.lr_lr"):
        assert piece in line
    kept = checkpoint.load(tmp_path / "run")
    assert kept is None or kept[0].step > 0


def test_any_matcher_may_look_through_experts(limbeck, tiny_mtt, tmp_path):
    none = ["--set", "optimiser.syn_lr=null", "--set", "optimiser.lr_lr=null"]
    status, out, _ = limbeck(*tiny_mtt("source"), "--matcher", "distribution", *none)
    assert status == 0
    assert "distribution" in out
    assert (tmp_path / "run" / "synthetic.safetensors").exists()
