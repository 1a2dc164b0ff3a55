"""Experts: networks trained on real images whose weights are kept after every epoch."""

from limbeck.experts.buffer import Buffer, ExpertTrajectories, buffers_in
from limbeck.experts.command import train_command
from limbeck.experts.find import find
from limbeck.experts.options import ExpertOptions, ExpertTraining
from limbeck.experts.training import Training, missing, train

__all__ = [
    "Buffer",
    "ExpertOptions",
    "ExpertTraining",
    "ExpertTrajectories",
    "Training",
    "buffers_in",
    "find",
    "missing",
    "train",
    "train_command",
]
