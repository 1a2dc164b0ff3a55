"""What is known about a data set before any image of it is seen."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from limbeck.data.whitening import Whitening
from limbeck.errors import DataError


@dataclass(frozen=True)
class DataSpec:
    """Shape, classes and preprocessing of a data set; travels with everything made from it.

    Attributes:
        name: the data set's registered name, or ``"custom"``.
        shape: (channels, height, width) of every image.
        num_classes: width of the classifier head.
        class_names: one for each class, in label order.
        mean: of each channel over the training images, pixels in [0, 1].
        std: of each channel likewise, greater than 0.
        mirror: whether a horizontal flip keeps an image's class (not so for digits).
        whitening: the map that takes the place of mean and std in what networks see, or none.

    Raises:
        DataError: the fields contradict each other.
    """

    name: str
    shape: tuple[int, int, int]
    num_classes: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mirror: bool
    whitening: Whitening | None = None

    def __post_init__(self) -> None:
        channels = self.shape[0]
        if len(self.mean) != channels or len(self.std) != channels:
            raise DataError(
                f"data set '{self.name}' has {channels} channels, but its mean has {len(self.mean)} values "
                f"and its std {len(self.std)}; give one for each channel."
            )
        if not all(value > 0 for value in self.std):
            raise DataError(f"data set '{self.name}' has std {self.std}; every channel's must be above 0.")
        if len(self.class_names) != self.num_classes:
            raise DataError(
                f"data set '{self.name}' has {self.num_classes} classes, but {len(self.class_names)} names."
            )
        if self.whitening is not None and self.whitening.size != math.prod(self.shape):
            size = "x".join(map(str, self.shape))
            raise DataError(
                f"the whitening was fitted on images of {self.whitening.size} numbers, but those of '{self.name}' have "
                f"{math.prod(self.shape)} ({size}). Fit it on these: preprocessing=zca."
            )

    @property
    def preprocessing(self) -> str:
        """What turns pixels into what networks see: ``"standard"`` (mean and std) or ``"zca"``."""
        return "standard" if self.whitening is None else "zca"

    def sees_like(self, other: DataSpec) -> bool:
        """Whether networks see the same of an image here as there."""
        if self.whitening is not None or other.whitening is not None:
            return self.whitening == other.whitening
        return self.mean == other.mean and self.std == other.std

    def normalise(self, unit: Tensor) -> Tensor:
        """Return what a network sees of pixels in [0, 1], [n, ch, h, w]; differentiable."""
        if self.whitening is not None:
            return self.whitening.whiten(unit)
        mean, std = self.statistics(unit.device, unit.dtype)
        return (unit - mean) / std

    def denormalise(self, images: Tensor) -> Tensor:
        """Return the pixels of what networks see, [n, ch, h, w]: [0, 1] for real images, not clamped."""
        if self.whitening is not None:
            return self.whitening.restore(images)
        mean, std = self.statistics(images.device, images.dtype)
        return images * std + mean

    def clamp(self, images: Tensor) -> Tensor:
        """Return what networks see of the same images with their pixels brought into [0, 1]."""
        if self.whitening is not None:
            return self.normalise(self.denormalise(images).clamp(0, 1))
        mean, std = self.statistics(images.device, images.dtype)
        return images.clamp(-mean / std, (1 - mean) / std)

    def statistics(
        self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> tuple[Tensor, Tensor]:
        """Return mean and std as tensors [ch, 1, 1]; do not change them."""
        return _columns(self.mean, torch.device(device), dtype), _columns(self.std, torch.device(device), dtype)

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors that ``to_dict`` cannot hold: those of the whitening."""
        return {} if self.whitening is None else self.whitening.tensors()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values; of a whitening its epsilon and its digest."""
        names = [field.name for field in fields(self) if field.name != "whitening"]
        values: dict[str, Any] = {name: getattr(self, name) for name in names}
        found = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        if self.whitening is not None:
            found["whitening"] = {"epsilon": self.whitening.epsilon, "digest": self.whitening.digest}
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None) -> DataSpec:
        """Build the spec that ``to_dict`` wrote, with the tensors that ``tensors`` gave.

        Raises:
            DataError: tensors are missing, or are not those that were written.
        """
        given: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        stated = given.pop("whitening", None)
        if stated is not None:
            whitening = Whitening.from_tensors(tensors or {}, stated["epsilon"])
            if whitening.digest != stated["digest"]:
                raise DataError("the whitening matrix is not the one that was written: it was altered.")
            given["whitening"] = whitening
        return cls(**given)


@functools.lru_cache(maxsize=64)
def _columns(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return one number a channel as [ch, 1, 1]; kept, so that no step sends it to the device again."""
    return torch.tensor(values, device=device, dtype=dtype)[:, None, None]
