"""Early stopping: the whole training set, but no more images in all than a small set is trained on.

Paper: Zhao, Mopuri, Bilen, "Dataset Condensation with Gradient Matching" (arXiv:2006.05929), section 4.3: networks are
trained on the whole set for as many updates as training on the small set takes. No public code.

The same: the cost is that of the proxies with few images. Different: it is counted in images and not in updates, since
batches need not be of one size; distilling is not part of it (``images`` gives more). It is a short training of its
own and no long one cut off: the learning rate falls to zero over these few updates (``schedule=constant`` leaves it).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field

from limbeck.evaluation.recipe import Recipe
from limbeck_applications.nas.problem import Problem
from limbeck_applications.nas.proxies.trained import EPOCHS, IPC, Lesson, TrainedProxy, kept
from limbeck_applications.nas.proxy import Prepared


class EarlyStopping(TrainedProxy):
    """Accuracy after as few updates on the whole training set as cost what a small set costs."""

    class Options(TrainedProxy.Options):
        """How much is trained, and how."""

        ipc: int = Field(IPC, ge=1, description="images a class of the small set whose cost it may have")
        epochs: int = Field(EPOCHS, ge=1, description="passes over that small set")
        images: int | None = Field(
            None, ge=1, description="images trained on in all; classes x ipc x epochs by default"
        )

    trial_options: ClassVar = {"images": 64}

    def depends_on(self, problem: Problem) -> dict[str, Any]:
        """Return all of the problem but the network that sets are made with, which has no part in it."""
        return {name: value for name, value in problem.identity().items() if name != "network"}

    def prepare(self, problem: Problem, folder: Path) -> Prepared:
        """Take all training images, as they are."""
        real, own = problem.train, self.options.augmentation
        augmentation = None if own is None else own.model_dump()
        recipe = Recipe.from_dict({"network": "", "epochs": 0, "augmentation": augmentation})
        size = real.images.nbytes + real.labels.numel()
        prepared = kept(real.images, real.labels, real.group, real.spec, recipe, seed=problem.seed)
        return replace(prepared, images=len(real), bytes=size)

    def lesson(self, prepared: Prepared, device: torch.device) -> Lesson:
        """Return all training images, and as many updates as see the images allowed, one at least.

        Args:
            prepared: what ``prepare`` made.
            device: that trains.
        """
        found, options = super().lesson(prepared, device), self.options
        if options.updates is not None:
            return found
        allowed = options.images or options.ipc * options.epochs * found.spec.num_classes
        updates = max(1, round(allowed / found.training.batch_size))
        return replace(found, training=found.training.model_copy(update={"updates": updates}))
