"""What the synthetic images start from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from limbeck.config import RunConfig, Spec
from limbeck.data import RealData
from limbeck.data.selector import Selector
from limbeck.errors import DataError, UsageError
from limbeck.plugins import registry
from limbeck.seeding import Generators
from limbeck.synthetic import SyntheticSet

Start = tuple[Tensor, Tensor, Tensor]
"""Images normalised [n, ch, h, w], labels [n] or [n, C], groups [n] ascending."""


OnEpoch = Callable[[int, int], None]
"""Told of finished and of all epochs while a selector trains a network."""


def starting_images(
    config: RunConfig,
    real: RealData,
    generators: Generators,
    cache: Path | None = None,
    on_epoch: OnEpoch | None = None,
) -> Start:
    """Return the images, labels and groups a run starts from.

    Args:
        config: the run.
        real: the real training images.
        generators: the run's; ``init`` is moved.
        cache: where a selector keeps what outlives the run.
        on_epoch: told while a selector trains a network.

    Raises:
        DataError: a class has fewer images than ipc.
        UsageError: a starting set of another shape.
    """
    if config.init.origin == "noise":
        return _noise(config.ipc, real, generators)
    if config.init.origin == "file":
        return _from_file(config, real)
    spec = config.init.selector
    if config.init.origin == "selector" and spec is not None:
        chosen = make_selector(spec, cache, on_epoch).select(real, config.ipc, generators.init)
        return chosen.images, chosen.labels, chosen.group
    return _real(config.ipc, real, generators)


def make_selector(spec: Spec, cache: Path | None, on_epoch: OnEpoch | None) -> Selector:
    """Return the selector that a configuration names, with what its caller gives it."""
    selector: Selector = registry().create("selectors", spec.model_dump())
    selector.cache, selector.on_epoch = cache, on_epoch
    return selector


def _real(ipc: int, real: RealData, generators: Generators) -> Start:
    short = [group for group, size in enumerate(real.group_sizes) if size < ipc]
    if short:
        raise DataError(
            f"--ipc {ipc} asks for more images than class {short[0]} of '{real.spec.name}' has "
            f"({real.group_sizes[short[0]]}). Lower --ipc, or type --set init.from=noise."
        )
    index = torch.cat([real.sample(group, ipc, generators.init) for group in range(real.num_groups)])
    return real.take(index), real.labels[index], real.group[index]


def _noise(ipc: int, real: RealData, generators: Generators) -> Start:
    """Standard normal in normalised space; labels are the groups, which must be classes."""
    group = torch.arange(real.num_groups, device=real.device).repeat_interleave(ipc)
    images = torch.randn(
        (len(group), *real.spec.shape), generator=generators.init, device=real.device, dtype=real.dtype
    )
    labels = torch.stack([real.labels[real.members(int(g))[0]] for g in range(real.num_groups)])
    return images, labels[group], group


def _from_file(config: RunConfig, real: RealData) -> Start:
    stored = SyntheticSet.load(str(config.init.path))
    if stored.spec.shape != real.spec.shape or stored.spec.num_classes != real.spec.num_classes:
        raise UsageError(
            f"init.path={config.init.path} holds images of {stored.spec.shape} for {stored.spec.num_classes} classes, "
            f"but '{real.spec.name}' has {real.spec.shape} for {real.spec.num_classes}."
        )
    most = max(stored.counts)
    if most != config.ipc or len(stored.counts) > real.num_groups:
        raise UsageError(
            f"init.path={config.init.path} holds {len(stored.counts)} groups of up to {most} images, but the run has "
            f"{real.num_groups} groups and --ipc {config.ipc}. Type --ipc {most}, or choose another set."
        )
    order, device = stored.group.argsort(stable=True), real.device
    unit = stored.unit()[order].to(device)
    same = stored.spec.sees_like(real.spec)
    images = stored.normalised()[order].to(device) if same else real.normalise(unit)
    labels = stored.labels.softmax(1) if stored.label_kind == "logits" else stored.labels
    return images.to(real.dtype), labels[order].to(device), stored.group[order].to(device)
