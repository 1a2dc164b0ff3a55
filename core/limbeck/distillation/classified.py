"""Starting from real images that trained networks classify rightly."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from limbeck.data import RealData
from limbeck.data.selector import Selection, take
from limbeck.errors import DataError, UsageError
from limbeck.networks import FunctionalNetwork, State

Teachers = Callable[[], Iterator[State]]
"""Gives the weights and buffers of trained networks, one after another."""

IMAGES_A_PASS = 256


def classified(
    real: RealData, wanted: int, teachers: Teachers, network: FunctionalNetwork, generator: torch.Generator
) -> Selection:
    """Return ``wanted`` images of every group that a trained network classifies rightly, as DATM's public code does.

    The images of a group are gone through in a random order; the first network chooses, and the next one only where
    it leaves too few (arXiv:2310.05773).

    Args:
        real: where to choose from.
        wanted: images of each group.
        teachers: the trained networks.
        network: their structure.
        generator: owner of the order.

    Raises:
        UsageError: there is no trained network.
        DataError: all of them together classify fewer images of a group rightly.
    """
    orders = [real.sample(group, size, generator) for group, size in enumerate(real.group_sizes)]
    chosen = [order[:0] for order in orders]
    asked = 0
    for state in teachers():
        asked += 1
        for group, order in enumerate(orders):
            left = order[~torch.isin(order, chosen[group])]
            found = _right(real, left, wanted - len(chosen[group]), network, state)
            chosen[group] = torch.cat([chosen[group], found])
        if all(len(found) == wanted for found in chosen):
            return take(real, torch.cat(chosen))
    if not asked:
        raise UsageError(
            "init.from=classified starts from images that trained networks classify rightly, but this run's source has "
            "no trained ones. Type --set source=experts, or --set init.from=real"
        )
    group, found = next((group, found) for group, found in enumerate(chosen) if len(found) < wanted)
    raise DataError(
        f"init.from=classified needs {wanted} images of class {group} of '{real.spec.name}', but the {asked} trained "
        f"network{'s classify' if asked > 1 else ' classifies'} only {len(found)} rightly. Lower --ipc, train networks "
        "for longer, or type --set init.from=real"
    )


def _right(real: RealData, index: Tensor, wanted: int, network: FunctionalNetwork, state: State) -> Tensor:
    """Return the first ``wanted`` of some images that a network classifies rightly, or fewer, int64."""
    found = index[:0]
    with torch.no_grad():
        for part in torch.split(index, IMAGES_A_PASS):
            if len(found) >= wanted:
                break
            logits = network(state, real.take(part).to(network.dtype), train=False)
            found = torch.cat([found, part[logits.argmax(1) == real.labels[part]]])
    return found[: max(wanted, 0)]
