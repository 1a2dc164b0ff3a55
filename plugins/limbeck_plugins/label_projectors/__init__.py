"""The label projectors that ship: what gives the labels a student trains with."""

from __future__ import annotations

from limbeck import hookimpl
from limbeck.hookspecs import Register


@hookimpl
def register_label_projectors(register: Register) -> None:
    """Offer the labels stored with the set, and those of a teacher that sees what the student sees."""
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
