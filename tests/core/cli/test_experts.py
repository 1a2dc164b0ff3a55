"""``limbeck experts``: trained once, gone on from, listed, looked over, and refused in one line."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from limbeck.experts import Buffer, buffers_in
from limbeck.experts import training as module
from limbeck.experts.records import read_record

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = ("--network", "convnet-d1-w4-in", "--max-per-class", 20, "--device", "cpu")


def train(*options):
    return "experts", "train", *TINY, *options


@pytest.fixture
def buffers(tmp_path):
    return lambda: buffers_in(tmp_path / "cache" / "experts")


def test_experts_are_trained_and_a_second_call_says_they_are_there(limbeck, buffers):
    status, out, err = limbeck(*train("--experts", 2, "--epochs", 3))
    assert (status, err) == (0, "")
    (buffer,) = buffers()
    lines = out.splitlines()
    assert lines[0] == "2 experts x 3 epochs of convnet-d1-w4-in on 200 images of digits"
    assert lines[1].startswith("about ") and lines[1].endswith(" on disk") and " on cpu, " in lines[1]
    assert lines[2] == f"everything goes into {buffer.folder}"
    losses = [buffer.head(expert).losses for expert in (0, 1)]
    first, last = (sum(each[at] for each in losses) / 2 for at in (0, -1))
    assert f"training loss {first:.3g} -> {last:.3g}, " in lines[-1] and f"check {buffer.key}" in lines[-1]
    files = [buffer.file(expert).read_bytes() for expert in (0, 1)]
    status, out, _ = limbeck(*train("--experts", 2, "--epochs", 3))
    assert status == 0 and out == f"all of 2 experts x 3 epochs are there already: {buffer.folder}\n"
    status, out, _ = limbeck(*train("--experts", 3, "--epochs", 3))
    assert "going on: 6 of 9 epochs are there" in out
    assert [buffer.file(expert).read_bytes() for expert in (0, 1)] == files and buffer.experts() == [0, 1, 2]
    assert len(buffers()) == 1


def test_settings_are_the_method_s_with_those_typed_over_them(limbeck, buffers):
    small = ("--method", "mtt", "--profile", "small", "--experts", 1, "--epochs", 1, "--set", "source.lr=0.02")
    status, out, _ = limbeck(*train(*small, "--set", "source.images=30", "--set", "source.sharpness=0.01"))
    assert status == 0 and "1 flat expert x 1 epoch of convnet-d1-w4-in on 30 of 200 images of digits" in out
    (buffer,) = buffers()
    settings = buffer.made_of["training"]
    assert settings["augmentation"]["name"] == "dsa" and settings["lr"] == 0.02 and settings["sharpness"] == 0.01
    assert limbeck(*train("--experts", 1, "--epochs", 1))[0] == 0
    plain = next(each for each in buffers() if each.key != buffer.key)
    assert plain.made_of["training"] == {
        "augmentation": None,
        "batch_size": 256,
        "images": None,
        "lr": 0.01,
        "momentum": 0.0,
        "sharpness": None,
        "sharpness_adaptive": False,
        "sharpness_gap": 0.0,
        "weight_decay": 0.0,
    }


def test_a_run_without_experts_says_what_to_type_and_that_makes_it_run(limbeck, refused, no_report, tiny, monkeypatch):
    def run(*options):
        line = ["distill", "--method", "mtt", *tiny[3:], "--steps", 1, "--set", "matcher.steps=2", "--set"]
        return [*line, "matcher.max_start=1", *options]

    more = (
        "--ipc",
        2,
        "--seed",
        5,
        "--set",
        "source.experts=1",
        "--set",
        "source.epochs=2",
        "--set",
        "source.images=50",
    )
    status, err = refused(*run(*more))
    assert status == 2 and "there are not yet 1 expert x 2 epochs of convnet-d1-w4 on digits. Train them: " in err
    typed = err.partition("Train them: ")[2].partition(" (about ")[0]
    assert "--seed 5" in typed and "source.images=50" in typed and "matcher" not in typed
    status, _, err = limbeck(*shlex.split(typed)[1:])
    assert status == 0, err
    status, _, err = limbeck(*run(*more))
    assert status == 0, err


def test_a_run_trains_experts_itself_where_that_is_asked_for(limbeck, no_report, tiny, buffers):
    options = ("--set", "source.experts=2", "--set", "source.epochs=1", "--set", "source.train=true")
    line = ["distill", "--method", "mtt", *tiny[3:], "--steps", 1, "--set", "matcher.steps=2", "--set"]
    status, _, err = limbeck(*line, "matcher.max_start=1", "--set", "matcher.expert_epochs=1", *options)
    assert status == 0, err
    (buffer,) = buffers()
    assert [buffer.epochs_of(expert) for expert in (0, 1)] == [1, 1]


def test_buffers_are_listed_and_looked_over(limbeck, buffers, tmp_path):
    status, out, _ = limbeck("experts", "list")
    assert status == 0 and "There are none yet: 'limbeck experts train --help'" in out
    assert limbeck("experts", "check")[:2] == (0, f"There are no buffers in {tmp_path / 'cache' / 'experts'}.\n")
    limbeck(*train("--experts", 2, "--epochs", 2, "--set", "source.lr=0.1", "--set", "source.sharpness=0.01"))
    (buffer,) = buffers()
    _, out, _ = limbeck("experts", "list")
    row = out.splitlines()[1].split()
    assert row[:8] == [buffer.key, "convnet-d1-w4-in", "digits", "200", "standard", "2", "2", "flat"]
    limbeck(*train("--experts", 1, "--epochs", 3, "--set", "source.lr=0.1", "--set", "source.sharpness=0.01"))
    (found,) = json.loads(limbeck("experts", "list", "--json")[1])
    assert found["epochs"] == "2 to 3" and found["bytes"] == buffer.bytes() and found["made_of"] == buffer.made_of
    assert found["seconds"] == pytest.approx(sum(buffer.head(expert).seconds for expert in (0, 1)))
    for named in ((), (buffer.key,), (buffer.folder,)):
        status, out, _ = limbeck("experts", "check", *named)
        assert status == 0
        assert out.splitlines()[0] == f"{buffer.folder}: convnet-d1-w4-in on digits"
        assert [line.partition(":")[0] for line in out.splitlines()[1:]] == ["ok     expert 0", "ok     expert 1"]


def test_what_is_damaged_is_told_and_sets_the_exit_status(limbeck, buffers, refused):
    limbeck(*train("--experts", 2, "--epochs", 2, "--set", "source.lr=0.1"))
    (buffer,) = buffers()
    content = bytearray(buffer.file(1).read_bytes())
    content[len(content) // 2] ^= 1
    buffer.file(1).write_bytes(bytes(content))
    status, out, _ = limbeck("experts", "check", buffer.key)
    assert status == 1 and "ok     expert 0" in out and "wrong  expert 1: " in out and "checksum" in out
    (buffer.folder / "buffer.json").write_text("{}")
    status, out, _ = limbeck("experts", "check")
    assert status == 1 and "buffer.json is damaged" in out
    assert "1 more cannot be read: 'limbeck experts check' says why." in limbeck("experts", "list")[1]
    status, err = refused("experts", "check", "nowhere")
    assert status == 2 and "nowhere holds no experts" in err


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_what_is_trained_and_the_same_line_goes_on(limbeck, buffers, monkeypatch, sent):
    limbeck(*train("--experts", 2, "--epochs", 4))
    (whole,) = buffers()
    records = [read_record(whole.file(expert)) for expert in (0, 1)]
    for expert in (0, 1):
        whole.file(expert).unlink()
    keep, told = module._Keeper.keep, []

    def stopped(self, *args):
        keep(self, *args)
        told.append(args)
        if len(told) == 6:
            os.kill(os.getpid(), sent)

    with monkeypatch.context() as patch:
        patch.setattr(module._Keeper, "keep", stopped)
        before = signal.getsignal(signal.SIGTERM)
        status, _, err = limbeck(*train("--experts", 2, "--epochs", 4))
        assert signal.getsignal(signal.SIGTERM) is before
    assert status == 130
    assert err == "limbeck: error: stopped; 6 of 8 epochs are kept, and the same command goes on from there.\n"
    status, out, _ = limbeck(*train("--experts", 2, "--epochs", 4))
    assert status == 0 and "going on: 6 of 8 epochs are there" in out
    for expert, record in enumerate(records):
        assert read_record(whole.file(expert)).rows == record.rows


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--method", "dm"), "method 'dm' looks through source 'fresh', which has no experts. Name one that has"),
        (("--method", "random"), "method 'random' has no source, and so no experts"),
        (("--set", "source.epoch=3"), "unknown option 'source.epoch'. Did you mean 'epochs'?"),
        (("--experts", 0), "option 'source.experts' is 0: must be 1 or more"),
        (("--set", "source.sharpness_gap=1"), "mean nothing without a radius: give sharpness=0.01"),
        (("--data", "digts"), "unknown dataset 'digts'. Did you mean 'digits'?"),
        (("--executor", "many"), "unknown executor 'many'"),
        (("--set", "source.augmentation=dsaa"), "unknown augmentation 'dsaa'. Did you mean 'dsa'?"),
        (
            ("--set", "source.path=buffer.txt"),
            "cannot use buffer.txt: File exists. Name another with --set source.path=",
        ),
    ],
)
def test_what_cannot_be_is_refused(refused, tmp_path, options, said):
    (tmp_path / "buffer.txt").write_text("in the way")
    status, err = refused(*train(*options))
    assert status == 2 and said in err


def test_without_a_cache_a_folder_must_be_named(limbeck, refused, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LIMBECK_CACHE", str(tmp_path / "file" / "cache"))
    status, err = refused(*train("--experts", 1, "--epochs", 1))
    assert status == 2 and "can be written. Name a folder: --set source.path=FOLDER" in err
    assert "there is no cache" in refused("experts", "list")[1]
    assert limbeck(*train("--experts", 1, "--epochs", 1, "--set", "source.path=mine"))[0] == 0
    assert Buffer.load(tmp_path / "mine").experts() == [0]
    assert limbeck(*train("--experts", 1, "--epochs", 1, "--set", "source.path=mine"))[1].startswith(
        "all of 1 expert x 1 epoch are"
    )


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_bits(tmp_path):
    line = [sys.executable, "-m", "limbeck", *map(str, train("--experts", 3, "--epochs", 40))]

    def cache(name):
        return {**os.environ, "LIMBECK_CACHE": str(tmp_path / name), "OMP_NUM_THREADS": "1"}

    def run(name, *options):
        subprocess.run([*line, *options], env=cache(name), check=True, capture_output=True, cwd=tmp_path)

    run("whole")
    (whole,) = buffers_in(tmp_path / "whole" / "experts")
    for options in ((), ("--executor", "processes")):
        name = "-".join(("killed", *options))
        for epochs in (3, 50):
            process = subprocess.Popen([*line, *options], env=cache(name), cwd=tmp_path, stdout=subprocess.DEVNULL)
            while sum(each.epochs_of(e) for each in buffers_in(tmp_path / name / "experts") for e in range(3)) < epochs:
                assert process.poll() is None
                time.sleep(0.01)
            process.kill()
            process.wait()
        run(name, *options)
        (found,) = buffers_in(tmp_path / name / "experts")
        for expert in range(3):
            assert read_record(found.file(expert)).rows == read_record(whole.file(expert)).rows
