"""Synthetic sets of every kind, small enough to damage bit by bit."""

from __future__ import annotations

import pytest
import torch

from limbeck.data import DataSpec
from limbeck.synthetic import SyntheticSet


def spec_of(channels=1, side=2, classes=3):
    names = tuple(f"class {number}" for number in range(classes))
    return DataSpec("tiny", (channels, side, side), classes, names, (0.3,) * channels, (0.25,) * channels, False)


@pytest.fixture
def make_set():
    """Make a set: ``make_set(ipc=2, kind="hard", **attributes)``."""

    def make(*, ipc=2, channels=1, side=2, classes=3, kind="hard", seed=0, **attributes):
        generator = torch.Generator().manual_seed(seed)
        group = torch.arange(classes).repeat_interleave(ipc)
        logits = torch.randn(len(group), classes, generator=generator)
        labels = {"hard": group, "logits": logits, "probabilities": logits.softmax(1)}[kind]
        images = torch.randn(len(group), channels, side, side, generator=generator)
        return SyntheticSet(images, labels, group, spec_of(channels, side, classes), label_kind=kind, **attributes)

    return make
