"""What a formation promises: a differentiable map that keeps images, labels and groups together."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from limbeck.synthetic import Formation
from limbeck.synthetic.formation import Phase
from limbeck.testing.cases import CLASSES, SPEC, normal, require_slope
from limbeck.testing.randomness import require_same_twice, same_bits
from limbeck.testing.suite import NotApplicable, Subject, require

BASE = Formation
PHASES: tuple[Phase, ...] = get_args(Phase)
PER_GROUP = 2


def _stored(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Return stored images [6, ch, h, w] and their groups [6], which are their labels."""
    group = torch.arange(CLASSES).repeat_interleave(PER_GROUP)
    return normal(len(group), *SPEC.shape, dtype=dtype), group


def groups_stay_together(subject: Subject) -> None:
    """Images of a group stay together, in the order of the groups."""
    for phase in PHASES:
        images, group = _stored()
        training, labels, groups = subject.make().expand(images, group, group, phase)
        found = torch.unique_consecutive(groups)
        require(found.tolist() == list(range(CLASSES)), f"in phase '{phase}' the groups come as {groups.tolist()}")
        require(
            len(training) == len(labels) == len(groups),
            f"in phase '{phase}' images, labels and groups differ in number",
        )
        require(
            training.ndim == 4 and training.shape[1] == SPEC.shape[0], f"training images are {list(training.shape)}"
        )
        require(bool(training.isfinite().all()), "training images hold infinite or NaN numbers")


def labels_follow_their_images(subject: Subject) -> None:
    """Labels go where their images go, class ids and probabilities alike."""
    for phase in PHASES:
        images, group = _stored()
        training, hard, groups = subject.make().expand(images, group, group, phase)
        require(torch.equal(hard, groups), f"in phase '{phase}' labels equal to the groups become {hard.tolist()}")
        soft = subject.make().expand(images, one_hot(group, CLASSES).to(images.dtype), group, phase)[1]
        require(soft.shape == (len(training), CLASSES), f"probabilities become {list(soft.shape)}")
        require(torch.equal(soft.argmax(1), groups), f"in phase '{phase}' probabilities leave their images")


def stored_types_stay(subject: Subject) -> None:
    """Training images have the type of the stored ones."""
    for dtype in (torch.float32, torch.float64):
        images, group = _stored(dtype)
        training = subject.make().expand(images, group, group, "match")[0]
        require(training.dtype == dtype, f"{dtype} becomes {training.dtype}")


def gradient_is_the_slope(subject: Subject) -> None:
    """Its gradient equals finite differences, at images and at its own parameters."""
    images, group = _stored()
    formation: Formation = subject.make()
    weights = normal(*formation.expand(images, group, group, "match")[0].shape, owner="weights")

    def weighted(stored: Tensor) -> Tensor:
        training, _, _ = formation.expand(stored, group, group, "match")
        return torch.sum(training * weights)

    leaf = images.clone().requires_grad_()
    value = weighted(leaf)
    require(value.requires_grad, "no gradient reaches the stored images")
    own = {name: tensor for name, tensor in formation.parameters().items() if tensor.requires_grad}
    slopes = torch.autograd.grad(value, [leaf, *own.values()], allow_unused=True, materialize_grads=True)
    require(bool(slopes[0].any()), "no gradient reaches the stored images")
    require_slope(weighted, leaf, slopes[0])
    for tensor, slope in zip(own.values(), slopes[1:], strict=True):
        _require_slope_at(tensor, slope, lambda: weighted(images))


def _require_slope_at(parameter: Tensor, slope: Tensor, compute: Callable[[], Tensor]) -> None:
    """Require a parameter's gradient to be the slope; in single precision only a wrong sign or size is seen."""
    kept = parameter.detach().clone()
    step = 1e-3 * torch.sign(slope)
    with torch.no_grad():
        values = []
        for sign in (1, -1):
            parameter.copy_(kept + sign * step)
            values.append(float(compute()))
        parameter.copy_(kept)
    found, claimed = (values[0] - values[1]) / 2, float((slope * step).sum())
    require(
        abs(found - claimed) <= 0.05 * abs(claimed) + 1e-6,
        f"a parameter's gradient says {claimed:.4g}, not {found:.4g}",
    )


def starts_from_real_images(subject: Subject) -> None:
    """Each stored image is composed of as many real ones as it starts from, and of no others."""
    formation: Formation = subject.make().for_data(SPEC)
    count, each = PER_GROUP * CLASSES, formation.starts_from
    require(each >= 1, f"starts_from is {each}")
    for dtype in (torch.float32, torch.float64):
        real = normal(count, each, *SPEC.shape, dtype=dtype)
        stored = formation.compose(real)
        require(
            stored.shape == (count, *SPEC.shape) and stored.dtype == dtype,
            f"{dtype} {list(real.shape)} becomes {stored.dtype} {list(stored.shape)}",
        )
        for row in range(count):
            require(
                torch.equal(formation.compose(real[row : row + 1])[0], stored[row]),
                "a stored image composed alone is another than among others",
            )


def is_deterministic(subject: Subject) -> None:
    """The same stored images give the same training images."""
    images, group = _stored()
    require_same_twice(lambda: [subject.make().expand(images, group, group, phase)[0] for phase in PHASES])


def state_survives_the_artifact(subject: Subject) -> None:
    """Its learned tensors come back from a stored set, bit for bit."""
    images, group = _stored()
    first, second = subject.make(), subject.make()
    if not first.parameters():
        raise NotApplicable("it has none")
    with torch.no_grad():
        for tensor in first.parameters().values():
            tensor += 0.1
    second.load_state_dict({name: tensor.detach().clone() for name, tensor in first.parameters().items()})
    one, other = (formation.expand(images, group, group, "evaluate")[0] for formation in (first, second))
    require(same_bits(one.detach(), other.detach()), "training images differ after load_state_dict")


CHECKS = (
    groups_stay_together,
    labels_follow_their_images,
    stored_types_stay,
    gradient_is_the_slope,
    starts_from_real_images,
    is_deterministic,
    state_survives_the_artifact,
)
