"""Sets in the formats that the field publishes, made as their code saves them, become sets that can be evaluated."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from limbeck.api import evaluate
from limbeck.data import DataSpec, load_dataset
from limbeck.errors import LimbeckError, UsageError
from limbeck.files import sha256
from limbeck.plugins import registry
from limbeck.synthetic.export import write_png
from limbeck.synthetic.importer import guess, import_set

NAMES = ("cat", "dog", "owl")
SPEC = DataSpec("tiny", (3, 4, 4), 3, NAMES, (0.5, 0.4, 0.3), (0.2, 0.25, 0.5), True)
LABELS = torch.arange(3).repeat_interleave(2)
LEARNED = torch.tensor(0.02)


def images(seed=0, spec=SPEC, n=6):
    return torch.randn(n, *spec.shape, generator=torch.Generator().manual_seed(seed))


def dc_file(folder, name="res_DC_tiny_ConvNet_2ipc.pt", sets=None, accuracies=None):
    """Save experiments as the code of DC does: lists, and NumPy's numbers inside."""
    data = [[images(seed), LABELS] for seed in range(2)] if sets is None else sets
    stated = [np.float64(0.25), np.float64(0.75), np.float32(0.5), np.float64(1.0)]
    torch.save({"data": data, "accs_all_exps": {"ConvNet": stated, "MLP": [] if accuracies is None else accuracies}},
               folder / name)  # fmt: skip
    return folder / name


def mtt_folder(folder, which=("100", "best"), labels=LABELS, lr=LEARNED):
    for number, name in enumerate(which):
        torch.save(images(number), folder / f"images_{name}.pt")
        torch.save(labels, folder / f"labels_{name}.pt")
        if lr is not None:
            torch.save(lr, folder / f"lr_{name}.pt")
    return folder


def refused(*arguments, error=LimbeckError, **options):
    with pytest.raises(error) as told:
        import_set(*arguments, **options)
    assert "\n" not in str(told.value)
    return str(told.value)


# DC, DSA and DM


def test_the_last_experiment_is_read_as_its_users_load_it(tmp_path):
    path = dc_file(tmp_path)
    found = import_set(path, "dc", SPEC)
    assert torch.equal(found.normalised(), images(1))
    assert torch.equal(found.labels, LABELS) and torch.equal(found.group, LABELS)
    assert (found.space, found.storage, found.label_kind, found.spec) == ("normalised", "float32", "hard", SPEC)
    assert found.figures == {"published": {"ConvNet": {"mean": 0.75, "std": 0.25, "networks": 2}}}
    assert found.provenance["importer"]["files"] == {path.name: sha256(path.read_bytes())}
    assert (found.provenance["method"], found.provenance["experiment"], found.provenance["experiments"]) == ("DC", 1, 2)


def test_another_experiment_is_read_when_it_is_asked_for(tmp_path):
    path = dc_file(tmp_path)
    found = import_set(path, {"name": "dc", "experiment": 0}, SPEC)
    assert torch.equal(found.normalised(), images(0))
    assert found.figures["published"]["ConvNet"]["mean"] == 0.5
    line = refused(path, {"name": "dc", "experiment": 2}, SPEC, error=UsageError)
    assert "experiments 0 to 1, and experiment=2 was asked for" in line


@pytest.mark.parametrize(
    ("name", "augmentation", "epochs"),
    [
        ("res_DC_CIFAR10_ConvNet_10ipc.pt", None, 301),
        ("res_DSA_CIFAR10_ConvNet_10ipc.pt", "dsa", 1001),
        ("res_DM_CIFAR10_ConvNet_50ipc.pt", "dsa", 1001),
        ("mine.pt", None, 301),
    ],
)
def test_the_recipe_is_that_of_the_method_in_the_name(name, augmentation, epochs, tmp_path):
    recipe = import_set(dc_file(tmp_path, name), "dc", SPEC).recipe
    assert (recipe["augmentation"] or {}).get("name") == augmentation
    assert (recipe["protocol"], recipe["epochs"], recipe["network"]) == ("dc", epochs, "convnet-d2-w128-in")


def test_the_user_has_the_last_word_on_recipe_and_statistics(tmp_path):
    options = {"name": "dc", "augmentation": "none", "mean": [0.1, 0.2, 0.3], "std": [1, 2, 3]}
    found = import_set(
        dc_file(tmp_path, "res_DSA_x_ConvNet_2ipc.pt"), options, SPEC, network="convnet-d1-w4", protocol={"epochs": 7}
    )
    assert (found.recipe["augmentation"], found.recipe["epochs"], found.recipe["network"]) == (None, 8, "convnet-d1-w4")
    assert (found.spec.mean, found.spec.std) == ((0.1, 0.2, 0.3), (1, 2, 3))


@pytest.mark.parametrize(("side", "depth"), [(28, 3), (32, 3), (64, 4), (128, 5), (8, 3), (4, 2)])
def test_the_network_is_as_deep_as_the_field_has_it(side, depth, tmp_path):
    spec = replace(SPEC, shape=(3, side, side))
    found = import_set(dc_file(tmp_path, sets=[[images(0, spec), LABELS]]), "dc", spec)
    assert found.recipe["network"] == f"convnet-d{depth}-w128-in"


CIFAR10 = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))


@pytest.mark.parametrize(
    ("importer", "statistics"),
    [
        ("dc", ((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762))),
        ("datadam", ((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762))),
        ("mtt", CIFAR10),
    ],
)
def test_each_project_normalised_cifar100_with_its_own_numbers(importer, statistics, tmp_path):
    """The field's trap: the same pixels are other numbers in another project's files."""
    spec = replace(SPEC, name="cifar100", mean=(0.1,) * 3, std=(0.9,) * 3)
    pixels = torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    theirs = replace(spec, mean=statistics[0], std=statistics[1])
    if importer == "mtt":
        path = tmp_path
        torch.save(theirs.normalise(pixels), path / "images_best.pt")
        torch.save(LABELS, path / "labels_best.pt")
        options = {"name": "mtt", "zca": False, "lr": 0.01}
    else:
        path, options = dc_file(tmp_path, sets=[[theirs.normalise(pixels), LABELS]]), importer
    found = import_set(path, options, spec)
    assert found.spec == theirs
    assert torch.allclose(found.unit(), pixels, atol=1e-6)


def test_images_of_another_type_and_labels_that_are_whole_are_read(tmp_path):
    for change in (torch.Tensor.double, torch.Tensor.half):
        found = import_set(dc_file(tmp_path, sets=[[change(images()), LABELS.float()]]), "dc", SPEC)
        assert torch.equal(found.images, change(images()).float())
        assert (found.labels.dtype, found.group.dtype) == (torch.int64, torch.int64)
        assert torch.equal(found.labels, LABELS)
    parameters = [[torch.nn.Parameter(images()), LABELS.int()]]
    assert not import_set(dc_file(tmp_path, sets=parameters), "dc", SPEC).images.requires_grad


@pytest.mark.parametrize("content", [[1], {"data": []}, {"data": [1]}, {"data": [[1, 2]]}, {"accs": 1}, torch.zeros(2)])
def test_a_file_that_holds_something_else_says_what_is_expected(content, tmp_path):
    torch.save(content, tmp_path / "x.pt")
    line = refused(tmp_path / "x.pt", "dc", SPEC, error=UsageError)
    assert "expected {'data': [[images, labels], ...]}" in line


@pytest.mark.parametrize("stated", [["many"], [np.float64("nan")], "text", {"a": 1}, [0.5, 0.5, 0.5], None])
def test_accuracies_that_cannot_be_are_left_out(stated, tmp_path):
    found = import_set(dc_file(tmp_path, accuracies=stated), "dc", SPEC)
    assert set(found.figures["published"]) == {"ConvNet"}


# What does not fit the data


@pytest.mark.parametrize(
    ("sets", "pieces"),
    [
        ([images(0, replace(SPEC, shape=(3, 8, 8))), LABELS], ["images [6, 3, 8, 8]", "[n, 3, 4, 4]", "--like"]),
        ([images().permute(0, 2, 3, 1), LABELS], ["[6, 4, 4, 3]", "channels stand last", "permute(0, 3, 1, 2)"]),
        ([images()[:, 0], LABELS], ["images [6, 4, 4]"]),
        ([images()[:0], LABELS[:0]], ["holds no images"]),
        ([images(), LABELS + 1], ["label 3 (image 4)", "'tiny' has classes 0 to 2"]),
        ([images(), LABELS - 1], ["label -1 (image 0)"]),
        ([images(), LABELS.clamp(max=1)], ["images of 2 classes, but 'tiny' has 3"]),
        ([images(), LABELS[:5]], ["labels [5] for 6 images"]),
        ([images(), torch.zeros(6, 4)], ["labels [6, 4] for 6 images", "3 classes"]),
        ([images(), LABELS + 0.5], ["neither whole numbers"]),
        ([torch.full_like(images(), torch.nan), LABELS], ["NaN or infinite pixels in 6 of 6 images"]),
        ([images() / (LABELS != 1)[:, None, None, None], LABELS], ["in 2 of 6", "first in image 2"]),
        ([images(), torch.full((6, 3), torch.nan)], ["NaN or infinite labels"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_takes_one_line(sets, pieces, tmp_path):
    line = refused(dc_file(tmp_path, sets=[sets]), "dc", SPEC)
    assert [piece for piece in pieces if piece not in line] == []


def test_data_must_be_named_and_found(tmp_path):
    assert "--like cifar10" in refused(dc_file(tmp_path), "dc", error=UsageError)
    assert "there is no file or folder" in refused(tmp_path / "absent.pt", "dc", SPEC, error=UsageError)
    assert "unknown importer 'dcc'. Did you mean 'dc'?" in refused(dc_file(tmp_path), "dcc", SPEC)
    assert "Did you mean 'experiment'?" in refused(dc_file(tmp_path), {"name": "dc", "experimnt": 1}, SPEC)


class Payload:
    def __init__(self, proof):
        self.proof = str(proof)

    def __reduce__(self):
        return os.mkdir, (self.proof,)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("importer", ["dc", "datadam", {"name": "mtt", "zca": False, "lr": 0.1}, None])
def test_a_file_with_code_is_refused_and_nothing_is_run(importer, zipped, tmp_path):
    proof, path = tmp_path / "proof", tmp_path / "images_best.pt"
    content = {"data": [[images(), Payload(proof)]], "accs_all_exps": {}}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    torch.save(LABELS, tmp_path / "labels_best.pt")
    line = refused(path, importer or guess_any(path), SPEC)
    assert "refused and nothing in it was run" in line
    assert not proof.exists()
    torch.load(path, weights_only=False)
    assert proof.exists()


def guess_any(path):
    """Ask every importer; what recognises a file runs nothing either."""
    for name in registry().names("importers"):
        registry().load("importers", name)[0].recognises(path)
    return "dc"


# DataDAM


@pytest.mark.parametrize("sets", [None, "pair"])
def test_datadam_is_read_for_networks_with_batch_norm(sets, tmp_path):
    path = dc_file(tmp_path, "res_DataDAM_tiny_ConvNet_2ipc_.pt")
    if sets:
        torch.save({"data": [images(1), LABELS]}, path)
    found = import_set(path, None, SPEC)
    recipe = found.recipe
    assert found.provenance["importer"]["name"] == "datadam"
    assert torch.equal(found.normalised(), images(1))
    assert (recipe["network"], recipe["epochs"], recipe["batch_size"]) == ("convnet-d2-w128-bn", 1801, 64)
    assert recipe["augmentation"]["name"] == "dsa"


# MTT and TESLA


def test_the_best_images_are_read_with_the_rate_that_was_learned(tmp_path):
    found = import_set(mtt_folder(tmp_path), {"name": "mtt", "zca": False}, SPEC)
    assert torch.equal(found.normalised(), images(1))
    assert found.recipe["learned_lr"] == found.recipe["lr"] == pytest.approx(0.02)
    assert (found.recipe["protocol"], found.recipe["augmentation"]["name"]) == ("mtt", "dsa")
    assert set(found.provenance["importer"]["files"]) == {"images_best.pt", "labels_best.pt", "lr_best.pt"}


def test_an_iteration_is_read_by_its_number_or_its_file(tmp_path):
    folder = mtt_folder(tmp_path, ("20", "100", "best"))
    for path, options in ((folder, {"which": "100"}), (folder / "images_100.pt", {})):
        found = import_set(path, {"name": "mtt", "zca": False, **options}, SPEC)
        assert torch.equal(found.normalised(), images(1))
        assert found.provenance["iteration"] == "100"
    for name in ("images_best.pt", "labels_best.pt"):
        (folder / name).unlink()
    latest = import_set(folder, {"name": "mtt", "zca": False}, SPEC)
    assert latest.provenance["iteration"] == "100"  # as a number, 100 comes after 20


def test_the_rate_is_the_users_the_files_or_asked_for(tmp_path):
    folder = mtt_folder(tmp_path, lr=None)
    line = refused(folder, {"name": "mtt", "zca": False}, SPEC, error=UsageError)
    assert "no lr_best.pt" in line and "--set lr=0.02" in line
    assert import_set(folder, {"name": "mtt", "zca": False, "lr": 0.5}, SPEC).recipe["learned_lr"] == 0.5
    for wrong in (torch.tensor(float("nan")), torch.tensor(-0.1), torch.zeros(2), [1], "x"):
        torch.save(wrong, folder / "lr_best.pt")
        assert "holds no learning rate above 0" in refused(folder, {"name": "mtt", "zca": False}, SPEC)
    for right in (0.25, np.float64(0.25), torch.tensor([0.25])):
        torch.save(right, folder / "lr_best.pt")
        assert import_set(folder, {"name": "mtt", "zca": False}, SPEC).recipe["learned_lr"] == 0.25


def test_soft_labels_are_probabilities_or_logits(tmp_path):
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    for labels, kind in ((logits, "logits"), (logits.softmax(1), "probabilities")):
        found = import_set(mtt_folder(tmp_path, labels=labels), {"name": "mtt", "zca": False}, SPEC)
        assert found.label_kind == kind
        assert torch.equal(found.labels, labels)
        assert torch.equal(found.group, labels.argmax(1))


def test_whether_images_were_whitened_must_be_said(tmp_path):
    line = refused(mtt_folder(tmp_path), "mtt", SPEC, error=UsageError)
    assert "--set zca=true" in line and "--set zca=false" in line
    line = refused(tmp_path, {"name": "mtt", "zca": True}, SPEC, error=UsageError)
    assert "preprocessing=zca" in line


def test_whitened_images_are_kept_whitened(tmp_path):
    pixels = torch.randint(0, 256, (60, 1, 3, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = load_dataset((pixels, torch.arange(3).repeat(20)), preprocessing="zca")
    unit = pixels[:6].float() / 255
    torch.save(data.spec.normalise(unit), tmp_path / "images_best.pt")
    torch.save(LABELS, tmp_path / "labels_best.pt")
    found = import_set(tmp_path, {"name": "mtt", "zca": True, "lr": 0.1}, data.spec)
    assert found.spec == data.spec
    assert torch.allclose(found.unit(), unit, atol=1e-4)
    back = import_set(write_png(found, tmp_path / "png"))
    assert back.spec == data.spec
    assert torch.equal(back.stored_images(), pixels[:6])


@pytest.mark.parametrize("name", ["images_zca_100.pt", "images.pt", "other.pt"])
def test_files_that_are_not_the_set_say_which_are(name, tmp_path):
    torch.save(images(), tmp_path / name)
    options = {"name": "mtt", "zca": False, "lr": 1}
    assert "images_N.pt or images_best.pt" in refused(tmp_path / name, options, SPEC, error=UsageError)
    assert "found: no images_N.pt" in refused(tmp_path, options, SPEC, error=UsageError)
    mtt_folder(tmp_path)
    assert "has no images_7.pt; found: images_100.pt, images_best.pt" in refused(
        tmp_path, {**options, "which": "7"}, SPEC
    )


# Whose it is


def test_a_set_is_recognised_where_only_one_importer_knows_it(tmp_path):
    assert guess(dc_file(tmp_path)) == "dc"
    assert guess(dc_file(tmp_path, "res_DataDAM_x_ConvNet_1ipc_.pt")) == "datadam"
    (tmp_path / "mtt").mkdir()
    assert guess(mtt_folder(tmp_path / "mtt")) == guess(tmp_path / "mtt" / "images_100.pt") == "mtt"
    assert guess(dc_file(tmp_path, "any.pt")) == "dc"


def test_what_nobody_or_several_recognise_must_be_named(tmp_path):
    torch.save([1], tmp_path / "x.pt")
    with pytest.raises(UsageError, match=r"no set that an importer knows.*--from: datadam, dc, mtt, png"):
        guess(tmp_path / "x.pt")
    folder = tmp_path / "both"
    folder.mkdir()
    mtt_folder(folder, ("best",))
    torch.save({"data": [1], "accs_all_exps": {}}, folder / "images_best.pt")
    with pytest.raises(UsageError, match=r"several projects.*--from: dc, mtt\."):
        guess(folder / "images_best.pt")


# Use


def test_a_published_file_is_evaluated(tmp_path):
    """From the format on disk to accuracies, on real data."""
    data = load_dataset("digits")
    chance = torch.Generator().manual_seed(0)
    index = torch.cat([data.train.sample(label, 10, chance) for label in range(10)])
    pair = [data.train.take(index), data.train.labels[index]]
    path = dc_file(tmp_path, sets=[pair], accuracies=[np.float64(0.5)])
    found = import_set(path, None, data.spec, network="convnet-d1-w8-in", protocol={"epochs": 30, "lr": 0.05})
    row = evaluate(found.save(tmp_path / "set"), networks=1, device="cpu")
    assert row.mean > 0.4
    assert (row.protocol, row.images) == ("dc", 100)
