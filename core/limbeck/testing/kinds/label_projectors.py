"""What a label projector promises: labels a student can train with, that come back from a stored set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from limbeck.augment import Augmentation, Draw
from limbeck.data import RealData
from limbeck.networks import State, build_network
from limbeck.seeding import generator
from limbeck.synthetic import LabelProjector, ProjectorContext
from limbeck.testing.cases import CLASSES, SPEC, normal, tiny_data, tiny_network
from limbeck.testing.randomness import require_same_twice, same_bits
from limbeck.testing.suite import NotApplicable, Subject, require

BASE = LabelProjector
COUNT = 6
KINDS = ("hard", "probabilities", "logits")


class _Brighter(Augmentation):
    """What students train with here: every image a little brighter."""

    name = "brighter"

    def draw(self, rows: int, generator: torch.Generator, *, one_op: bool = False) -> Draw:
        return Draw(torch.zeros(rows, dtype=torch.int64), torch.rand(rows, 1, generator=generator))

    def apply(self, images: Tensor, draw: Draw) -> Tensor:
        return images + draw.u[..., None, None]


def _teachers() -> Iterator[State]:
    network = tiny_network()
    return (network.initial(generator(seed, "tiny", "teacher")) for seed in range(2))


def _images() -> Tensor:
    return normal(COUNT, *SPEC.shape, dtype=torch.float32)


def _stored(kind: str) -> Tensor:
    hard = torch.arange(COUNT) % CLASSES
    logits = 3 * one_hot(hard, CLASSES).float()
    return {"hard": hard, "probabilities": logits.softmax(1), "logits": logits}[kind]


def _prepared(subject: Subject, kind: str = "hard", state: dict[str, Tensor] | None = None) -> Any:
    """Return the projector ready for students; with a state, as where only the stored set is at hand."""
    real: RealData | None = tiny_data() if state is None else None
    projector: LabelProjector = subject.make()
    if state is not None:
        projector.load_state_dict(state)
    context = ProjectorContext(
        real=real,
        spec=SPEC,
        network=lambda name: tiny_network() if name is None else build_network(name, SPEC),
        seed=0,
        device=torch.device("cpu"),
        labels=_stored(kind),
        label_kind=kind,
        augmentation=_Brighter(),
        images=_images(),
        stored=torch.arange(COUNT),
        teachers=_teachers if state is None else None,
    )
    projector.prepare(context)
    if state is None:
        projector.finish(context)
    return projector


def _labels(projector: LabelProjector) -> Tensor:
    images, index = _images(), torch.arange(COUNT)
    draw = projector.plan(index, 1, generator(0, "tiny", "augment"))
    if draw is not None and len(draw.u) in (1, COUNT):
        images = _Brighter().apply(images, draw)
    return projector.labels(images, index, 1, draw)


def labels_are_labels(subject: Subject) -> None:
    """Labels are class ids, or probabilities that sum to 1."""
    for kind in KINDS:
        labels = _labels(_prepared(subject, kind)).detach()
        if labels.ndim == 1:
            require(labels.dtype == torch.int64 and len(labels) == COUNT, f"from {kind} labels come {labels.dtype}")
            require(bool(((labels >= 0) & (labels < CLASSES)).all()), f"from {kind} labels come {labels.tolist()}")
            continue
        require(labels.shape == (COUNT, CLASSES), f"from {kind} labels come {list(labels.shape)}")
        rows = labels.sum(1)
        inside = bool((labels >= 0).all()) and torch.allclose(rows, torch.ones_like(rows), atol=1e-5)
        require(inside, f"from {kind} labels come rows that sum to {rows.tolist()}, or negative numbers")


def follows_the_index(subject: Subject) -> None:
    """The label of a sample belongs to the stored image it was formed from."""
    projector = _prepared(subject)
    images, order = _images(), torch.tensor([4, 0, 5, 1, 3, 2])
    if projector.plan(order, 1, generator(0, "tiny", "augment")) is not None:
        raise NotApplicable("its labels belong to particular views")
    whole = projector.labels(images, torch.arange(COUNT), 1, None)
    require(torch.allclose(projector.labels(images[order], order, 1, None), whole[order], atol=1e-5), "they do not")


def plans_fit_the_batch(subject: Subject) -> None:
    """The augmentation it dictates has a row for each sample, or one for all."""
    found = _prepared(subject).plan(torch.arange(COUNT), 0, generator(0, "tiny", "augment"))
    if found is None:
        raise NotApplicable("it leaves the augmentation to the trainer")
    require(isinstance(found, Draw) and len(found.op) in (1, COUNT), f"{len(found.op)} rows for {COUNT} samples")


def bytes_are_counted(subject: Subject) -> None:
    """Its bytes count what it adds to the set."""
    projector = _prepared(subject)
    size, state = projector.bytes(), projector.state_dict()
    require(isinstance(size, int) and size >= 0, f"bytes() is {size!r}")
    require(bool(size) == bool(state), f"bytes() is {size}, and {len(state)} tensors travel with the set")


def learned_labels_learn(subject: Subject) -> None:
    """Its parameters get a gradient from the labels."""
    projector = _prepared(subject)
    parameters = projector.parameters()
    if not parameters:
        raise NotApplicable("it has none")
    loss = (_labels(projector) * normal(COUNT, CLASSES, owner="weights", dtype=torch.float32)).sum()
    for name, gradient in zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True):
        require(bool(gradient.isfinite().all()) and bool(gradient.any()), f"that of '{name}' is zero or not finite")


def leaves_its_labels(subject: Subject) -> None:
    """Labels that it leaves the set are those it gave."""
    projector = _prepared(subject)
    left = projector.final_labels()
    if left is None:
        raise NotApplicable("it has none")
    labels, kind = left
    require(kind in KINDS, f"their kind is {kind!r}, which is none of {', '.join(KINDS)}")
    given = _labels(projector).detach()
    same = labels.shape == given.shape and torch.allclose(labels.to(given.dtype), given, atol=1e-5)
    require(same, "they are others")


def is_deterministic(subject: Subject) -> None:
    """The same seed gives the same labels."""
    require_same_twice(lambda: _labels(_prepared(subject)).detach())


def state_survives_the_artifact(subject: Subject) -> None:
    """A stored set alone gives the same labels, bit for bit."""
    projector = _prepared(subject)
    state = {name: tensor.detach().clone() for name, tensor in projector.state_dict().items()}
    other = _prepared(subject, state=state)
    require(same_bits(_labels(projector).detach(), _labels(other).detach()), "they differ after load_state_dict")


CHECKS = (
    labels_are_labels,
    follows_the_index,
    plans_fit_the_batch,
    bytes_are_counted,
    learned_labels_learn,
    leaves_its_labels,
    is_deterministic,
    state_survives_the_artifact,
)
