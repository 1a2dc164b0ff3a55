"""What a user can get wrong takes one line that says what to do, and leaves nothing half-written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import limbeck as package
from limbeck.errors import DataError

pytestmark = pytest.mark.usefixtures("no_report")

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
    "layer of a matcher": (
        ["--method", "datadam", "--network", "convnet-d2-w4", "--set", "matcher.layers=[feature.2]"],
        ["unknown layer 'feature.2'", "Did you mean 'features.2'?", "'convnet-d2-w4'"],
    ),
    "network without maps": (
        ["--method", "datadam", "--network", "mlp"],
        ["'mlp' has no layers with maps", "--network"],
    ),
    "groups as one, updated each on its own": (
        ["--method", "dcc", "--set", "optimiser.order=groupwise"],
        ["'contrastive'", "all groups as one", "optimiser.order=groupwise", "matcher.name=gradient"],
    ),
    "settings file": (["--config", "absent.yaml"], ["absent.yaml", "No such file", "--config"]),
    "out and resume": (["--resume", "old"], ["--resume", "--out run", "leave out"]),
}


@pytest.mark.parametrize("case", USAGE)
def test_a_wrong_request_takes_one_line_and_leaves_nothing(case, refused, tiny, tmp_path):
    arguments, pieces = USAGE[case]
    status, line = refused(*tiny, *arguments)
    assert status == 2
    assert [piece for piece in pieces if piece not in line] == []
    assert sorted(path.name for path in tmp_path.iterdir()) in ([], ["cache"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there(refused, tiny):
    status, line = refused(*tiny, "--device", "cuda")
    assert status == 2
    assert "0 CUDA devices found. Type --device cpu." in line


def test_nothing_to_start_from_says_what_to_type(refused):
    status, line = refused("distill")
    assert status == 2
    assert "type for example --method dm; 'limbeck list methods'" in line


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
def test_a_setting_in_place_of_a_whole_section(setting, message, refused):
    status, line = refused("distill", "--set", "method=dm", "--set", setting)
    assert status == 2
    assert message in line
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
def test_a_settings_file_that_cannot_be_used(text, pieces, refused, tiny, tmp_path):
    (tmp_path / "mine.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    status, line = refused(*tiny, "--config", "mine.yaml")
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
def test_components_that_cannot_do_what_is_asked(arguments, status, pieces, refused, tiny, plugin, importable):
    (importable / "needs_a_library.py").write_text("import absent_library\n")
    found, line = refused("-p", plugin, *tiny, *arguments)
    assert found == status
    assert [piece for piece in pieces if piece not in line] == []
    assert not Path("run").exists()


def test_a_matcher_without_a_method(refused, plugin):
    status, line = refused("-p", plugin, "distill", "--matcher", "alone")
    assert status == 2
    assert "matcher 'alone' names no method to start from. Add one, for example --method dm" in line


def test_memory_that_does_not_hold_one_image(refused, tiny):
    wide = ["--network", "convnet-d1-w64", "--set", "data.batch_real=20"]
    status, line = refused(*tiny, *wide, "--memory", "1KB")
    assert status == 1
    assert "one image a pass already needs" in line and "--memory allows" in line and "Raise --memory" in line
    assert not Path("run").exists()


def test_a_corrected_request_needs_no_other_folder(limbeck, tiny):
    assert limbeck(*tiny, "--ipc", 21)[0] == 2
    assert limbeck(*tiny)[0] == 0


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
