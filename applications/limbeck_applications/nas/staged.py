"""What a space offers whose networks searchers widen and deepen: stages of convolutions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from limbeck_applications.nas.space import Architecture, Genome, SearchSpace

Layer = tuple[int, int]
"""(width, kernel) of one convolution."""

Stages = list[list[Layer]]
"""The layers of each stage."""


@dataclass(frozen=True)
class Ladder:
    """What stages are made of.

    Attributes:
        widths: of a convolution, rising.
        kernels: sizes of a convolution.
        norms: "none" or "batch", each once.
        stages: how many.
        layers: that a stage has at most.
    """

    widths: tuple[int, ...]
    kernels: tuple[int, ...]
    norms: tuple[str, ...]
    stages: int
    layers: int


class StagedSpace(SearchSpace):
    """A space of convolutions in a row, each with norm and ReLU, in stages, flattened into one linear layer.

    Searcher ``eas`` grows its networks, ``tas`` learns their widths and depths; the latter needs stages that each end
    in 2x2 pooling and compute nothing else.
    """

    @property
    @abstractmethod
    def ladder(self) -> Ladder:
        """What there is to choose from."""

    @abstractmethod
    def stages(self, genome: Genome) -> Stages:
        """Return (width, kernel) of the layers of each stage."""

    @abstractmethod
    def norm(self, genome: Genome) -> str:
        """Return "none" or "batch"."""

    @abstractmethod
    def from_stages(self, stages: Sequence[Sequence[Layer]], norm: str) -> Architecture:
        """Return the architecture of these stages.

        Args:
            stages: (width, kernel) of the layers of each.
            norm: "none" or "batch".

        Raises:
            UsageError: not of this space.
        """
