"""Global random numbers: whether they were moved, and whether a result depends on them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limbeck.testing.suite import require


@contextmanager
def moved_generators() -> Iterator[list[str]]:
    """Give a list that names, when the block has ended, the libraries whose global generator it moved.

    They are put back.
    """
    moved: list[str] = []
    torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        yield moved
    finally:
        if not torch.equal(torch_state, torch.get_rng_state()):
            moved.append("torch")
            torch.set_rng_state(torch_state)
        if not _same(numpy_state, np.random.get_state()):  # noqa: NPY002
            moved.append("numpy")
            np.random.set_state(numpy_state)  # noqa: NPY002
        if python_state != random.getstate():
            moved.append("Python")
            random.setstate(python_state)


def require_same_twice(compute: Callable[[], Any]) -> None:
    """Compute something twice, under different global random numbers, and require the same bits.

    Args:
        compute: returns tensors, or mappings and sequences of tensors and plain values.

    Raises:
        Broken: the two differ.
    """
    first = compute()
    with _elsewhere():
        second = compute()
    require(same_bits(first, second), "the same generator seed gave other numbers the second time")


def same_bits(one: Any, other: Any) -> bool:
    """Whether two nested results are equal, tensors bit for bit (NaN equals NaN)."""
    if isinstance(one, Tensor):
        return (
            isinstance(other, Tensor)
            and one.shape == other.shape
            and one.dtype == other.dtype
            and _bytes(one) == _bytes(other)
        )
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same_bits(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same_bits(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


@contextmanager
def _elsewhere() -> Iterator[None]:
    """Have torch's global generator stand somewhere else."""
    state = torch.get_rng_state()
    torch.set_rng_state(torch.Generator().manual_seed(20_210_310).get_state())
    try:
        yield
    finally:
        torch.set_rng_state(state)


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _same(one: Any, other: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
