"""Whether trainings can advance together, and how many of them at once."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from limbeck.errors import UsageError
from limbeck.networks.functional import FunctionalNetwork, State
from limbeck.seeding import generator
from limbeck.training.losses import Objective
from limbeck.training.single import Training
from limbeck.training.stacked import stacked_losses

BLOCK = 256 << 20
"""Bytes of the largest activation of a pass over several networks; all activations of a pass are about ten times it."""


def groups(members: Mapping[int, Training]) -> list[list[int]]:
    """Return which of some trainings advance together: those at one update, as many as memory has room for.

    Args:
        members: trainings by position, of equal settings and as much data.
    """
    lead = next(iter(members.values()))
    images = min(lead.settings.batch_size, len(lead.task.data))
    most = max(2, BLOCK // (images * lead.network.largest_activation())) if len(members) > 1 else 1
    level: dict[int, list[int]] = {}
    for position, training in members.items():
        level.setdefault(training.step, []).append(position)
    return [each[begin : begin + most] for each in level.values() for begin in range(0, len(each), most)]


def is_worth_trying(asked: bool | None, device: torch.device) -> bool:
    """Whether networks are to be trained together if that can be done: where it pays, when nobody said."""
    return device.type != "cpu" if asked is None else asked


def may_stack(members: Sequence[Training], *, is_asked: bool) -> bool:
    """Say whether trainings can share their passes.

    Args:
        members: of one structure, as they are before the first update.
        is_asked: whether it is an error if not.

    Raises:
        UsageError: it was asked for, and they cannot.
    """
    reason = hindrance(members)
    if reason and is_asked:
        raise UsageError(
            f"stacked=True trains networks in one pass, which these do not allow: {reason}. "
            "Leave stacked at None, which trains them one after another where it must."
        )
    return not reason


def hindrance(members: Sequence[Training]) -> str:
    """Say what keeps trainings of one structure from one pass, in one line; empty where nothing does."""
    settings, tasks = [member.settings for member in members], [member.task for member in members]
    lead, network = settings[0], members[0].network
    streams = [each for member in members for each in (member.streams.train, member.streams.augment)]
    kinds = {(each.labels.dtype, each.labels.shape) for each in tasks if isinstance(each.labels, Tensor)}
    found = {
        "networks that drop values at random draw their masks one after another": network.drops,
        "sharpness is for one network at a time": lead.sharpness is not None,
        "a teacher is for one network at a time": lead.teacher is not None,
        "chunk cuts the batches": lead.chunk is not None and lead.chunk < lead.batch_size,
        "their learning rates or weight decays differ": any(each != lead for each in settings),
        "their data differ in length": len({len(each.data) for each in tasks}) > 1,
        "their labels differ in kind": len(kinds) > 1,
        "their weights differ in name or shape": len({_shapes(member.working) for member in members}) > 1,
        "they share a generator": len({id(each) for each in streams}) < len(streams),
    }
    return next((reason for reason, holds in found.items() if holds), "") or _tried(members[0])


def _shapes(state: State) -> tuple[tuple[str, torch.Size], ...]:
    return tuple((name, value.shape) for name, value in state.items())


def _tried(training: Training) -> str:
    """Try a structure on two networks with two images each, and say what came of it if that is not right."""
    network, settings, kind = training.network, training.settings, training.working_dtype
    draw = generator(0, "trial", device=settings.device)
    drawn = [network.initial(draw) for _ in range(2)]
    stack = {name: torch.stack([state[name] for state in drawn]) for name in drawn[0]}
    stack = {
        name: value.to(settings.device, kind if value.is_floating_point() else None) for name, value in stack.items()
    }
    images = torch.empty(2, 2, *network.shape, device=settings.device, dtype=kind).normal_(generator=draw)
    try:
        with warnings.catch_warnings(), torch.backends.cudnn.flags(allow_tf32=False):
            warnings.simplefilter("error")
            together = _gradients(network, stack, images)
            alone = [
                _gradients(network, {k: v[i : i + 1] for k, v in stack.items()}, images[i : i + 1]) for i in (0, 1)
            ]
    except Exception as error:
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
            raise
        return f"network '{network.name}' does not go through torch.func.vmap"
    right = all(_close(found, torch.cat(pair)) for found, *pair in zip(together, *alone, strict=True))
    return "" if right else f"torch.func.vmap changes what network '{network.name}' computes"


def _gradients(network: FunctionalNetwork, stack: State, images: Tensor) -> list[Tensor]:
    """Return all gradients [K, P], then what the pass made of each buffer; ``stack`` is left alone.

    One network goes the ordinary way.
    """
    own = {name: value.clone() for name, value in stack.items()}
    leaves = [own[name].requires_grad_() for name in network.parameter_names]
    targets = torch.zeros(images.shape[:2], dtype=torch.int64, device=images.device)
    if len(images) == 1:
        state = {name: value[0] for name, value in own.items()}
        total = Objective()(network(state, images[0]), targets[0])
    else:
        total = stacked_losses(network, own, Objective(), images, targets).sum()
    found = torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
    flat = torch.cat([each.flatten(1) for each in found], dim=1)
    return [flat, *(own[name] for name in network.buffer_names if name in own)]


def _close(found: Tensor, expected: Tensor) -> bool:
    expected = expected.to(torch.float64)
    return torch.allclose(found.to(expected), expected, rtol=1e-2, atol=1e-3 * float(expected.abs().max()))
