"""A piece of a memory: what is kept of one experience."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from limbeck.data import DataSpec
from limbeck.evaluation.job import training_images
from limbeck.evaluation.recipe import Recipe
from limbeck.synthetic import SyntheticSet

FORMATIONS = "formations."
"""Prefix of a formation's tensors among those that travel with a set."""


@dataclass(frozen=True, repr=False)
class Piece:
    """What is kept of one experience.

    Attributes:
        made: images of the experience's classes alone, which it numbers from 0 by their place in ``classes``; class by
            class, the most important first.
        classes: these classes as the stream numbers them.
        experience: number of the experience, from 0.
        seconds: spent making it.
        name: of the folder that holds it, where it was stored.
    """

    made: SyntheticSet
    classes: tuple[int, ...]
    experience: int = 0
    seconds: float = 0.0
    name: str = ""

    def __repr__(self) -> str:
        return f"Piece(classes={self.classes}, images={len(self.made)}, bytes={self.bytes})"

    @property
    def bytes(self) -> int:
        """What it takes to keep: images as stored, labels, and what travels with them."""
        return self.made.bytes

    @property
    def counts(self) -> list[int]:
        """Stored images of each of its classes, in the order of ``classes``."""
        return torch.bincount(self.made.group, minlength=len(self.classes)).tolist()

    def formed(self, spec: DataSpec) -> tuple[Tensor, Tensor]:
        """Return what networks are trained on, before augmentation.

        Args:
            spec: of the stream, which has all classes and the piece's preprocessing.

        Returns:
            Normalised images [m, ch, h, w], and their labels as the stream numbers them: int64 [m], or probabilities
            [m, C] over all classes of the stream.
        """
        images, stored = self.training_images()
        return images, self.labels(spec.num_classes)[stored]

    def training_images(self) -> tuple[Tensor, Tensor]:
        """Return normalised images [m, ch, h, w] formed for training, and which stored one each is of, int64 [m]."""
        made = self.made
        recipe = Recipe.from_dict(made.recipe)
        prefix = f"{FORMATIONS}{recipe.formation['name']}."
        state = {k.removeprefix(prefix): v for k, v in made.component_state.items() if k.startswith(prefix)}
        return training_images(recipe, made.spec, made.normalised(), made.group, state)

    def labels(self, num_classes: int) -> Tensor:
        """Return the stored images' labels as the stream numbers them, int64 [n] or probabilities [n, num_classes]."""
        made, own = self.made, torch.tensor(self.classes)
        if made.label_kind == "hard":
            return own[made.labels]
        shares = made.labels.float()
        shares = shares.softmax(1) if made.label_kind == "logits" else shares
        return torch.zeros(len(made), num_classes).index_copy(1, own, shares)

    def subset(self, index: Tensor) -> Piece:
        """Return a piece of the stored images at ``index``, int64 [n], in that order."""
        made = self.made
        chosen = made.with_(images=made.images[index], labels=made.labels[index], group=made.group[index])
        return replace(self, made=chosen, name="")
