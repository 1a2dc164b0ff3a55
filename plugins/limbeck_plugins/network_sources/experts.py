"""Experts: networks trained on real images, whose weights after every epoch are there to be followed.

Paper: Cazenavette, Wang, Torralba, Efros, Zhu, "Dataset Distillation by Matching Training Trajectories", CVPR 2022,
arXiv:2203.11932, section 3.1. Public code: GeorgeCazenavette/mtt-distillation, buffer.py (MIT). Same numbers: 100
experts, 50 epochs, SGD at a constant rate of .01 without momentum or weight decay, batches of 256 real images. Flat
experts (FTD, arXiv:2211.11004) are the same with ``sharpness``.

What differs: an expert is a file of its own, written as its epochs end, so that training goes on from there, more
experts and epochs extend what is there, and weights are read one epoch at a time, where the code holds ten experts in
a file and files in memory. Weights are copied when they are kept; on a CPU the code keeps references to tensors that
move on, so that all epochs of an expert are its last one.

Which expert and epoch a step looks through follows from the run's seed and the step alone, so nothing has to be kept to
continue a run. Matchers of the trajectory family choose for themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from torch import Tensor

from limbeck.errors import CheckpointError, UsageError
from limbeck.experts import ExpertOptions, ExpertTrajectories, Training, find
from limbeck.matching import NetworkSource, SourceContext, StepContext
from limbeck.networks import State
from limbeck.seeding import generator


class Experts(NetworkSource):
    """Follow networks trained on real images, or look through them after any of their epochs.

    They are trained beforehand, by ``limbeck experts train`` with the run's options, and shared by all runs.
    """

    class Options(ExpertOptions):
        """How the experts were trained, how many are used, and where they are."""

    has_experts: ClassVar[bool] = True
    trial_options: ClassVar = {"experts": 2, "epochs": 2, "train": True}

    trajectories: ExpertTrajectories

    def prepare(self, context: SourceContext) -> None:
        """Find the experts.

        Raises:
            UsageError: there are no real images they could have learned from, or not the experts asked for.
            ArtifactError: a file of theirs is damaged.
        """
        super().prepare(context)
        if context.real is None:
            raise UsageError("source 'experts' follows networks trained on real images, and this run has none.")
        training = Training(context.network, context.real, self.options.training(), self.options.seed, context.chunk())
        self.trajectories = find(training, self.options, context.cache, context.train_experts, context.on_epoch)
        self.spent = self.trajectories.spent()

    @property
    def num_outer(self) -> int:
        """Every step draws an expert and an epoch anew."""
        return 1

    def state(self, step: StepContext) -> State:
        """Return an expert's weights after an epoch, both drawn from the run's seed and the step."""
        draw, there = generator(self.context.generators.seed, "experts", step.iteration), self.trajectories
        expert = int(torch.randint(there.experts, (), generator=draw))
        return there.state(expert, int(torch.randint(there.epochs + 1, (), generator=draw)))

    def bytes_to_come(self) -> int:
        """Return what weights will take of a GPU, where they stay once they were read."""
        return self.trajectories.bytes_to_come

    def state_dict(self) -> dict[str, Tensor]:
        """Return the buffer's key: a run goes on with the experts it began with."""
        return {"buffer": torch.tensor(list(self.trajectories.buffer.key.encode()), dtype=torch.uint8)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Hold the experts that were found to those of the checkpoint.

        Raises:
            CheckpointError: they are others.
        """
        begun, found = bytes(state["buffer"].tolist()).decode(), self.trajectories.buffer
        if begun != found.key:
            raise CheckpointError(
                f"this run follows the experts of buffer {begun}, but {found.folder} holds those of {found.key}. Put "
                "the former back, or start a new run with another --out."
            )

    def teachers(self) -> Iterator[State]:
        """Yield the weights and buffers of each expert after its last epoch that is used."""
        for expert in range(self.trajectories.experts):
            yield self.trajectories.state(expert, self.trajectories.epochs)
