"""Choosing an operation for every row of a draw, and running each operation once for all its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from limbeck.augment.base import Draw
from limbeck.errors import closest

Operation = Callable[[Tensor, Tensor], Tensor]
"""A transform of images [n, ch, h, w] with uniform numbers [n, columns], or [1, columns] for all."""


def choose(count: int, rows: int, generator: torch.Generator) -> Tensor:
    """Draw which of ``count`` operations each row uses, uniformly.

    Returns:
        int64 [rows] on the CPU; see ``on_host`` for a generator of another device.
    """
    return torch.randint(count, (rows,), generator=on_host(generator))


def on_host(generator: torch.Generator) -> torch.Generator:
    """Return a generator whose numbers the host can read at once: itself on the CPU.

    A generator of another device is not waited for: its state, which the host knows, seeds another one, so the caller
    must draw from it afterwards for the next numbers to differ.
    """
    if generator.device.type == "cpu":
        return generator
    state = hashlib.sha256(generator.get_state().numpy().data).digest()
    return torch.Generator().manual_seed(int.from_bytes(state[:8], "little") >> 1)


def whole(u: Tensor, count: int) -> Tensor:
    """Turn uniform numbers [n] in [0, 1) into whole ones from 0 to ``count`` - 1, int64 [n]."""
    return (u * count).long().clamp(max=count - 1)


def check_strategy(strategy: str, known: Sequence[str]) -> str:
    """Return a strategy, operations joined by "_", if all of them are known.

    Raises:
        ValueError: names the first that is not, and the closest that is (for use in options' validators).
    """
    for name in strategy.split("_"):
        if name not in known:
            near = closest(name, known)
            guess = f" Did you mean '{near}'?" if near else ""
            raise ValueError(f"'{name}' is no operation.{guess} Known: {', '.join(known)}")
    return strategy


def by_operation(images: Tensor, draw: Draw, operations: Sequence[Operation]) -> Tensor:
    """Apply to every image the operation of its row, each operation once for all its rows.

    Args:
        images: [n, ch, h, w]; half precision is transformed in float32 and returned as it came.
        draw: n rows, or one row for all; ``op`` indexes ``operations``.
        operations: the transforms.

    Returns:
        Transformed images [n, ch, h, w] in the same order.

    Raises:
        ValueError: the draw has neither one row nor one for each image.
    """
    if len(draw.op) not in (1, len(images)):
        raise ValueError(f"a draw of {len(draw.op)} rows does not fit {len(images)} images")
    work = images.to(torch.promote_types(images.dtype, torch.float32))
    u = draw.u.to(images.device, work.dtype, non_blocking=True)
    counts = torch.bincount(draw.op, minlength=len(operations)).tolist()
    if max(counts) == len(draw.op):
        return operations[int(draw.op[0])](work, u).to(images.dtype)
    order = draw.op.argsort(stable=True)
    sorted_rows, inverse = (index.to(images.device, non_blocking=True) for index in (order, order.argsort()))
    pieces = zip(
        operations,
        torch.split(work.index_select(0, sorted_rows), counts),
        torch.split(u.index_select(0, sorted_rows), counts),
        strict=True,
    )
    done = torch.cat([operation(*piece) for operation, *piece in pieces if len(piece[0])])
    return done.index_select(0, inverse).to(images.dtype)
