"""Starting from another set: the same images, or one line that says why not."""

from __future__ import annotations

import pytest
import torch

from limbeck.configure import configure
from limbeck.data import load_dataset
from limbeck.distillation.start import starting_images
from limbeck.errors import UsageError
from limbeck.seeding import Generators
from limbeck.synthetic import SyntheticSet


def start(folder, ipc):
    settings = {"ipc": ipc, "init": {"from": "file", "path": str(folder)}}
    config = configure("dm", profile="small", settings=settings)
    return starting_images(config, load_dataset("digits").train, Generators(0))


@pytest.fixture
def folder(tmp_path):
    real = load_dataset("digits").train
    index = torch.cat([real.members(group)[:2] for group in (3, 0, 1, 2, 4, 5, 6, 7, 8, 9)])
    images, labels = real.take(index), real.labels[index]
    return SyntheticSet(images=images, labels=labels, group=labels, spec=real.spec).save(tmp_path)


def test_a_run_starts_from_a_stored_set_in_order_of_its_groups(folder):
    images, labels, group = start(folder, 2)
    stored = SyntheticSet.load(folder)
    assert group.tolist() == sorted(stored.group.tolist()) == labels.tolist()
    assert torch.equal(images[:2], stored.images[stored.group == 0])


def test_another_number_of_images_is_refused_with_the_one_that_fits(folder):
    with pytest.raises(UsageError, match=r"groups of up to 2 images.*Type --ipc 2"):
        start(folder, 3)


@pytest.mark.parametrize(("made", "asked"), [("tiles", "identity"), ("identity", "tiles")])
def test_a_set_for_another_formation_is_refused_with_what_to_type(made, asked, folder):
    stored = SyntheticSet.load(folder)
    stored.with_(recipe={"formation": {"name": made}}).save(folder)
    settings = {"ipc": 2, "init": {"from": "file", "path": str(folder)}, "formation": asked}
    config = configure("dm", profile="small", settings=settings)
    with pytest.raises(UsageError, match=rf"'{made}', and the run has '{asked}'.*--set formation={made}"):
        starting_images(config, load_dataset("digits").train, Generators(0))
