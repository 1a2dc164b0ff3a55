"""What a selector promises: the right number of images of every group, chosen by its generator alone."""

from __future__ import annotations

import torch

from limbeck.data.selector import Selection, Selector
from limbeck.errors import DataError
from limbeck.seeding import generator
from limbeck.testing.cases import CLASSES, tiny_data
from limbeck.testing.general import names_its_source
from limbeck.testing.randomness import require_same_twice
from limbeck.testing.suite import NotApplicable, Subject, require

BASE = Selector
IPC = 3


def _select(subject: Subject, ipc: int = IPC) -> Selection:
    selector: Selector = subject.make()
    return selector.select(tiny_data(), ipc, generator(0, "tiny", "data"))


def picks_the_right_number(subject: Subject) -> None:
    """It picks ipc images of every group, groups in order."""
    for ipc in (1, IPC):
        found = _select(subject, ipc)
        expected = torch.arange(CLASSES).repeat_interleave(ipc)
        require(torch.equal(found.group, expected), f"at ipc {ipc} the groups are {found.group.tolist()}")
        require(len(found.images) == len(found.labels) == len(expected), "images, labels and groups differ in number")
        require(bool(found.images.isfinite().all()), "images hold infinite or NaN numbers")
        hard = found.labels if found.labels.ndim == 1 else found.labels.argmax(1)
        require(torch.equal(hard, expected), f"at ipc {ipc} the labels are {hard.tolist()}")


def picks_real_images_once(subject: Subject) -> None:
    """What it says it picked is what it picked, and no image twice."""
    real, found = tiny_data(), _select(subject)
    if found.index is None:
        raise NotApplicable("its images are no copies of real ones")
    require(len(set(found.index.tolist())) == len(found.index), f"the indices {found.index.tolist()} repeat")
    require(torch.equal(real.group[found.index], found.group), "some images are of another group")
    require(torch.equal(real.take(found.index), found.images), "the images are not those at the indices")


def refuses_more_than_there_are(subject: Subject) -> None:
    """More images than a group has are refused in one line."""
    if _select(subject, 1).index is None:
        raise NotApplicable("its images are no copies of real ones")
    try:
        _select(subject, 10**3)
    except DataError as error:
        require("\n" not in str(error), "the message has several lines")
        return
    require(False, "nothing is raised; call check_sizes(real, ipc)")


def is_deterministic(subject: Subject) -> None:
    """The same generator seed gives the same images."""
    require_same_twice(lambda: _select(subject).images)


CHECKS = (
    names_its_source,
    picks_the_right_number,
    picks_real_images_once,
    refuses_more_than_there_are,
    is_deterministic,
)
