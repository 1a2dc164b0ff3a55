"""What a user can get wrong takes one line that says what to do, and leaves nothing half-written."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from pathlib import Path

import pytest
import torch

import limbeck as package
from limbeck.errors import DataError
from limbeck.files import append
from limbeck.synthetic.artifact import MANIFEST, TENSORS

pytestmark = pytest.mark.usefixtures("no_report")

PLUGIN = '''
    import torch
    from torch import nn
    from limbeck import hookimpl
    from limbeck.data import Dataset, DataSpec, RawData
    from limbeck.matching import FeatureMatcher
    from limbeck.networks import Network
    from limbeck.synthetic import LabelProjector

    def raw(name, channels, labels):
        spec = DataSpec(name, (channels, 8, 8), 3, ("a", "b", "c"), (0.5,) * channels, (0.5,) * channels, True)
        images = torch.zeros(len(labels), channels, 8, 8, dtype=torch.uint8)
        return RawData(spec, images, torch.tensor(labels), images, torch.tensor(labels))

    class Gap(Dataset):
        """Three classes, one of them empty."""

        def load(self, root, *, download):
            return raw("gap", 1, [0, 0, 2, 2])

    class Colour(Dataset):
        """Black images in colour, two a class."""

        def load(self, root, *, download):
            return raw("colour", 3, [0, 0, 1, 1, 2, 2])

    class ColourOnly(Network):
        """Takes three channels whatever it is built for."""

        def build(self, shape, num_classes):
            return nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.Flatten(), nn.Linear(128, num_classes))

    class Diverges(FeatureMatcher):
        """A loss that is no number."""

        def taps(self, network):
            return ["embedding"]

        def signal(self, maps):
            return maps

        def discrepancy(self, syn, real, step):
            return (syn["embedding"] - real["embedding"]).sum() * float("nan")

    class Own(LabelProjector):
        """Hard labels under another name."""

        def labels(self, images, index, epoch, draw=None):
            return self.context.labels[index]

    @hookimpl
    def register_datasets(register):
        register("gap", Gap)
        register("colour", Colour)

    @hookimpl
    def register_networks(register):
        register("colour_only", ColourOnly)

    @hookimpl
    def register_matchers(register):
        register("diverges", Diverges, method="dm")
        register("alone", Diverges)
        register("needy", "needs_a_library:Matcher", extra="fast")

    @hookimpl
    def register_label_projectors(register):
        register("own", Own)
'''

USAGE = {
    "method": (["--method", "dmm"], ["unknown method 'dmm'", "Did you mean 'dm'?", "'limbeck list methods'"]),
    "matcher": (["--matcher", "distributon"], ["unknown matcher", "Did you mean 'distribution'?", "limbeck list"]),
    "network": (["--network", "convnett-d1"], ["unknown network 'convnett-d1'", "Did you mean 'convnet'?"]),
    "part of a network's name": (["--network", "convnet-q4"], ["'q4'", "Known: d<depth>", "convnet-d3-w128-in"]),
    "data": (["--data", "digts"], ["unknown dataset 'digts'", "Did you mean 'digits'?"]),
    "source": (["--set", "source=fresch"], ["unknown network source 'fresch'", "Did you mean 'fresh'?"]),
    "labels": (["--set", "labels=techer"], ["unknown label projector", "Did you mean 'teacher'?"]),
    "augmentation": (["--set", "augmentation=dsaa"], ["unknown augmentation", "Did you mean 'dsa'?"]),
    "executor": (["--set", "execution.executor=procesess"], ["unknown executor", "Did you mean 'processes'?"]),
    "protocol's augmentation": (
        ["--set", "evaluation.protocol.augmentation.name=dsaa"],
        ["unknown augmentation", "Did you mean 'dsa'?"],
    ),
    "option": (["--stesp", "2"], ["--stesp", "--steps", "limbeck distill --help"]),
    "value of an option": (["--ipc", "two"], ["--ipc", "'two'", "integer"]),
    "section": (["--set", "matcherr.x=1"], ["unknown option 'matcherr'", "Did you mean 'matcher'?"]),
    "key": (["--set", "optimiser.lr_imgg=1"], ["'optimiser.lr_imgg'", "Did you mean 'lr_img'?", "momentum"]),
    "key under an alias": (["--set", "init.frm=noise"], ["'init.frm'", "Did you mean 'from'?"]),
    "option of a component": (["--set", "augmentation.strateg=flip"], ["'augmentation.strateg'", "'strategy'?"]),
    "option of a source": (["--method", "dc", "--set", "source.iner=1"], ["'source.iner'", "'inner'?"]),
    "option of a protocol": (
        ["--set", "evaluation.protocol.epoch=1"],
        ["unknown option 'evaluation.protocol.epoch'", "Did you mean 'epochs'?"],
    ),
    "ipc 0": (["--ipc", "0"], ["'ipc' is 0", "must be 1 or more"]),
    "steps": (["--steps", "-2"], ["'budget.steps' is -2", "must be 1 or more"]),
    "networks": (["--networks", "-1"], ["'evaluation.networks' is -1", "must be 0 or more"]),
    "choice": (["--set", "storage=int8"], ["'storage' is 'int8'", "'float32', 'float16' or 'uint8'"]),
    "text for a number": (["--set", "optimiser.momentum=much"], ["'optimiser.momentum' is 'much'", "a number"]),
    "number for a component": (["--set", "matcher=3"], ["'matcher' is 3", "must be settings"]),
    "number for a name": (["--set", "data.name=3"], ["'data.name' is 3", "must be text"]),
    "mapping for a number": (["--set", "ipc.x=3"], ["'ipc'", "must be a whole number"]),
    "no equals sign": (["--set", "ipc"], ["'ipc'", "--set optimiser.lr_img=0.1"]),
    "no YAML": (["--set", "ipc=[1"], ["'ipc=[1'", "Quote it"]),
    "no matcher": (["--set", "matcher=null"], ["no method and no matcher", "--method dm"]),
    "no source": (["--set", "source=null"], ["network source", "--set source.name=fresh"]),
    "start without a selector": (["--set", "init.from=selector"], ["'init'", "init.selector.name"]),
    "start without a file": (["--set", "init.from=file"], ["'init'", "init.path"]),
    "start from nothing": (["--set", "init={from: file, path: absent}"], ["no synthetic set at absent"]),
    "more than a class has": (["--ipc", "21"], ["--ipc 21", "class 0 of 'digits' has (20)", "init.from=noise"]),
    "too deep": (["--network", "convnet-d5-w4"], ["depth 5", "8x8", "greatest depth is 3 (convnet-d3)"]),
    "memory": (["--memory", "lots"], ["--memory 'lots'", "--memory 2GiB"]),
    "device": (["--device", "gpu"], ["unknown device 'gpu'", "auto, cpu, cuda"]),
    "other device": (["--device", "meta"], ["'meta' is not supported", "auto, cpu, cuda"]),
    "files": (
        ["--data", "mnist", "--data-root", "nowhere"],
        ["'mnist'", "nowhere", "--data-root", "LIMBECK_DATA", "--download"],
    ),
    "settings file": (["--config", "absent.yaml"], ["absent.yaml", "No such file", "--config"]),
    "out and resume": (["--resume", "old"], ["--resume", "--out run", "leave out"]),
}


def one_line(err):
    """Return the only line of standard error without its prefix."""
    assert err.count("\n") == 1 and err.startswith("limbeck: error: ") and err.endswith("\n"), err
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize("case", USAGE)
def test_a_wrong_request_takes_one_line_and_leaves_nothing(case, limbeck, tiny, tmp_path):
    arguments, pieces = USAGE[case]
    status, _, err = limbeck(*tiny, *arguments)
    line = one_line(err)
    assert status == 2
    assert [piece for piece in pieces if piece not in line] == []
    assert sorted(path.name for path in tmp_path.iterdir()) in ([], ["cache"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there(limbeck, tiny):
    status, _, err = limbeck(*tiny, "--device", "cuda")
    assert status == 2
    assert "0 CUDA devices found. Type --device cpu." in one_line(err)


def test_nothing_to_start_from_says_what_to_type(limbeck):
    status, _, err = limbeck("distill")
    assert status == 2
    assert "type for example --method dm; 'limbeck list methods'" in one_line(err)


@pytest.mark.parametrize(
    "setting, message",
    [
        ("profile=tiny", "has no profile 'tiny'. Known: published, small."),
        ("data=3", "option 'data' is 3: must be settings"),
        ("data=digts", "unknown dataset 'digts'. Did you mean 'digits'?"),
        ("budget={steps: null}", "option 'budget': needs iterations, steps or seconds."),
        ("method=dmm", "unknown method 'dmm'. Did you mean 'dm'?"),
    ],
)
def test_a_setting_in_place_of_a_whole_section(setting, message, limbeck):
    status, _, err = limbeck("distill", "--set", "method=dm", "--set", setting)
    assert status == 2
    assert message in one_line(err)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "text, pieces",
    [
        ("ipc: [1\nseed: 2", ["is no valid YAML", "line 2", "Correct it there"]),
        ("- ipc", ["holds no settings", "'ipc: 10'"]),
        ("", ["holds no settings", "'ipc: 10'"]),
        (b"\xff\xfe", ["is no valid YAML"]),
        ("ipcc: 3", ["unknown option 'ipcc'", "Did you mean 'ipc'?"]),
    ],
)
def test_a_settings_file_that_cannot_be_used(text, pieces, limbeck, tiny, tmp_path):
    (tmp_path / "mine.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    status, _, err = limbeck(*tiny, "--config", "mine.yaml")
    line = one_line(err)
    assert status == 2
    assert [piece for piece in pieces if piece not in line] == []
    assert not Path("run").exists()


@pytest.mark.parametrize(
    "arguments, status, pieces",
    [
        (["--data", "gap"], 2, ["class 1 ('b') of 'gap' has no training images", "at least one"]),
        (["--network", "colour_only"], 2, ["'colour_only'", "1x8x8", "3 channels", "--network"]),
        (["--data", "colour", "--ipc", "3"], 2, ["--ipc 3", "class 0 of 'colour' has (2)"]),
        (["--matcher", "diverges"], 1, ["the loss became nan at step 0", "--set optimiser.lr_img=0.1"]),
        (["--set", "matcher=needy"], 2, ["matcher 'needy' needs 'absent_library'", "pip install 'limbeck[fast]'"]),
    ],
)
def test_components_that_cannot_do_what_is_asked(arguments, status, pieces, limbeck, tiny, loose, importable):
    (importable / "needs_a_library.py").write_text("import absent_library\n")
    found, _, err = limbeck("-p", loose(PLUGIN), *tiny, *arguments)
    line = one_line(err)
    assert found == status
    assert [piece for piece in pieces if piece not in line] == []
    assert not Path("run").exists()


def test_a_matcher_without_a_method(limbeck, loose):
    status, _, err = limbeck("-p", loose(PLUGIN), "distill", "--matcher", "alone")
    assert status == 2
    assert "matcher 'alone' names no method to start from. Add one, for example --method dm" in one_line(err)


def test_memory_that_does_not_hold_one_image(limbeck, tiny):
    wide = ["--network", "convnet-d1-w64", "--set", "data.batch_real=20"]
    status, _, err = limbeck(*tiny, *wide, "--memory", "1KB")
    assert status == 1
    line = one_line(err)
    assert "one image a pass already needs" in line and "--memory allows" in line and "Raise --memory" in line
    assert not Path("run").exists()


def test_a_corrected_request_needs_no_other_folder(limbeck, tiny):
    assert limbeck(*tiny, "--ipc", 21)[0] == 2
    assert limbeck(*tiny)[0] == 0


# Places


def test_an_output_folder_in_use(limbeck, tiny):
    Path("run").mkdir()
    with Path("run/.lock").open("a+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        status, _, err = limbeck(*tiny)
    assert status == 2
    assert "run is in use by another run. Wait for it to end, or choose another place with --out." in one_line(err)
    assert [path.name for path in Path("run").iterdir()] == [".lock"]


def test_an_output_folder_below_a_file(limbeck, tiny):
    Path("file").write_text("")
    status, _, err = limbeck(*tiny, "--out", "file/run")
    assert status == 2
    assert "cannot use file/run: Not a directory. Choose another place with --out." in one_line(err)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("name", ["config.yaml", "plan.json", "checkpoint.safetensors", TENSORS])
def test_a_full_disk(name, limbeck, tiny):
    """The temporary file of one write leads to the device that is always full."""
    Path("run").mkdir()
    temporary = Path("run") / f".{name}.{os.getpid()}.part"
    temporary.symlink_to("/dev/full")
    status, _, err = limbeck(*tiny)
    assert status == 1
    assert f"cannot write run/{name}: No space left on device. Make room, or choose another" in one_line(err)
    assert not (Path("run") / name).exists() and not temporary.is_symlink()
    begun = name == TENSORS
    assert Path("run/checkpoint.safetensors").exists() == begun
    assert Path("run/log.jsonl").exists() or not Path("run/config.yaml").exists()
    again = ["distill", "--resume", "run"] if Path("run/config.yaml").exists() else tiny
    assert limbeck(*again)[0] == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_under_a_log():
    with pytest.raises(package.errors.LimbeckError, match="cannot write /dev/full: No space left on device") as caught:
        append(Path("/dev/full"), "a row\n")
    assert caught.value.exit_code == 1


def test_a_folder_that_holds_a_run(limbeck, tiny):
    assert limbeck(*tiny)[0] == 0
    before = Path("run", TENSORS).read_bytes()
    status, _, err = limbeck(*tiny, "--seed", 1)
    assert status == 2
    assert "run already holds a run. Continue it with --resume run, or choose another --out." in one_line(err)
    assert Path("run", TENSORS).read_bytes() == before


# Resuming


def test_resuming_where_no_run_is(limbeck):
    status, _, err = limbeck("distill", "--resume", "absent")
    assert status == 2
    assert "absent holds no run to resume: there is no config.yaml. Start one with --out absent." in one_line(err)
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
def test_settings_that_may_not_change(arguments, pieces, limbeck, begun):
    before = (begun / "config.yaml").read_text()
    status, _, err = limbeck("distill", "--resume", begun, *arguments)
    line = one_line(err)
    assert status == 2
    assert [piece for piece in [*pieces, "Only budget, evaluation, execution can", "--out"] if piece not in line] == []
    assert (begun / "config.yaml").read_text() == before


def test_settings_that_stay_as_they_were_may_be_repeated(limbeck, begun):
    repeated = ["--method", "dm", "--matcher", "distribution", "--profile", "small", "--ipc", "1", "--data", "digits"]
    assert limbeck("distill", "--resume", begun, *repeated, "--set", "augmentation=dsa", "--steps", 3)[0] == 0
    assert len((begun / "log.jsonl").read_text().splitlines()) == 3


def test_a_checkpoint_of_another_configuration(limbeck, begun):
    text = (begun / "config.yaml").read_text()
    (begun / "config.yaml").write_text(text.replace("name: distribution", "name: gradient"))
    status, _, err = limbeck("distill", "--resume", begun)
    assert status == 1
    line = one_line(err)
    assert "matcher.name='distribution', but 'gradient' is asked" in line and "--out" in line


@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_a_damaged_checkpoint(damage, limbeck, begun):
    path = begun / "checkpoint.safetensors"
    spoil(path, damage)
    status, _, err = limbeck("distill", "--resume", begun, "--steps", 3)
    assert status == 1
    assert f"{path} is truncated or altered" in one_line(err) and "Delete the file" in err


# Artifacts


def spoil(path, damage):
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize("damage", ["truncated", "altered"])
@pytest.mark.parametrize("alone", [False, True])
def test_a_damaged_artifact(damage, alone, limbeck, begun):
    spoil(begun / TENSORS, damage)
    if alone:
        (begun / MANIFEST).unlink()
    status, _, err = limbeck("evaluate", begun, "--networks", 1)
    assert status == 1
    assert "altered" in one_line(err) and str(begun) in err


def test_an_artifact_of_a_newer_version(limbeck, begun):
    path = begun / TENSORS
    content = path.read_bytes()
    newer = content.replace(rb"\"version\": 1", rb"\"version\": 9")
    assert newer != content
    path.write_bytes(newer)
    (begun / MANIFEST).unlink()
    status, _, err = limbeck("evaluate", begun, "--networks", 1)
    assert status == 1
    assert "format version 9; this Limbeck reads up to 1" in one_line(err)
    assert "pip install --upgrade limbeck" in err


def test_an_artifact_that_is_none(limbeck, tmp_path):
    (tmp_path / "set").mkdir()
    status, _, err = limbeck("evaluate", "set")
    assert status == 2
    assert "no synthetic set at set" in one_line(err) and "limbeck distill --out" in err
    (tmp_path / "set" / TENSORS).write_bytes(b"no tensors")
    status, _, err = limbeck("evaluate", "set")
    assert (status, "altered" in one_line(err)) == (1, True)


@pytest.mark.parametrize(
    "arguments, pieces",
    [
        (["--protocol", "dcc"], ["unknown protocol 'dcc'", "Did you mean 'dc'?"]),
        (["--protocol", "dc", "--set", "epoch=1"], ["'evaluation.protocol.epoch'", "Did you mean 'epochs'?"]),
        (["--set", "epochs=1"], ["--set gives options of a protocol", "--protocol dc"]),
        (["--networks", "0"], ["--networks", "x>=1"]),
        (["--executor", "serail"], ["unknown executor", "Did you mean 'serial'?"]),
        (["--network", "convnet-d9"], ["depth 9", "convnet-d3"]),
        (["--device", "gpu"], ["unknown device 'gpu'"]),
        (["--data", "colour"], ["1x8x8 in 10 classes", "'colour' has 3x8x8 in 3 classes", "--data digits"]),
    ],
)
def test_an_evaluation_that_cannot_be_made(arguments, pieces, limbeck, begun, loose):
    status, _, err = limbeck("-p", loose(PLUGIN), "evaluate", begun, *arguments)
    line = one_line(err)
    assert status == 2
    assert [piece for piece in pieces if piece not in line] == []


def test_an_artifact_whose_plugin_file_is_absent(limbeck, tiny, loose):
    file = loose(PLUGIN)
    assert limbeck("-p", file, *tiny, "--set", "labels=own")[0] == 0
    limbeck.forget()
    status, _, err = limbeck("evaluate", "run", "--networks", 1)
    assert status == 2
    assert "label projector 'own', which came from the file mine.py. Add it with -p mine.py." in one_line(err)


def test_an_artifact_whose_distribution_is_absent(limbeck, tiny, distribution, importable):
    distribution("shiny-labels", shiny=PLUGIN)
    assert limbeck(*tiny, "--set", "labels=own")[0] == 0
    shutil.rmtree(importable / "shiny_labels-1.0.dist-info")
    limbeck.forget()
    status, _, err = limbeck("evaluate", "run", "--networks", 1)
    assert status == 2
    line = one_line(err)
    assert "'own', which shiny-labels 1.0 offers" in line and "pip install shiny-labels" in line


# Data in Python


def grey(count=20, classes=2):
    images = torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return images, torch.arange(count) % classes


@pytest.mark.parametrize("case", ["nan", "mixed sizes", "gap", "range", "labels", "nothing"])
def test_images_that_cannot_be_used(case):
    images, labels = grey()
    data, message = {
        "nan": ((images.index_fill(0, torch.tensor([3]), float("nan")), labels), "image 3 holds NaN pixels"),
        "mixed sizes": (([images[0], images[1, :, :7]], [0, 1]), "sizes are mixed"),
        "gap": ((images, labels * 2), r"class 1 \('1'\) .*has no training images"),
        "range": ((images * 255, labels), r"values from .* to .*; give pixels in \[0, 1\]"),
        "labels": ((images, labels[:-1]), "20 images need 20 labels"),
        "nothing": ((images[:0], labels[:0]), "N above 0"),
    }[case]
    with pytest.raises(DataError, match=message) as caught:
        package.distill(data, method="dm", profile="small", network="convnet-d1-w4")
    assert "\n" not in str(caught.value)


def test_an_edited_manifest_is_noticed(limbeck, begun):
    stated = json.loads((begun / MANIFEST).read_text())
    (begun / MANIFEST).write_text(json.dumps({**stated, "sha256": "0" * 64}))
    status, _, err = limbeck("evaluate", begun, "--networks", 1)
    assert status == 1
    assert "states another checksum" in one_line(err)
