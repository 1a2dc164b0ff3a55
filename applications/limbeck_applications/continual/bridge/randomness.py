"""The global generators of PyTorch, NumPy and Python, lent for a while to code that draws from them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from limbeck.seeding import derive_seed

NUMPY_SEEDS = 2**32


@contextmanager
def lent_generators(seed: int) -> Iterator[None]:
    """Seed the global generators, and put them back where they were at the end, however it ends.

    Avalanche shuffles, selects and initialises with them: the one exception to the rule that every random number has
    an owner. What runs inside depends on ``seed`` and on nothing that was drawn before.

    Args:
        seed: any non-negative integer; each generator's own is derived from it.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    cuda = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=cuda):
        try:
            torch.manual_seed(derive_seed(seed, "lent", "torch"))
            np.random.seed(derive_seed(seed, "lent", "numpy") % NUMPY_SEEDS)  # noqa: NPY002
            random.seed(derive_seed(seed, "lent", "python"))
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
