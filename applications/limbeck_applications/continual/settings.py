"""How networks learn from a stream, and from a memory: one home for each number."""

from __future__ import annotations

from pydantic import Field

from limbeck.config import Spec
from limbeck.options import Options


class StreamTraining(Options):
    """How a network learns an experience: SGD, as Avalanche's strategies take it."""

    epochs: int = Field(2, ge=1, description="passes over each experience; 1 on online streams")
    iterations: int | None = Field(None, ge=1, description="updates in each experience at most, in place of all")
    lr: float = Field(0.01, gt=0, description="learning rate")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD")
    weight_decay: float = Field(0.0, ge=0, description="L2 coefficient")
    batch_size: int = Field(32, ge=1, description="images of the experience in each update")
    memory_batch: int = Field(32, ge=1, description="images of the memory in each update, beside them")


class Retraining(Options):
    """How a fresh network learns from a memory alone: as arXiv:2110.04181's public code does, with fewer epochs."""

    epochs: int = Field(300, ge=1, description="passes over the memory")
    lr: float = Field(0.01, gt=0, description="learning rate at the start")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD")
    weight_decay: float = Field(5e-4, ge=0, description="L2 coefficient")
    batch_size: int = Field(256, ge=1, description="images of the memory in each update")
    milestone: int | None = Field(
        None, ge=1, description="epochs before lr is divided by 10, momentum lost; (epochs + 3) // 2 when not given"
    )
    augmentation: Spec | None = Field(Spec(name="dsa"), description="of the memory's images; none when null")
    networks_a_call: int = Field(32, ge=1, description="networks of one experience that are trained in one call")

    @property
    def falls_after(self) -> int:
        """Epochs at the first rate; as of a loop over ``epochs`` - 1, half of them rounded down, plus 1, if not given.

        The public code counts its epochs from 0 and makes one more than it is asked for: of 1,001 these are 502.
        """
        return self.milestone or (self.epochs + 3) // 2
