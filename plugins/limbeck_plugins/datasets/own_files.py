"""What data sets of the user's own files share: where these lie, and which images are set aside for testing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from limbeck.errors import DataError
from limbeck.seeding import generator

NAMED = 3
"""How many of many things an error names."""


def locate(path: Path, root: Path, name: str) -> Path:
    """Return where ``path`` is: as typed, or else below the folder of all data sets.

    Raises:
        DataError: in neither place.
    """
    typed = path.expanduser()
    for place in (typed, root / typed):
        try:
            if place.exists():
                return place
        except OSError:
            continue
    raise DataError(
        f"data set '{name}' finds nothing at {shown(typed)}, nor at {shown((root / typed).absolute())}. "
        "Set its option 'path', or name the folder it is in with --data-root or LIMBECK_DATA."
    )


def shown(path: Path | str) -> str:
    """Return a path as text that can be printed and stored, whatever bytes it is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def quoted(names: Sequence[str]) -> str:
    """Return the first few names as a sentence holds them: ``'cat', 'dog', 'eel' and 4 more``."""
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(f"'{name}'" for name in names[:NAMED]) + rest


def held_out(labels: Tensor, share: float, class_names: Sequence[str], where: str) -> Tensor:
    """Choose the test images where no test part is given: the same for every run, whatever its seed.

    Args:
        labels: classes int64 [N], each of them present.
        share: how much of each class is taken: the nearest number of images, at least one, never all.
        class_names: one for each class.
        where: the place of the images, for the error.

    Returns:
        A mask bool [N].

    Raises:
        DataError: a class has a single image.
    """
    counts = torch.bincount(labels, minlength=len(class_names)).tolist()
    single = [name for name, count in zip(class_names, counts, strict=True) if count == 1]
    if single:
        raise DataError(
            f"class {quoted(single)} of {where} has 1 image, but {share:.0%} of each class is set aside for testing. "
            "Give it at least 2 images, or give a test part."
        )
    chosen, rng = torch.zeros(len(labels), dtype=torch.bool), generator(0, "data", "held out")
    for members in torch.split(labels.argsort(stable=True), counts):
        size = len(members)
        order = torch.randperm(size, generator=rng)
        chosen[members[order[: min(max(1, round(size * share)), size - 1)]]] = True
    return chosen
