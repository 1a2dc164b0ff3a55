"""The one way in for real data: tensors, torch Datasets, names, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from limbeck.data import DataSet, DataSpec, RawData, channel_statistics, default_root, load_dataset
from limbeck.errors import DataError, UnknownNameError, UsageError


class Items:
    """A torch Dataset is anything with a length and items."""

    def __init__(self, items, classes=None):
        self.items = items
        if classes:
            self.classes = classes

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def images(n, shape=(1, 6, 6), seed=0):
    return torch.randint(256, (n, *shape), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def pair(n=50, classes=5):
    return images(n), torch.arange(n) % classes


def test_a_fifth_of_every_class_becomes_the_test_part():
    data = load_dataset(pair())
    assert data.train.group_sizes == [8] * 5 and data.test.group_sizes == [2] * 5
    everything = torch.cat([data.train.images, data.test.images]).flatten(1)
    assert len(everything.unique(dim=0)) == 50


def test_the_seed_alone_decides_the_split():
    first, again, other = (load_dataset(pair(), seed=seed).test.digest() for seed in (0, 0, 1))
    assert first == again != other


def test_loading_leaves_the_global_generators_alone():
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    load_dataset(pair(), max_per_class=2)
    assert torch.equal(before, torch.get_rng_state())
    assert (numpy_before == np.random.get_state()[1]).all()  # noqa: NPY002


def test_a_pair_of_parts_is_training_and_test():
    data = load_dataset((pair(20), pair(10)))
    assert (len(data.train), len(data.test)) == (20, 10)
    assert torch.equal(data.test.images, images(10))


@pytest.mark.parametrize("convert", [
    Image.fromarray,
    lambda array: array,
    lambda array: torch.from_numpy(array).unsqueeze(0),
    lambda array: torch.from_numpy(array).unsqueeze(0).float() / 255,
])  # fmt: skip
def test_a_dataset_of_any_usual_image_is_read_once_into_bytes(convert):
    pixels, labels = pair(10, 2)
    source = Items([(convert(image[0].numpy()), int(label)) for image, label in zip(pixels, labels, strict=True)])
    data = load_dataset((source, source))
    assert torch.equal(data.train.images, pixels) and torch.equal(data.test.labels, labels)


def test_colour_arrays_and_pil_images_become_channels_first():
    array = images(4, (6, 7, 3)).numpy()
    for convert in (Image.fromarray, lambda one: one):
        source = Items([(convert(one), index % 2) for index, one in enumerate(array)])
        data = load_dataset((source, source))
        assert torch.equal(data.train.images, torch.from_numpy(array).permute(0, 3, 1, 2))
        assert data.spec.shape == (3, 6, 7)


def test_grey_tensors_without_a_channel_axis_get_one():
    assert load_dataset((images(10)[:, 0], torch.arange(10) % 2)).spec.shape == (1, 6, 6)


def test_class_names_come_from_the_dataset():
    source = Items([(one, index % 2) for index, one in enumerate(images(10))], classes=["cat", "dog"])
    assert load_dataset(source).spec.class_names == ("cat", "dog")
    assert load_dataset(pair(50, 5)).spec.class_names == ("0", "1", "2", "3", "4")


def test_statistics_are_those_of_the_training_part():
    spec = load_dataset((pair(50), pair(10))).spec
    train = images(50).double() / 255
    assert spec.mean[0] == pytest.approx(train.mean().item(), abs=1e-6)
    assert spec.std[0] == pytest.approx(train.std(correction=0).item(), abs=1e-6)


def test_a_constant_channel_normalises_to_zero():
    mean, std = channel_statistics(torch.full((3, 1, 2, 2), 51, dtype=torch.uint8))
    assert mean == (0.2,) and std == (1.0,)


def test_max_per_class_keeps_a_seeded_part_of_the_training_images():
    whole = load_dataset(pair())
    few, again, other = (load_dataset(pair(), max_per_class=3, seed=seed) for seed in (0, 0, 1))
    assert few.train.group_sizes == [3] * 5 and few.test.digest() == whole.test.digest()
    assert few.train.digest() == again.train.digest() != other.train.digest()
    kept = {tuple(image) for image in few.train.images.flatten(1).tolist()}
    assert kept < {tuple(image) for image in whole.train.images.flatten(1).tolist()}
    assert load_dataset(pair(), max_per_class=99).train.digest() == whole.train.digest()
    assert load_dataset(whole, max_per_class=3).train.digest() == few.train.digest()


def test_what_is_ready_stays_as_it_is():
    ready = load_dataset(pair())
    assert isinstance(ready, DataSet) and load_dataset(ready).train is ready.train


def test_raw_data_brings_its_own_description():
    spec = DataSpec("mine", (1, 6, 6), 2, ("x", "y"), (0.1,), (0.2,), mirror=False)
    pixels, labels = pair(10, 2)
    assert load_dataset(RawData(spec, pixels, labels, pixels, labels)).spec == spec


def test_names_are_looked_up_and_misspellings_answered():
    assert load_dataset("digits").spec.name == "digits"
    with pytest.raises(UnknownNameError, match="Did you mean 'digits'"):
        load_dataset("digts")


def test_the_data_folder_is_the_argument_then_the_variable_then_data(monkeypatch, tmp_path):
    monkeypatch.setenv("LIMBECK_DATA", str(tmp_path / "variable"))
    assert default_root() == tmp_path / "variable"
    with pytest.raises(DataError, match="variable"):
        load_dataset("mnist")
    with pytest.raises(DataError, match="argument"):
        load_dataset("mnist", data_root=tmp_path / "argument")
    monkeypatch.delenv("LIMBECK_DATA")
    assert str(default_root()) == "data"


def test_missing_files_say_where_and_what_to_type(tmp_path):
    with pytest.raises(DataError) as caught:
        load_dataset("cifar10", data_root=tmp_path)
    for part in (str(tmp_path), "--data-root", "LIMBECK_DATA", "--download"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([(torch.zeros(1, 6, 6), 0), (torch.zeros(1, 6, 7), 1)], "image 1 is 1x6x7 .* but image 0 is 1x6x6"),
        ([(torch.zeros(1, 6, 6), 0), (torch.zeros(3, 6, 6), 1)], "image 1 is 3x6x6"),
        ([(Image.new("L", (6, 6)), 0), (Image.new("RGB", (6, 6)), 1)], "image 1 is 3x6x6"),
        ([(Image.new("I;16", (6, 6)), 0)], "PIL mode I;16"),
        ([(torch.zeros(1, 6, 6), "dog")], "label 0 is 'dog'"),
        ([(torch.zeros(1, 6, 6), 0.5)], "label 0 is 0.5"),
        ([torch.zeros(1, 6, 6)], "item 0 of the Dataset is a Tensor"),
        ([], "the Dataset is empty"),
    ],
)
def test_a_dataset_that_cannot_be_used_is_refused(items, message):
    with pytest.raises(DataError, match=message):
        load_dataset(Items(items))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((images(10), torch.ones(10).long()), r"class 0 \('0'\) of 'custom' has no training images"),
        ((images(9), torch.tensor([0, 2, 5] * 3)), r"class 1 \('1'\), 3 \('3'\), 4 \('4'\)"),
        (([torch.zeros(1, 6, 6), torch.zeros(1, 6, 7)], [0, 1]), "sizes are mixed"),
        ((images(3), ["a", "b", "c"]), "labels given as list"),
        ((images(3), torch.zeros(2).long()), "3 images need 3 labels"),
        (
            ((images(10), torch.arange(10) % 2), (images(4, (1, 5, 5)), torch.arange(4) % 2)),
            "images of 'custom'",
        ),
        (7, "data is a int; give a registered name"),
    ],
)
def test_tensors_that_cannot_be_used_are_refused(data, message):
    with pytest.raises(DataError, match=message):
        load_dataset(data)


def test_max_per_class_is_at_least_one():
    with pytest.raises(UsageError, match="max_per_class' is 0"):
        load_dataset(pair(), max_per_class=0)


def test_a_class_may_be_missing_from_the_test_part_only():
    data = load_dataset((pair(10, 5), (images(2), torch.zeros(2).long())))
    assert data.test.group_sizes == [2, 0, 0, 0, 0]


def test_lists_of_tensors_and_arrays_are_taken():
    listed = load_dataset((list(images(10)), [0, 1] * 5))
    assert listed.train.group_sizes == [4, 4]
    assert load_dataset((images(10).numpy(), np.arange(10) % 2)).train.group_sizes == [4, 4]
