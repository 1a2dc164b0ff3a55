"""Experts: networks trained on real images whose weights are kept after every epoch."""

from limbeck.experts.buffer import Buffer, ExpertTrajectories
from limbeck.experts.options import ExpertOptions, ExpertTraining
from limbeck.experts.training import Training, missing, train

__all__ = ["Buffer", "ExpertOptions", "ExpertTraining", "ExpertTrajectories", "Training", "missing", "train"]
