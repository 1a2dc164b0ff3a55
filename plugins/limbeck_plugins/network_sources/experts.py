"""Experts: networks trained on real images, whose weights after every epoch are there to be followed.

Paper: Cazenavette et al., "Dataset Distillation by Matching Training Trajectories", CVPR 2022, arXiv:2203.11932,
section 3.1. Public code: GeorgeCazenavette/mtt-distillation (buffer.py), which states its own licence. Same numbers: 100 experts,
50 epochs, SGD at a constant rate of .01 without momentum or weight decay, batches of 256 real images.

What differs: an expert is a file of its own, so training can be interrupted after any epoch, more experts and epochs
extend what is there, and weights are read one epoch at a time. Flat experts (FTD, arXiv:2211.11004) are the same with
``sharpness``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch

from limbeck.experts import ExpertOptions, ExpertTrajectories
from limbeck.matching import NetworkSource, SourceContext, StepContext
from limbeck.networks import State


class Experts(NetworkSource):
    """Look through networks trained on real images, after any of their epochs; trajectory matching follows them."""

    class Options(ExpertOptions):
        """Which experts, and how they were trained."""

    trial_options: ClassVar = {"experts": 2, "epochs": 1, "train": True}

    @property
    def num_outer(self) -> int:
        """Every step draws an expert and an epoch anew."""
        return 1

    def state(self, step: StepContext) -> State:
        """Return an expert's weights after an epoch, both drawn from the run's seed and the step."""
        raise RuntimeError
