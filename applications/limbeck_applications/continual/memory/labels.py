"""Which labels a memory can keep: a class for each image, or probabilities of the experience's classes."""

from __future__ import annotations

from limbeck.config import RunConfig
from limbeck.errors import UsageError
from limbeck.plugins import registry
from limbeck.synthetic import LabelProjector, SyntheticSet

STATE = "label_projectors."
"""Prefix of a label projector's tensors among those that travel with a set."""


def projector_of(config: RunConfig) -> LabelProjector:
    """Return the label projector of a run that makes a piece.

    Raises:
        UsageError: its labels are not kept with the images, but given by a network, or for each augmented view.
    """
    projector: LabelProjector = registry().create("label_projectors", config.labels.model_dump())
    if projector.labels_any_image or projector.labels_views:
        raise _refused(config.labels.name)
    return projector


def check_kept(made: SyntheticSet) -> SyntheticSet:
    """Return a finished set, whose labels are all that a student needs.

    Raises:
        UsageError: its label projector has tensors of its own, which no memory hands to a student.
    """
    travelling = [name for name in made.component_state if name.startswith(STATE)]
    if travelling:
        raise _refused(travelling[0].removeprefix(STATE).split(".")[0])
    return made


def _refused(name: str) -> UsageError:
    return UsageError(
        f"a memory keeps a class or probabilities with each image, but labels '{name}' need more than that to be given "
        "to a student. Take the memory with labels.name=hard, or labels.name=learned."
    )
