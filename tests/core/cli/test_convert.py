"""``limbeck convert``: others' sets in, pictures and smaller sets out, and one line for what cannot be."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from limbeck.data import load_dataset
from limbeck.evaluation import Evaluation
from limbeck.evaluation.kept import keep_rows
from limbeck.synthetic import SyntheticSet, convert
from limbeck.synthetic.artifact import MANIFEST, TENSORS

LABELS = torch.arange(10).repeat_interleave(2)


def images(side=8, channels=1):
    return torch.randn(20, channels, side, side, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def published(limbeck):
    """A file as DC's code saves it, in the working folder."""
    content = {"data": [[images(), LABELS]], "accs_all_exps": {"ConvNet": [np.float64(0.5)]}}
    torch.save(content, "res_DC_digits_ConvNet_2ipc.pt")
    return Path("res_DC_digits_ConvNet_2ipc.pt")


@pytest.fixture
def own(limbeck):
    """A Limbeck set of random numbers for the digits."""
    recipe = {"network": "convnet-d1-w4", "epochs": 1, "protocol": "dc"}
    made = SyntheticSet(images(), LABELS, LABELS, load_dataset("digits").spec, recipe=recipe)
    return made.save(Path("own"))


@pytest.fixture
def measured(monkeypatch):
    """Count networks instead of training them: accuracies that tell the storage apart."""
    calls = []

    def evaluate(synthetic, data, recipe, *, networks, seed, device):
        calls.append((synthetic.storage, recipe.network, networks, seed))
        shares = [0.5 + 0.1 * k - 0.01 * k * (synthetic.storage == "uint8") for k in range(networks)]
        return Evaluation("synthetic", recipe.protocol, recipe.to_dict(), shares, [], synthetic.bytes, 20, 0.0)

    monkeypatch.setattr(convert, "evaluate_set", evaluate)
    return calls


def test_a_published_file_becomes_a_set(limbeck, published):
    status, said, _ = limbeck("convert", published, "out", "--like", "digits", "--network", "convnet-d1-w4")
    assert status == 0
    assert f"reading {published} as a set of 'dc'" in said
    assert "20 images, 5,140 bytes (float32) in out" in said
    found = SyntheticSet.load("out")
    assert torch.equal(found.normalised(), images()) and torch.equal(found.labels, LABELS)
    assert found.recipe["network"] == "convnet-d1-w4"
    assert found.provenance["data"] == {"name": "digits"}
    assert set(found.figures) == {"published"}
    assert sorted(path.name for path in Path("out").iterdir()) == [MANIFEST, "preview.png", TENSORS]


def test_figures_that_were_published_stay_beside_those_measured(limbeck, published):
    assert limbeck("convert", published, "out", "--like", "digits", "--set", "protocol.epochs=1")[0] == 0
    found = SyntheticSet.load("out")
    assert found.recipe["epochs"] == 2
    keep_rows(Path("out"), found, [Evaluation("synthetic", "dc", found.recipe, [0.5], [], found.bytes, 20, 0.0)])
    assert set(SyntheticSet.load("out").figures) == {"published", "synthetic"}


def test_options_of_importer_data_and_protocol_are_told_apart(limbeck, published):
    arguments = ("--from", "dc", "--set", "mean=[0.25]", "--set", "data.max_per_class=3", "--set", "protocol.lr=0.5")
    assert limbeck("convert", published, "out", "--like", "digits", "--protocol", "dc", *arguments)[0] == 0
    found = SyntheticSet.load("out")
    assert (found.spec.mean, found.recipe["lr"]) == ((0.25,), 0.5)
    assert found.provenance["data"] == {"name": "digits", "max_per_class": 3}


def test_whitened_sets_bring_whitened_data(limbeck):
    spec = load_dataset("digits", preprocessing="zca").spec
    for name, tensor in (("images", images()), ("labels", LABELS)):
        torch.save(tensor, f"{name}_best.pt")
    assert limbeck("convert", ".", "out", "--like", "digits", "--set", "zca=true", "--set", "lr=0.1")[0] == 0
    found = SyntheticSet.load("out")
    assert found.spec == spec
    assert found.provenance["data"] == {"name": "digits", "preprocessing": "zca"}


def test_a_set_becomes_pictures_and_a_set_again(limbeck, own):
    assert limbeck("convert", own, "pictures", "--to", "png")[0] == 0
    assert len(list(Path("pictures").rglob("*.png"))) == 20
    status, said, _ = limbeck("convert", "pictures", "back")
    assert status == 0 and "reading pictures as a set of 'png'" in said
    expected = SyntheticSet.load(own).with_(storage="uint8")
    assert torch.equal(SyntheticSet.load("back").stored_images(), expected.stored_images())
    assert torch.equal(SyntheticSet.load("back").normalised(), expected.normalised())


@pytest.mark.parametrize("storage", ["uint8", "float16"])
def test_a_set_is_stored_in_fewer_bytes(storage, limbeck, own):
    assert limbeck("convert", own / TENSORS, "small", "--storage", storage)[0] == 0
    found, before = SyntheticSet.load("small"), SyntheticSet.load(own)
    assert found.storage == storage and found.bytes < before.bytes
    assert torch.equal(found.normalised(), before.with_(storage=storage).normalised())


@pytest.mark.parametrize("arguments", [("--to", "png"), ("--storage", "uint8")])
def test_what_bytes_cost_is_measured_and_kept(arguments, limbeck, own, measured):
    status, said, _ = limbeck("convert", own, "out", *arguments, "--measure", 3, "--seed", 7)
    assert status == 0
    assert measured == [("float32", "convnet-d1-w4", 3, 7), ("uint8", "convnet-d1-w4", 3, 7)]
    assert "float32 60.00 ± 8.16 %, uint8 59.00 ± 7.35 %: -1.00 ± 0.58 points (3 x convnet-d1-w4, protocol dc)" in said
    cost = json.loads(Path("out", MANIFEST).read_text())["figures"]["storage_cost"]
    assert cost["points"] == pytest.approx(-1)
    assert cost["standard_error"] == pytest.approx(3**-0.5)
    assert cost["before"]["accuracies"] == pytest.approx([0.5, 0.6, 0.7])
    assert cost["after"]["accuracies"] == pytest.approx([0.5, 0.59, 0.68])
    assert (cost["before"]["bytes"], cost["after"]["bytes"], cost["seed"]) == (5140, 1300, 7)


def test_an_import_is_measured_once(limbeck, published, measured):
    status, said, _ = limbeck("convert", published, "out", "--like", "digits", "--measure", 1)
    assert status == 0 and len(measured) == 1
    assert "float32 50.00 ± 0.00 % (1 x convnet-d3-w128-in, protocol dc)" in said


def test_the_same_networks_see_both_number_formats(own):
    """A set that bytes hold exactly costs nothing, to the last bit."""
    data = load_dataset("digits")
    exact = SyntheticSet.load(own).with_(storage="uint8")
    floats = exact.with_(images=exact.normalised(), space="normalised", storage="float32")
    cost = convert.storage_cost(floats, exact, data, networks=1, seed=3)
    assert cost["before"]["accuracies"] == cost["after"]["accuracies"]
    assert (cost["points"], cost["standard_error"]) == (0, None)


# What cannot be converted


class Payload:
    def __reduce__(self):
        return os.mkdir, ("proof",)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("importer", [(), ("--from", "dc")])
def test_a_file_with_code_is_refused_and_nothing_is_run(importer, zipped, refused, published):
    content = {"data": [[images(), LABELS]], "accs_all_exps": {"ConvNet": [Payload()]}}
    torch.save(content, published, _use_new_zipfile_serialization=zipped)
    status, line = refused("convert", published, "out", "--like", "digits", *importer)
    assert status == 1
    assert "refused and nothing in it was run: it names 'posix.mkdir'" in line
    assert not Path("proof").exists() and not Path("out").exists()
    torch.load(published, weights_only=False)
    assert Path("proof").exists()


@pytest.mark.parametrize(
    ("arguments", "pieces"),
    [
        (["FILE", "out"], ["does not say which data it stands for", "--like cifar10"]),
        (["FILE", "out", "--like", "digit"], ["'digit'", "Did you mean 'digits'?"]),
        (["FILE", "out", "--like", "digits", "--from", "tm"], ["unknown importer 'tm'"]),
        (["FILE", "out", "--like", "digits", "--set", "experiment=3"], ["experiments 0 to 0", "experiment=3"]),
        (["FILE", "out", "--like", "digits", "--set", "data=3"], ["--set data=3", "data.KEY=VALUE"]),
        (["FILE", "out", "--like", "digits", "--set", "zca=1"], ["unknown option 'importer.zca'"]),
        (["FILE", "out", "--like", "digits", "--from", "mtt"], ["--set zca=true"]),
        (["FILE", "out", "--like", "digits", "--network", "convnet-d9"], ["depth 9"]),
        (["FILE", "out", "--like", "digits", "--protocol", "dcc"], ["unknown protocol 'dcc'"]),
        (["FILE", "own", "--like", "digits"], ["own exists already and is not overwritten"]),
        (["absent", "out"], ["there is no file or folder absent"]),
        (["own", "out"], ["Limbeck set in float32 already", "--to png", "--storage uint8"]),
        (["own", "out", "--storage", "float32"], ["nothing to convert"]),
        (["own", "out", "--to", "png", "--storage", "float16"], ["PNG files hold bytes", "--storage float16"]),
        (["own", "out", "--to", "png", "--from", "dc"], ["is a Limbeck set, and --from is about"]),
        (["own", "out", "--to", "png", "--protocol", "dc"], ["limbeck evaluate --protocol"]),
        (["own", "out", "--to", "jpg"], ["'jpg' is not one of 'set', 'png'"]),
        (["own", "own", "--to", "png"], ["own exists already"]),
        (["own", "out", "--to", "png", "--measure", "0"], ["--measure", "x>=1"]),
        (["-p", "PLUGIN", "own", "out", "--storage", "uint8", "--measure", "1", "--like", "colour"], ["3x8x8"]),
    ],
)
def test_requests_that_cannot_be_met_take_one_line(arguments, pieces, refused, published, own, plugin):
    named = {"FILE": published, "PLUGIN": plugin}
    status, line = refused("convert", *[named.get(argument, argument) for argument in arguments])
    assert status == 2
    assert [piece for piece in pieces if piece not in line] == []
    assert not Path("out").exists()
    assert not list(Path().glob(".*.part"))


def test_a_damaged_set_is_refused(refused, own):
    content = (own / TENSORS).read_bytes()
    (own / TENSORS).write_bytes(content[:-3])
    status, line = refused("convert", own, "out", "--to", "png")
    assert status == 1 and "altered" in line
    assert not Path("out").exists()


def test_a_picture_that_was_changed_is_noticed(limbeck, refused, own):
    assert limbeck("convert", own, "pictures", "--to", "png")[0] == 0
    first, second, *_ = sorted(Path("pictures").rglob("*.png"))
    shutil.copy(first, second)
    status, line = refused("convert", "pictures", "back")
    assert status == 1 and "a file was changed" in line
    Path("pictures", MANIFEST).unlink()
    status, line = refused("convert", "pictures", "back")
    assert status == 2 and "--like" in line
    assert limbeck("convert", "pictures", "back", "--like", "digits")[0] == 0
    assert SyntheticSet.load("back").labels.tolist() == LABELS.tolist()
