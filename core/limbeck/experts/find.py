"""Finding the experts that a run follows, or saying in one line why they are not there and what to type."""

from __future__ import annotations

import functools
import shutil
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from limbeck.errors import ArtifactError, UsageError
from limbeck.execution.memory import format_bytes
from limbeck.experts.buffer import ABOUT, Buffer, ExpertTrajectories, buffers_in, structure_of
from limbeck.experts.options import ExpertOptions, extent
from limbeck.experts.training import Training, missing
from limbeck.files import folder_lock


def find(
    training: Training,
    options: ExpertOptions,
    cache: Path | None,
    command: str = "limbeck experts train",
    on_epoch: Callable[[int, int], None] | None = None,
) -> ExpertTrajectories:
    """Return the experts asked for, and train what is missing where that was asked for too.

    Args:
        training: how they are trained, and for which network.
        options: which.
        cache: folder of what outlives the run, or None.
        command: what trains them, for a message.
        on_epoch: told of finished and of all epochs while experts are trained.

    Raises:
        UsageError: there are none, too few, or those in ``options.path`` are of another network or other data.
        ArtifactError: a file is damaged.
    """
    count, epochs = options.experts, options.epochs
    if options.path is not None and ((options.path / ABOUT).exists() or not options.train):
        buffer = Buffer.load(options.path)
        require_fitting(buffer, training)
    else:
        passing = tempfile.mkdtemp(prefix="limbeck-") if options.train and cache is None else None
        buffer = training.buffer(options.path, Path(passing) if passing else cache)
        if passing is not None:
            weakref.finalize(buffer, shutil.rmtree, passing, ignore_errors=True)
    if missing(buffer, count, epochs):
        if not options.train:
            raise _absent(buffer, training, options, command)
        _train(training, replace(buffer, made_of=training.made_of()), count, on_epoch)
    return ExpertTrajectories(buffer, training.network, count, epochs)


def require_fitting(buffer: Buffer, training: Training) -> None:
    """Refuse experts of another structure, or that learned from other images.

    Raises:
        UsageError: says what the experts are of, and what to type.
    """
    there, here, real = buffer.made_of, training.network, training.real
    network, data = there["network"], there["data"]
    if network["structure"] != structure_of(here):
        raise UsageError(
            f"{buffer.folder} holds experts of network '{network['name']}' ({network['parameters']:,} weights), but "
            f"this run looks through '{here.name}' ({here.num_parameters:,}). Type --network {network['name']}, or "
            "name another buffer with --set source.path=FOLDER."
        )
    if data["name"] != real.spec.name:
        raise UsageError(
            f"{buffer.folder} holds experts of data set '{data['name']}', but this run has '{real.spec.name}'. Type "
            f"--data {data['name']}, or name another buffer with --set source.path=FOLDER."
        )
    if data["preprocessing"] != real.spec.preprocessing:
        raise UsageError(
            f"{buffer.folder} holds experts that saw images by preprocessing '{data['preprocessing']}', but this run "
            f"has '{real.spec.preprocessing}'. Type --set data.preprocessing={data['preprocessing']}, or name another "
            "buffer with --set source.path=FOLDER."
        )
    if data["digest"] != real.digest():
        raise UsageError(
            f"{buffer.folder} holds experts that learned from {data['images']:,} images of '{data['name']}', but not "
            f"the {len(real):,} of this run. Use the same part of the data (classes, imbalance, max_per_class and the "
            "seed that draws it), or name another buffer with --set source.path=FOLDER."
        )


def _train(training: Training, buffer: Buffer, count: int, on_epoch: Callable[[int, int], None] | None) -> None:
    epochs = training.how.epochs

    def tell(expert: int, finished: int) -> None:
        if on_epoch is not None:
            on_epoch(expert * epochs + finished, count * epochs)

    with folder_lock(buffer.folder, "leave out --set source.train=true"):
        buffer.save()
        for expert in missing(buffer, count, epochs):
            training.run(buffer, expert, functools.partial(tell, expert))
        tell(count, 0)


def _absent(buffer: Buffer, training: Training, options: ExpertOptions, command: str) -> UsageError | ArtifactError:
    """Say what was looked for, what there is, what it costs to train the rest, and what to type."""
    count, epochs = options.experts, options.epochs
    there = [0 if (head := buffer.head(expert)) is None else min(head.epochs, epochs) for expert in range(count)]
    left = count * epochs - sum(there)
    cost = f"about {_duration(training.seconds(left))} on {training.network.device} if one at a time"
    size = format_bytes(training.bytes(count))
    asked = f"{extent(count, epochs)} of {training.network.name} on {training.real.spec.name}"
    advice = f"Train them: {command} ({cost}; {size} on disk), or have the run do it: --set source.train=true"
    whole = sum(found >= epochs for found in there)
    if not any(there):
        return UsageError(f"there are not yet {asked}{_nearest(buffer)}. {advice}")
    fewer = (
        f" Or ask for what is there: --set source.experts={whole}"
        if whole and there[:whole] == [epochs] * whole
        else ""
    )
    return UsageError(
        f"{buffer.folder} holds {whole} of {asked}, and {sum(there):,} of {count * epochs:,} epochs. {advice}.{fewer}"
    )


def _nearest(buffer: Buffer) -> str:
    """Name the buffer of the same network and data that was trained most alike, if there is one."""
    others = [other for other in buffers_in(buffer.folder.parent) if other.key != buffer.key]
    apart = [(other, other.differences(buffer.made_of)) for other in others]
    near = [(len(found), other, found) for other, found in apart if not any(_is_else(name) for name, _, _ in found)]
    if not near:
        return ""
    _, other, found = min(near, key=lambda each: each[0])
    name, has, asked = found[0]
    return f" (those of --set source.path={other.folder} have {name} {has}, not {asked})"


def _is_else(name: str) -> bool:
    return name in ("data.digest", "network.structure")


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return (
        f"{max(seconds, 1):.0f} s"
        if minutes < 2
        else f"{minutes:.0f} min"
        if minutes < 120
        else f"{minutes / 60:.0f} h"
    )
