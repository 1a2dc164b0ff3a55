"""How experts are trained, and which of them a run looks at."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from limbeck.config import Spec
from limbeck.options import Options
from limbeck.training import Sharpness


class ExpertTraining(Options):
    """How experts learn from real images: SGD at a constant rate, as in arXiv:2203.11932."""

    epochs: int = Field(50, ge=1, description="passes over the real images; weights are kept after every one")
    lr: float = Field(0.01, gt=0, description="learning rate")
    momentum: float = Field(0.0, ge=0, lt=1, description="momentum of SGD")
    weight_decay: float = Field(0.0, ge=0, description="L2 coefficient")
    batch_size: int = Field(256, ge=1, description="real images in each update")
    augmentation: Spec | None = Field(None, description="of the real images; none when not given")
    images: int | None = Field(None, ge=1, description="how many real images they learn from; all when not given")
    sharpness: float | None = Field(
        None, gt=0, description="radius of sharpness-aware minimisation, which makes flat experts at twice the time"
    )
    sharpness_gap: float = Field(0.0, ge=0, description="weight of the surrogate gap in it (GSAM's alpha)")
    sharpness_adaptive: bool = Field(False, description="measure the radius in units of each weight (ASAM)")

    @model_validator(mode="after")
    def _flat_or_plain(self) -> ExpertTraining:
        if self.sharpness is None and (self.sharpness_gap or self.sharpness_adaptive):
            raise ValueError("sharpness_gap and sharpness_adaptive mean nothing without a radius: give sharpness=0.01")
        return self

    @property
    def flatness(self) -> Sharpness | None:
        """How minima are kept flat, or None for plain SGD."""
        if self.sharpness is None:
            return None
        return Sharpness(self.sharpness, self.sharpness_gap, self.sharpness_adaptive)


class ExpertOptions(ExpertTraining):
    """Which experts a network source looks at, and how they were trained; what ``limbeck experts train`` reads."""

    experts: int = Field(100, ge=1, description="how many experts")
    seed: int = Field(0, ge=0, description="owner of their weights and orders, whatever the run's seed is")
    path: Path | None = Field(None, description="a buffer's folder, in place of the one that the settings lead to")
    train: bool = Field(False, description="train what is missing before the first step, instead of refusing")

    def training(self) -> ExpertTraining:
        """Return how they are trained alone."""
        settings = {name: getattr(self, name) for name in ExpertTraining.model_fields}
        return ExpertTraining.model_validate(settings)


def extent(experts: int, epochs: int, kind: str = "expert") -> str:
    """Write how many experts of how many epochs: ``10 experts x 1 epoch``."""
    counted = ((experts, kind), (epochs, "epoch"))
    return " x ".join(f"{count:,} {noun}{'' if count == 1 else 's'}" for count, noun in counted)
