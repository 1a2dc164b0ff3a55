"""Parts of a data set: classes, long tails, and where a run's data can be found again."""

from __future__ import annotations

import pytest
import torch

from limbeck.config import DataSection
from limbeck.data import load_dataset
from limbeck.data.views import _long_tail
from limbeck.errors import UnknownNameError, UsageError

LONG_TAILED_CIFAR10 = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
"""Images of each class at imbalance 100, as papers on long tails list them."""


def test_a_long_tail_has_the_published_sizes():
    labels = torch.arange(10).repeat_interleave(5000)
    assert _long_tail(labels, 100) == LONG_TAILED_CIFAR10


def test_imbalance_thins_the_training_part_only():
    whole, tailed = load_dataset("digits"), load_dataset("digits", imbalance=20, seed=3)
    sizes = tailed.train.group_sizes
    assert sizes[0] == whole.train.group_sizes[0] and sizes == sorted(sizes, reverse=True)
    assert sizes[0] / sizes[-1] == pytest.approx(20, rel=0.1)
    assert torch.equal(tailed.test.images, whole.test.images)
    again = load_dataset("digits", imbalance=20, seed=3)
    other = load_dataset("digits", imbalance=20, seed=4)
    assert torch.equal(again.train.images, tailed.train.images)
    assert not torch.equal(other.train.images, tailed.train.images)


def test_chosen_classes_are_numbered_anew_in_the_order_given():
    whole, part = load_dataset("digits"), load_dataset("digits", classes=[7, "2"])
    assert part.spec.class_names == ("7", "2") and part.spec.num_classes == 2
    for real, chosen in ((whole.train, part.train), (whole.test, part.test)):
        torch.testing.assert_close(chosen.images[chosen.labels == 0], real.images[real.labels == 7])
        torch.testing.assert_close(chosen.images[chosen.labels == 1], real.images[real.labels == 2])


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([1, 1], r"'data.classes' is .*names class 1 twice"),
        (["3", 3], r"class 3 \('3'\) of 'digits' is named twice"),
        ([0, 10], "class 10 was asked for, but 'digits' has classes 0 to 9"),
        ([4], "needs 2 classes or more"),
    ],
)
def test_classes_that_cannot_be_chosen_are_refused(classes, message):
    with pytest.raises(UsageError, match=message):
        load_dataset("digits", classes=classes)


class Pets:
    """A torch Dataset whose classes have names."""

    classes = ("cat", "dog")

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.zeros(1, 4, 4), index % 2


def test_a_misspelt_class_names_the_closest():
    with pytest.raises(UnknownNameError, match="Did you mean 'cat'"):
        load_dataset((Pets(), Pets()), classes=["cet", "dog"])


def test_settings_of_a_view_are_understood_beside_a_name():
    part = load_dataset({"name": "digits", "classes": [0, 1], "max_per_class": 5})
    assert part.train.group_sizes == [5, 5]


def test_a_section_says_where_its_images_are():
    section = DataSection.model_validate({"name": "folder", "path": "x", "classes": ["a", "b"], "batch_real": 8})
    assert section.source() == {"name": "folder", "path": "x", "classes": ["a", "b"]}
    assert section.options() == {"path": "x"}
    assert DataSection.model_validate(section.source()).source() == section.source()


def test_a_whitened_subset_is_distilled_and_measured_again_by_its_name(limbeck, tiny, no_report):
    view = ("--set", "data.classes=[3, 5, 8]", "--set", "data.preprocessing=zca")
    status, _, err = limbeck(*tiny, *view, "--networks", 1)
    assert status == 0, err
    limbeck.forget()
    status, _, err = limbeck("evaluate", "run", "--networks", 1, "--no-baselines")
    assert status == 0, err
    status, _, err = limbeck("evaluate", "run", "--networks", 1, "--no-baselines", "--data", "digits")
    assert status == 2 and "3 classes" in err


def test_a_misspelt_data_option_names_the_closest(refused, tiny):
    status, err = refused(*tiny, "--set", "data.clases=[1,2]")
    assert status == 2 and "unknown option 'data.clases'. Did you mean 'classes'?" in err
