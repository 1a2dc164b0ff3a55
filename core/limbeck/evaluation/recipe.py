"""The recipe: the numbers of how to train on a set, stored with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from limbeck.errors import UsageError
from limbeck.options import Options, parse
from limbeck.training import Cosine, Schedule, StepSchedule

SOFT_LOSSES = ("soft_ce", "kl")
"""Losses that compare with probabilities, and that say nothing new about classes."""

STORED_LABELS = {"name": "hard"}
"""The label projector that hands out the labels stored with the set."""

LATER = ("cosine_share", "best_of")
"""Fields that are not written down where they are as they were before there were any."""


class Recipe(Options):
    """How a network is trained on a set: everything but its seed.

    What is not given is what version 1 of the format meant: a recipe written then reads as it was.
    """

    network: str = Field(description="registered network, variants included")
    optimiser: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float = Field(0.01, gt=0, description="learning rate at the start")
    lr_search: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (), description="rates tried on real training images kept aside; the best takes the place of lr"
    )
    learned_lr: float | None = Field(None, gt=0, description="rate that was learned together with the images")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of sgd")
    weight_decay: float = Field(5e-4, ge=0)
    clip: float | None = Field(None, gt=0, description="largest L2 norm of the whole gradient")
    loss: Literal["ce", "soft_ce", "kl", "mse"] = Field("ce", description="soft_ce and kl need soft labels")
    temperature: float = Field(1.0, gt=0, description="divides the network's logits before the softmax")
    epochs: int = Field(ge=0, description="passes over the set, exactly")
    schedule: Literal["step", "cosine"] = Field("step", description="course of the learning rate")
    cosine_share: float = Field(1.0, gt=0, le=1, description="of the way from lr to zero that the cosine goes")
    milestones: tuple[int, ...] = Field((), description="finished passes after which lr is multiplied by factor")
    factor: float = Field(0.1, gt=0)
    reset_momentum: bool = Field(True, description="whether a milestone drops the momentum")
    batch_size: int = Field(256, ge=1)
    evaluate_every: int = Field(0, ge=0, description="passes between two tests; 0: only after the last pass")
    selection: Literal["last", "best"] = Field("last", description="the pass whose accuracy the protocol reports")
    best_of: float = Field(1.0, gt=0, le=1, description="share of the passes, the last, that best is chosen from")
    augmentation: dict[str, Any] | None = Field(None, description="component by name, with its options")
    labels: dict[str, Any] = Field(STORED_LABELS, description="label projector, likewise")
    formation: dict[str, Any] = Field({"name": "identity"}, description="formation, likewise")
    made_with: str = Field("", description="network the set was made with, which a teacher is unless it names another")
    protocol: str = Field("", description="the protocol that set these numbers")

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if self.loss == "mse" and self.temperature != 1:
            raise ValueError("loss mse compares logits and has no temperature: leave it at 1, or take loss kl")
        if self.selection == "best" and not self.evaluate_every:
            raise ValueError("selection best needs tests to choose from: give evaluate_every, passes between two")
        return self

    @property
    def course(self) -> Schedule:
        """The learning rate's course as the trainer takes it."""
        if self.schedule == "cosine":
            return Cosine(self.cosine_share)
        return StepSchedule(self.milestones, self.factor, self.reset_momentum)

    def counts(self, done: int) -> bool:
        """Whether the best may be a test after ``done`` finished passes."""
        return done == self.epochs or done > (1 - self.best_of) * self.epochs

    def has_soft_labels(self, label_kind: str) -> bool:
        """Whether networks learn from probabilities: those stored with the images, or a label projector's."""
        return label_kind != "hard" or self.labels["name"] != STORED_LABELS["name"]

    def check_labels(self, label_kind: str) -> None:
        """Refuse a loss that the set's labels give nothing to.

        Args:
            label_kind: "hard", "probabilities" or "logits", the labels stored with the images.

        Raises:
            UsageError: the loss compares with probabilities, and the labels are classes.
        """
        if self.loss in SOFT_LOSSES and not self.has_soft_labels(label_kind):
            raise UsageError(
                f"loss '{self.loss}' compares with soft labels, but this set's labels are classes. "
                "Let a teacher label the images, labels=teacher, or choose a loss or protocol that learns from classes."
            )

    def for_classes(self) -> Recipe:
        """Return the same training on classes: the labels stored with the images, and cross-entropy at temperature 1.

        Squared errors stay what they are.
        """
        changes = {"loss": "ce", "temperature": 1.0} if self.loss in SOFT_LOSSES else {}
        return self.with_(labels=STORED_LABELS, **changes)

    def belongings(self) -> dict[str, Any]:
        """Return what belongs to the set and not to a protocol, which hands it on as arguments of ``Recipe``."""
        return {name: getattr(self, name) for name in ("labels", "formation", "made_with", "learned_lr")}

    def with_(self, **changes: Any) -> Recipe:
        """Return a copy with other values."""
        return self.model_copy(update=changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON values."""
        values = self.model_dump(mode="json")
        return {key: values[key] for key in values if key not in LATER or values[key] != _default(key)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Read what ``to_dict`` wrote.

        Raises:
            UsageError: an unknown key or a value out of range.
        """
        return parse(cls, values, "recipe")


def _default(field: str) -> Any:
    return Recipe.model_fields[field].default
