"""What the synthetic images start from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from limbeck.config import RunConfig, Spec
from limbeck.data import DataSpec, RealData
from limbeck.data.selector import Selection, Selector, take
from limbeck.distillation.classified import Teachers, classified
from limbeck.errors import DataError, UsageError
from limbeck.networks import build_network
from limbeck.plugins import registry
from limbeck.seeding import Generators
from limbeck.synthetic import Formation, SyntheticSet

Start = tuple[Tensor, Tensor, Tensor]
"""Images normalised [n, ch, h, w], labels [n] or [n, C], groups [n] ascending."""


OnEpoch = Callable[[int, int], None]
"""Told of finished and of all epochs while a selector or a network source trains."""


def starting_images(
    config: RunConfig,
    real: RealData,
    generators: Generators,
    cache: Path | None = None,
    on_epoch: OnEpoch | None = None,
    formation: Formation | None = None,
    teachers: Teachers | None = None,
) -> Start:
    """Return the images, labels and groups a run starts from.

    Args:
        config: the run.
        real: the real training images.
        generators: the run's; ``init`` is moved.
        formation: of the run, ready for the data; the one ``config`` names when None.
        cache: where a selector keeps what outlives the run.
        on_epoch: told while a selector trains a network.
        teachers: gives the trained networks that the run's source knows.

    Raises:
        DataError: a class has fewer images than are needed.
        UsageError: a starting set of another shape, or no trained networks where they choose.
    """
    if config.init.origin == "noise":
        return _noise(config.ipc, real, generators)
    if config.init.origin == "file":
        return _from_file(config, real)
    formation = formation or formation_of(config, real.spec)
    spec = config.init.selector
    if config.init.origin == "selector" and spec is not None:
        chosen = choose(make_selector(spec, cache, on_epoch), config.ipc, real, generators.init, formation)
    elif config.init.origin == "classified":
        chosen = _compose(_classified(config, real, generators, formation, teachers), formation)
    else:
        chosen = _compose(_real(config.ipc, real, generators, formation), formation)
    return chosen.images, chosen.labels, chosen.group


def formation_of(config: RunConfig, spec: DataSpec) -> Formation:
    """Return the formation a configuration names, ready for images of one data set.

    Raises:
        UsageError: it cannot be used there.
    """
    formation: Formation = registry().create("formations", config.formation.model_dump())
    return formation.for_data(spec)


def choose(selector: Selector, ipc: int, real: RealData, generator: torch.Generator, formation: Formation) -> Selection:
    """Return ``ipc`` images of every group, composed of as many chosen ones as the formation starts from.

    Raises:
        DataError: a group has fewer images than that.
    """
    if formation.starts_from > 1:
        _check_sizes(ipc, real, formation, "Lower --ipc, or choose another formation.")
    return _compose(selector.select(real, ipc * formation.starts_from, generator), formation)


def make_selector(spec: Spec, cache: Path | None, on_epoch: OnEpoch | None) -> Selector:
    """Return the selector that a configuration names, with what its caller gives it."""
    selector: Selector = registry().create("selectors", spec.model_dump())
    selector.cache, selector.on_epoch = cache, on_epoch
    return selector


def _real(ipc: int, real: RealData, generators: Generators, formation: Formation) -> Selection:
    _check_sizes(ipc, real, formation, "Lower --ipc, or type --set init.from=noise.")
    wanted = ipc * formation.starts_from
    index = torch.cat([real.sample(group, wanted, generators.init) for group in range(real.num_groups)])
    return take(real, index)


def _classified(
    config: RunConfig, real: RealData, generators: Generators, formation: Formation, teachers: Teachers | None
) -> Selection:
    _check_sizes(config.ipc, real, formation, "Lower --ipc.")
    network = build_network(config.network, real.spec, real.device, real.dtype)
    wanted = config.ipc * formation.starts_from
    return classified(real, wanted, teachers or (lambda: iter(())), network, generators.init)


def _check_sizes(ipc: int, real: RealData, formation: Formation, advice: str) -> None:
    """Refuse to start from more images of a group than it has."""
    wanted = ipc * formation.starts_from
    short = [group for group, size in enumerate(real.group_sizes) if size < wanted]
    if short:
        more = f" ({wanted}, {formation.starts_from} for each with formation '{formation.name}')"
        raise DataError(
            f"--ipc {ipc} asks for more images{more if wanted > ipc else ''} than class {short[0]} of "
            f"'{real.spec.name}' has ({real.group_sizes[short[0]]}). {advice}"
        )


def _compose(chosen: Selection, formation: Formation) -> Selection:
    """Make one stored image of every ``formation.starts_from`` chosen ones; soft labels are averaged."""
    each = formation.starts_from
    if each == 1:
        return chosen
    images, labels = (rows.reshape(-1, each, *rows.shape[1:]) for rows in (chosen.images, chosen.labels))
    if labels.is_floating_point():
        labels = labels.mean(1)
    elif bool((labels == labels[:, :1]).all()):
        labels = labels[:, 0]
    else:
        raise DataError(
            f"formation '{formation.name}' makes one image of {each} real ones, and a group holds images of several "
            "classes. Use groups of one class each, or start from noise: --set init.from=noise"
        )
    stored = formation.compose(images)
    return replace(chosen, images=stored, labels=labels, group=chosen.group[::each], index=None)


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
    made_by = stored.recipe.get("formation", {"name": "identity"})
    if made_by["name"] != config.formation.name:
        raise UsageError(
            f"init.path={config.init.path} holds images for the formation '{made_by['name']}', and the run has "
            f"'{config.formation.name}', to which they mean something else. Type --set formation={made_by['name']}, or "
            "choose another set."
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
