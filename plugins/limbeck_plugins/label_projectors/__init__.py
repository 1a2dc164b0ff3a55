"""The label projectors that ship: what gives the labels a student trains with."""

from __future__ import annotations

from limbeck import hookimpl
from limbeck.hookspecs import Register


@hookimpl
def register_label_projectors(register: Register) -> None:
    """Offer labels stored with the set, labels learned with it, and a teacher's, given online or kept."""
    register(
        "hard",
        "limbeck_plugins.label_projectors.hard:HardLabels",
        summary="the labels stored with the set",
    )
    register(
        "teacher",
        "limbeck_plugins.label_projectors.teacher:TeacherLabels",
        summary="soft labels of a network trained on the real images, given online for each augmented batch",
        paper="arXiv:1503.02531",
    )
    register(
        "learned",
        "limbeck_plugins.label_projectors.learned:LearnedLabels",
        summary="soft labels that are learned together with the images",
        paper="arXiv:1910.02551",
    )
    register(
        "stored",
        "limbeck_plugins.label_projectors.stored:StoredLabels",
        summary="a teacher's soft labels, kept with the augmented views they belong to",
        paper="arXiv:2112.01528",
    )
