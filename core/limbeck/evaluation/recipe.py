"""The recipe: the numbers of how to train on a set, stored with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from limbeck.options import Options, parse
from limbeck.training import StepSchedule


class Recipe(Options):
    """How a network is trained on a set: everything but its seed."""

    network: str = Field(description="registered network, variants included")
    optimiser: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float = Field(0.01, gt=0, description="learning rate at the start")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of sgd")
    weight_decay: float = Field(5e-4, ge=0)
    epochs: int = Field(ge=0, description="passes over the set, exactly")
    milestones: tuple[int, ...] = Field((), description="finished passes after which lr is multiplied by factor")
    factor: float = Field(0.1, gt=0)
    reset_momentum: bool = Field(True, description="whether a milestone drops the momentum")
    batch_size: int = Field(256, ge=1)
    augmentation: dict[str, Any] | None = Field(None, description="component by name, with its options")
    labels: dict[str, Any] = Field({"name": "hard"}, description="label projector, likewise")
    formation: dict[str, Any] = Field({"name": "identity"}, description="formation, likewise")
    made_with: str = Field("", description="network the set was made with, which a teacher is unless it names another")
    protocol: str = Field("", description="the protocol that set these numbers")

    @property
    def schedule(self) -> StepSchedule:
        """The learning rate's course as the trainer takes it."""
        return StepSchedule(self.milestones, self.factor, self.reset_momentum)

    def with_(self, **changes: Any) -> Recipe:
        """Return a copy with other values."""
        return self.model_copy(update=changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON values."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Read what ``to_dict`` wrote.

        Raises:
            UsageError: an unknown key or a value out of range.
        """
        return parse(cls, values, "recipe")
