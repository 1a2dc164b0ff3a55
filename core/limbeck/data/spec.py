"""What is known about a data set before any image of it is seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

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

    def statistics(
        self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> tuple[Tensor, Tensor]:
        """Return mean and std as tensors [ch, 1, 1]."""
        mean = torch.tensor(self.mean, device=device, dtype=dtype)
        std = torch.tensor(self.std, device=device, dtype=dtype)
        return mean[:, None, None], std[:, None, None]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        fields = asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DataSpec:
        """Build the spec that ``to_dict`` wrote."""
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**fields)
