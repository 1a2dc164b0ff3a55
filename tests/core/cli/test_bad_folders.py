"""Folders that cannot be written, resumed or read take one line, and keep what they held."""

from __future__ import annotations

import fcntl
import json
import shutil
from pathlib import Path

import pytest

from limbeck.errors import LimbeckError
from limbeck.files import append, checked_text
from limbeck.synthetic.artifact import MANIFEST, TENSORS

pytestmark = pytest.mark.usefixtures("no_report")


# Places


def test_an_output_folder_in_use(refused, tiny):
    Path("run").mkdir()
    with Path("run/.lock").open("a+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        status, line = refused(*tiny)
    assert status == 2
    assert "run is in use by another run. Wait for it to end, or choose another place with --out." in line
    assert [path.name for path in Path("run").iterdir()] == [".lock"]


def test_an_output_folder_below_a_file(refused, tiny):
    Path("file").write_text("")
    status, line = refused(*tiny, "--out", "file/run")
    assert status == 2
    assert "cannot use file/run: Not a directory. Choose another place with --out." in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("name", ["config.yaml", "plan.json", "checkpoint.safetensors", TENSORS])
def test_a_full_disk(name, limbeck, refused, tiny, monkeypatch):
    """One file is written to the device that is always full."""
    opened = Path.open

    def open_full(path, mode="r", *arguments, **options):
        full = mode == "wb" and path.name.startswith(f".{name}.")
        return opened(Path("/dev/full") if full else path, mode, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_full)
        status, line = refused(*tiny)
    assert status == 1
    assert f"cannot write run/{name}: No space left on device. Make room, or choose another" in line
    begun = Path("run/log.jsonl").exists()
    assert begun == (name in ("checkpoint.safetensors", TENSORS))
    assert Path("run").exists() == begun
    assert not (Path("run") / name).exists() and not list(Path().glob("run/.*.part"))
    assert limbeck(*(["distill", "--resume", "run"] if begun else tiny))[0] == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_under_a_log():
    with pytest.raises(LimbeckError, match="cannot write /dev/full: No space left on device") as caught:
        append(Path("/dev/full"), "a row\n")
    assert caught.value.exit_code == 1


def test_a_folder_that_holds_a_run(limbeck, refused, tiny):
    assert limbeck(*tiny)[0] == 0
    before = Path("run", TENSORS).read_bytes()
    status, line = refused(*tiny, "--seed", 1)
    assert status == 2
    assert "run already holds a run. Continue it with --resume run, or choose another --out." in line
    assert Path("run", TENSORS).read_bytes() == before


# Resuming


def test_resuming_where_no_run_is(refused):
    status, line = refused("distill", "--resume", "absent")
    assert status == 2
    assert "absent holds no run to resume: there is no config.yaml. Start one with --out absent." in line
    assert not Path("absent").exists()


@pytest.fixture
def begun(limbeck, tiny):
    """A run folder with a checkpoint."""
    assert limbeck(*tiny)[0] == 0
    return Path("run")


@pytest.mark.parametrize(
    "arguments, pieces",
    [
        (["--matcher", "gradient"], ["'matcher.name' cannot change", "it is distribution", "gradient was asked"]),
        (["--ipc", "2"], ["'ipc' cannot change", "it is 1", "2 was asked"]),
        (["--set", "optimiser.lr_img=3"], ["'optimiser.lr_img' cannot change", "it is 1.0", "3.0 was asked"]),
        (["--set", "augmentation.flip=false"], ["'augmentation.flip' cannot change", "it is None"]),
        (["--set", "augmentation=null"], ["'augmentation.name' cannot change", "it is dsa"]),
    ],
)
def test_settings_that_may_not_change(arguments, pieces, refused, begun):
    before = (begun / "config.yaml").read_text()
    status, line = refused("distill", "--resume", begun, *arguments)
    assert status == 2
    pieces = [*pieces, "Only budget, evaluation, execution, observers can", "--out"]
    assert [piece for piece in pieces if piece not in line] == []
    assert (begun / "config.yaml").read_text() == before


def test_settings_that_stay_as_they_were_may_be_repeated(limbeck, begun):
    repeated = ["--method", "dm", "--matcher", "distribution", "--profile", "small", "--ipc", "1", "--data", "digits"]
    assert limbeck("distill", "--resume", begun, *repeated, "--set", "augmentation=dsa", "--steps", 3)[0] == 0
    assert len((begun / "log.jsonl").read_text().splitlines()) == 3


def test_a_checkpoint_of_another_configuration(refused, begun):
    text = checked_text((begun / "config.yaml").read_text())
    (begun / "config.yaml").write_text(text.replace("name: distribution", "name: gradient"))
    status, line = refused("distill", "--resume", begun)
    assert status == 1
    assert "matcher.name='distribution', but 'gradient' is asked" in line and "--out" in line


@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_a_damaged_checkpoint(damage, refused, begun):
    path = begun / "checkpoint.safetensors"
    spoil(path, damage)
    status, line = refused("distill", "--resume", begun, "--steps", 3)
    assert status == 1
    assert f"{path} is truncated or altered" in line and "Delete the file" in line


# Artifacts


def spoil(path, damage):
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize("damage", ["truncated", "altered"])
@pytest.mark.parametrize("alone", [False, True])
def test_a_damaged_artifact(damage, alone, refused, begun):
    spoil(begun / TENSORS, damage)
    if alone:
        (begun / MANIFEST).unlink()
    status, line = refused("evaluate", begun, "--networks", 1)
    assert status == 1
    assert "altered" in line and str(begun) in line


def test_an_artifact_of_a_newer_version(refused, begun):
    path = begun / TENSORS
    content = path.read_bytes()
    newer = content.replace(rb"\"version\": 1", rb"\"version\": 9")
    assert newer != content
    path.write_bytes(newer)
    (begun / MANIFEST).unlink()
    status, line = refused("evaluate", begun, "--networks", 1)
    assert status == 1
    assert "format version 9; this Limbeck reads up to 1" in line
    assert "pip install --upgrade limbeck" in line


def test_an_artifact_that_is_none(refused, tmp_path):
    (tmp_path / "set").mkdir()
    status, line = refused("evaluate", "set")
    assert status == 2
    assert "no synthetic set at set" in line and "limbeck distill --out" in line
    (tmp_path / "set" / TENSORS).write_bytes(b"no tensors")
    status, line = refused("evaluate", "set")
    assert (status, "altered" in line) == (1, True)


@pytest.mark.parametrize(
    "arguments, pieces",
    [
        (["--protocol", "dcc"], ["unknown protocol 'dcc'", "Did you mean 'dc'?"]),
        (["--protocol", "dc", "--set", "epoch=1"], ["'evaluation.protocol.epoch'", "Did you mean 'epochs'?"]),
        (["--set", "epochs=1"], ["--set gives options of a protocol", "--protocol dc"]),
        (["--networks", "0"], ["--networks 0: '0' is no number of networks", "1 or more", "mlp=3,vgg11=1"]),
        (["--executor", "serail"], ["unknown executor", "Did you mean 'serial'?"]),
        (["--network", "convnet-d9"], ["depth 9", "convnet-d3"]),
        (["--device", "gpu"], ["unknown device 'gpu'"]),
        (["--data", "colour"], ["1x8x8 in 10 classes", "'colour' has 3x8x8 in 3 classes", "--data digits"]),
    ],
)
def test_an_evaluation_that_cannot_be_made(arguments, pieces, refused, begun, plugin):
    status, line = refused("-p", plugin, "evaluate", begun, *arguments)
    assert status == 2
    assert [piece for piece in pieces if piece not in line] == []


def test_an_artifact_whose_plugin_file_is_absent(limbeck, refused, tiny, plugin):
    assert limbeck("-p", plugin, *tiny, "--set", "labels=own")[0] == 0
    limbeck.forget()
    status, line = refused("evaluate", "run", "--networks", 1)
    assert status == 2
    assert "label projector 'own', which came from the file mine.py. Add it with -p mine.py." in line


def test_an_artifact_whose_distribution_is_absent(limbeck, refused, tiny, plugin, distribution, importable):
    distribution("shiny-labels", shiny=plugin.read_text())
    assert limbeck(*tiny, "--set", "labels=own")[0] == 0
    shutil.rmtree(importable / "shiny_labels-1.0.dist-info")
    limbeck.forget()
    status, line = refused("evaluate", "run", "--networks", 1)
    assert status == 2
    assert "'own', which shiny-labels 1.0 offers" in line and "pip install shiny-labels" in line


def test_an_edited_manifest_is_noticed(refused, begun):
    stated = json.loads((begun / MANIFEST).read_text())
    (begun / MANIFEST).write_text(json.dumps({**stated, "sha256": "0" * 64}))
    status, line = refused("evaluate", begun, "--networks", 1)
    assert status == 1
    assert "states another checksum" in line


def test_fewer_steps_than_were_taken_are_refused(refused, begun):
    before = (begun / "config.yaml").read_text()
    status, line = refused("distill", "--resume", begun, "--steps", 1)
    assert status == 2 and "has taken" in line and "1 were asked for" in line
    assert (begun / "config.yaml").read_text() == before


def test_a_run_that_is_not_finished_says_how_to_continue_it(refused, begun):
    for name in ("synthetic.safetensors", "manifest.json"):
        (begun / name).unlink()
    status, line = refused("evaluate", begun)
    assert status == 2 and f"limbeck distill --resume {begun}" in line


def test_a_comparison_keeps_out_of_a_runs_folder(limbeck, begun):
    before = sorted(path.name for path in begun.iterdir())
    status, _, err = limbeck("compare", "--methods", "dm", "--profile", "small", "--out", begun)
    assert status == 2 and "Give the comparison a folder of its own" in err
    assert sorted(path.name for path in begun.iterdir()) == before
