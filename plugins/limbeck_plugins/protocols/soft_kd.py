"""Training against soft labels, as SRe2L evaluates its sets.

Paper: Yin, Xing and Shen, "Squeeze, Recover and Relabel" (SRe2L, arXiv:2306.13092), section 3.3 and table of the
appendix. Numbers after the public code VILA-Lab/SRe2L (``train_FKD``): AdamW at 0.001 with weight decay 0.01, half a
cosine down to zero, 300 passes, KL divergence at temperature 20 averaged over a batch without the factor T squared, a
test every tenth pass of which the best is reported.

Different: the augmentation is the set's own unless another is asked for, where SRe2L trains on random resized crops
that CutMix blends: ``augmentation={name: cutmix, before: {name: resized_crop}}``. Labels are a teacher's, given online
for what the student sees, blended images included, or kept with the views they were given for (labels ``stored``), or
those stored with the set, which are blended as the images are. The public code tests after passes 1, 11, ..., and here
it is 10, 20, ... The last pass is told beside the best. A set's own probabilities are compared as they are: their
temperature was chosen when they were made. RDED's own numbers are those of protocol ``rded``.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from limbeck.config import Spec
from limbeck.evaluation import Protocol, Recipe, augmentation_of
from limbeck.options import Options as OptionsBase
from limbeck.plugins import registry

TEMPERATURE = 20.0
TEACHER = "teacher"


class SoftLabelProtocol(Protocol):
    """Train fresh networks with AdamW to imitate soft labels; the best test is reported beside the last pass."""

    class Options(OptionsBase):
        """The published numbers."""

        epochs: int = Field(300, ge=1, description="passes, exactly")
        lr: float = Field(0.001, gt=0, description="learning rate at the start")
        lr_search: tuple[float, ...] = Field((), description="rates tried on training images kept aside")
        weight_decay: float = Field(0.01, ge=0, description="decoupled from the gradient")
        batch_size: int = Field(100, ge=1, description="images of an update")
        loss: Literal["kl", "soft_ce", "mse"] = Field("kl", description="what compares logits and labels")
        temperature: float | None = Field(
            None, gt=0, description="of network and teacher; 20 with a teacher, 1 with other labels when not given"
        )
        cosine_share: float = Field(1.0, gt=0, le=1, description="of the way from lr to zero that the cosine goes")
        evaluate_every: int = Field(10, ge=1, description="passes between two tests")
        best_of: float = Field(1.0, gt=0, le=1, description="share of the passes, the last, that best is chosen from")
        labels: Spec | None = Field(
            None, description="label projector; the set's own when not given, 'teacher' to have the images labelled"
        )
        augmentation: Spec | None = Field(
            None, description="of the training images; the set's own when not given, 'none' for none"
        )

    def recipe(self, network: str, stored: Recipe | None) -> Recipe:
        """Return the published numbers with the set's own formation, and its labels unless others are asked for."""
        options = self.options
        kept: dict[str, Any] = stored.belongings() if stored else {}
        asked: Spec | None = options.labels
        labels = dict(asked.model_dump() if asked is not None else kept.get("labels", {"name": TEACHER}))
        projector, _ = registry().load("label_projectors", labels["name"])
        has_teacher = "temperature" in projector.Options.model_fields
        temperature = 1.0
        if options.loss != "mse":
            temperature = options.temperature or (TEMPERATURE if has_teacher else 1.0)
            labels |= {"temperature": temperature} if has_teacher else {}
        return Recipe(
            network=network,
            optimiser="adamw",
            lr=options.lr,
            lr_search=options.lr_search,
            weight_decay=options.weight_decay,
            loss=options.loss,
            temperature=temperature,
            epochs=options.epochs,
            schedule="cosine",
            cosine_share=options.cosine_share,
            batch_size=options.batch_size,
            evaluate_every=options.evaluate_every,
            selection="best",
            best_of=options.best_of,
            augmentation=self.augmentation(stored),
            protocol=self.name,
            **{**kept, "labels": labels},
        )

    def augmentation(self, stored: Recipe | None) -> dict[str, Any] | None:
        """Return what training images go through: what is asked for, else the set's own."""
        return augmentation_of(self.options.augmentation, stored)
