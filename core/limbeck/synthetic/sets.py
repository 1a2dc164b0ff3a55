"""The synthetic set: images and labels, and everything needed to train on them as they were meant."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from limbeck.data import DataSpec
from limbeck.errors import UsageError

Space = Literal["normalised", "unit"]
Storage = Literal["float32", "float16", "uint8"]
LabelKind = Literal["hard", "probabilities", "logits"]

BYTES_PER_NUMBER = {"float32": 4, "float16": 2, "uint8": 1}


@dataclass(frozen=True)
class SyntheticSet:
    """A few images that train a network nearly as well as the data set they stand for.

    Attributes:
        images: float32 [n, ch, h, w], in ``space``.
        labels: class ids int64 [n], or soft labels float32 [n, C] of the kind ``label_kind``, rounded to float16
            unless ``storage`` is float32.
        group: which group each image belongs to, int64 [n]; the class unless groups were given.
        spec: the real data set's shape, classes, mean and standard deviation.
        space: ``normalised`` as ``spec`` does it (mean and deviation, or whitening), or ``unit`` = [0, 1].
        storage: number format on disk; also what its bytes are counted in.
        label_kind: what ``labels`` hold.
        recipe: how to train on the set: network, augmentation, optimiser, epochs, label projector, formation.
        provenance: method, settings, seed, versions that made it.
        figures: accuracies measured with it, each with its protocol.
        component_state: tensors of components that travel with the set, named ``<kind>.<name>.<tensor>``.

    Raises:
        UsageError: images, labels and groups that do not fit each other or ``spec``.
    """

    images: Tensor
    labels: Tensor
    group: Tensor
    spec: DataSpec
    space: Space = "normalised"
    storage: Storage = "float32"
    label_kind: LabelKind = "hard"
    recipe: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    component_state: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check()
        if self.label_kind != "hard":
            object.__setattr__(self, "labels", self.stored_labels().float())

    def _check(self) -> None:
        n, shape, classes = len(self.images), list(self.spec.shape), self.spec.num_classes
        labels = "class ids [n]" if self.label_kind == "hard" else f"numbers [n, {classes}] ({self.label_kind})"
        fits = (
            list(self.images.shape) == [n, *shape]
            and list(self.group.shape) == [n]
            and list(self.labels.shape) == ([n] if self.label_kind == "hard" else [n, classes])
            and self.labels.is_floating_point() == (self.label_kind != "hard")
        )
        if not fits:
            found = ", ".join(str(list(tensor.shape)) for tensor in (self.images, self.labels, self.group))
            raise UsageError(
                f"a set for '{self.spec.name}' needs images [n, {', '.join(map(str, shape))}], "
                f"labels that are {labels}, and groups [n]; found {found} with labels of {self.labels.dtype}."
            )
        if self.storage not in BYTES_PER_NUMBER or self.space not in ("normalised", "unit"):
            raise UsageError(
                f"a set is stored as float32, float16 or uint8, not {self.storage}, and is normalised or unit, "
                f"not {self.space}."
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def counts(self) -> list[int]:
        """Images of each group."""
        groups = int(self.group.max()) + 1 if len(self.group) else 0
        return torch.bincount(self.group, minlength=groups).tolist()

    @property
    def bytes(self) -> int:
        """What the set costs to keep: images as stored, labels, and component tensors, not the preprocessing.

        A hard label is one byte (two above 256 classes); a soft label is one number a class, in ``storage``
        but never below float16.
        """
        size = BYTES_PER_NUMBER[self.storage]
        if self.label_kind == "hard":
            per_label = 1 if self.spec.num_classes <= 256 else 2
        else:
            per_label = max(size, 2) * self.spec.num_classes
        extra = sum(tensor.numel() * tensor.element_size() for tensor in self.component_state.values())
        return self.images.numel() * size + len(self) * per_label + extra

    def normalised(self) -> Tensor:
        """Return the images as a network wants them, float32 [n, ch, h, w], after what storage does to them."""
        images = self.stored_images().float()
        if self.storage == "uint8":
            images = images / 255
        elif self.space == "normalised":
            return images
        return self.spec.normalise(images)

    def unit(self) -> Tensor:
        """Return the images for the eye: float32 in [0, 1], values outside clipped."""
        return self.spec.denormalise(self.normalised()).clamp(0, 1)

    def stored_images(self) -> Tensor:
        """Return the images in their storage format (uint8 holds 255 times the unit image, rounded)."""
        if self.storage == "uint8":
            unit = self.images if self.space == "unit" else self.spec.denormalise(self.images)
            return (unit.clamp(0, 1) * 255).round().to(torch.uint8)
        return self.images.to(getattr(torch, self.storage))

    def stored_labels(self) -> Tensor:
        """Return the labels in their storage format: class ids int64, soft labels float32 or else float16."""
        if self.label_kind == "hard":
            return self.labels
        return self.labels.to(torch.float32 if self.storage == "float32" else torch.float16)

    def with_(self, **changes: Any) -> SyntheticSet:
        """Return a copy with other attributes (``set.with_(storage="uint8")``)."""
        return replace(self, **changes)

    def save(self, folder: str | Path) -> Path:
        """Write the artifact into ``folder``: tensors, manifest and preview, each whole or absent.

        Raises:
            UsageError: the folder cannot be written.
        """
        from limbeck.synthetic.artifact import save

        return save(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> SyntheticSet:
        """Read an artifact and check every checksum.

        Raises:
            ArtifactError: nothing there, truncated, altered, or written by a newer version.
        """
        from limbeck.synthetic.artifact import load

        return load(Path(folder))
