"""Trajectory matching: training on the synthetic set should lead where training on the real one does.

Papers and public code. Cazenavette, Wang, Torralba, Efros, Zhu, "Dataset Distillation by Matching Training
Trajectories" (MTT), CVPR 2022, arXiv:2203.11932, Eq. 2; GeorgeCazenavette/mtt-distillation (MIT). Cui, Wang, Si, Hsieh,
"Scaling Up Dataset Distillation to ImageNet-1K with Constant Memory" (TESLA), ICML 2023, arXiv:2211.10586, for labels
of the teacher; justincui03/tesla (MIT). Guo, Wang, Cazenavette, Li, Zhang, You, "Towards Lossless Dataset Distillation
via Difficulty-Aligned Trajectory Matching" (DATM), ICLR 2024, arXiv:2310.05773, for the growing upper bound;
NUS-HPC-AI-Lab/DATM (no licence file). Written from the equations.

Same: the start is drawn uniformly from the epochs ``min_start`` <= t < upper, with the upper bound ``max_start``, or
floor(first + (max_start - first) * step / expansion_steps) and at most ``max_start`` where it grows; the aim is the
weights ``expert_epochs`` later; teacher labels are the softmax of what the aim says of images before augmentation.
Differs: experts are drawn with replacement at every step, as the codes do when told to load all of them at once; else
they go through one shuffled file after another. TESLA's code makes teacher labels for ImageNet alone, and evaluates
with those of its last step, which are a random expert's: a set distilled here is evaluated with labels of its own.
"""

from __future__ import annotations

from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from limbeck.errors import UsageError
from limbeck.matching import MatcherContext, Segment, StepContext, Teacher, Trajectories, TrajectoryMatcher


class Trajectory(TrajectoryMatcher):
    """Distance left to an expert's weights some epochs on (arXiv:2203.11932 Eq. 2)."""

    class Options(TrajectoryMatcher.Options):
        """Which pieces of an expert's way are followed, and by which labels."""

        expert_epochs: int = Field(2, ge=1, description="epochs from where a student starts to its aim, M")
        min_start: int = Field(0, ge=0, description="first epoch after which students start")
        max_start: int = Field(20, ge=1, description="students start after fewer epochs than this")
        first_max_start: int | None = Field(
            None, ge=1, description="what max_start grows from; it does not when not given"
        )
        expansion_steps: int = Field(1000, ge=1, description="steps until max_start is reached")
        teacher_labels: bool = Field(
            False, description="students learn the probabilities of the expert they aim at, not the set's labels"
        )

        @model_validator(mode="after")
        def _some_epoch_to_start_at(self) -> Self:
            first = self.max_start if self.first_max_start is None else self.first_max_start
            if not self.min_start < first <= self.max_start:
                grows = "" if self.first_max_start is None else f" first_max_start={first},"
                raise ValueError(
                    f"students start after epoch min_start={self.min_start} or later, and before{grows} "
                    f"max_start={self.max_start}: give them in rising order"
                )
            return self

    def prepare(self, context: MatcherContext) -> None:
        """Take up the experts.

        Raises:
            UsageError: there are none, they were not trained for long enough, or the set has fewer images than an
                update takes.
        """
        super().prepare(context)
        needed = self.options.max_start - 1 + self.options.expert_epochs
        if needed > self.trajectories.epochs:
            raise UsageError(
                f"students start after epoch {self.options.max_start - 1} at most and aim {self.options.expert_epochs} "
                f"epochs ahead, but the experts were trained for {self.trajectories.epochs}. Type --set "
                f"source.epochs={needed}, or start earlier: --set matcher.max_start="
                f"{max(self.trajectories.epochs + 1 - self.options.expert_epochs, 1)}"
            )

    def segment(self, trajectories: Trajectories, step: StepContext, generator: torch.Generator) -> Segment:
        """Draw an expert and the epoch after which the student starts, both uniformly."""
        options = self.options
        expert = int(torch.randint(trajectories.experts, (), generator=generator))
        start = int(torch.randint(options.min_start, self.upper(step.step), (), generator=generator))
        return Segment(expert, start, start + options.expert_epochs)

    def upper(self, step: int) -> int:
        """Return the epoch before which students of a step start."""
        options = self.options
        first, last = options.first_max_start or options.max_start, options.max_start
        return min(int(first + (last - first) * step // options.expansion_steps), int(last))

    def relabels(self) -> bool:
        """Students learn the expert's labels where they are asked for."""
        return bool(self.options.teacher_labels)

    def labels(self, images: Tensor, labels: Tensor, target: Teacher) -> Tensor:
        """Return what the expert at the end of the segment makes of the images, probabilities [m, C]."""
        return torch.softmax(target(images), dim=1)
