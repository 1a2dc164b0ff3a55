"""Real images, held as bytes on the device and normalised when drawn."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import torch
from torch import Tensor

from limbeck.data.checks import as_bytes, check_labels
from limbeck.data.spec import DataSpec
from limbeck.errors import DataError


class RealData:
    """Labelled real images of one part (train or test), indexed by group.

    A group is a class unless ``group`` says otherwise. A group may be empty; drawing from it is an error.

    Args:
        images: [N, ch, h, w], uint8, or float in [0, 1], which is rounded to the nearest of 256 levels.
        labels: classes, int64 [N], in [0, spec.num_classes).
        spec: what the images are.
        device: where they are kept and drawn.
        dtype: of normalised images.
        group: int64 [N], numbered from 0; the labels when None.

    Raises:
        DataError: pixels, labels or groups that cannot be used.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        spec: DataSpec,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        group: Tensor | None = None,
    ) -> None:
        pixels = as_bytes(images)
        if tuple(pixels.shape[1:]) != tuple(spec.shape):
            raise DataError(
                f"images of '{spec.name}' are {_size(pixels.shape[1:])}, but {_size(spec.shape)} was "
                "announced (channels x height x width)."
            )
        self.spec, self.device, self.dtype = spec, torch.device(device), dtype
        self.labels = check_labels(labels, len(pixels), spec.num_classes).to(device)
        self.images = pixels.to(device)
        self.group = self.labels if group is None else check_labels(group, len(pixels)).to(device)
        counts = torch.bincount(self.group, minlength=spec.num_classes if group is None else 0)
        self.group_sizes: list[int] = counts.tolist()
        self._by_group = torch.split(self.group.argsort(stable=True), self.group_sizes)
        self._digest = ""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def num_groups(self) -> int:
        """Number of groups, empty ones included."""
        return len(self.group_sizes)

    def members(self, group: int) -> Tensor:
        """Return the indices of a group's images, ascending int64 [size], on the device."""
        return self._by_group[group]

    def normalise(self, images: Tensor) -> Tensor:
        """Return what networks see of pixels [n, ch, h, w], uint8 or float in [0, 1]: see ``DataSpec.normalise``."""
        pixels = images.to(self.dtype)
        pixels = pixels / 255 if images.dtype == torch.uint8 else pixels
        return self.spec.normalise(pixels)

    def denormalise(self, images: Tensor) -> Tensor:
        """Return pixels in [0, 1] of what networks see, [n, ch, h, w]; what lies outside is clamped."""
        return self.spec.denormalise(images).clamp(0, 1)

    def sample(self, group: int, n: int, generator: torch.Generator) -> Tensor:
        """Draw images of one group without replacement.

        Args:
            group: whose images.
            n: how many; a smaller group gives all it has, shuffled.
            generator: owner of the draw, on any device.

        Returns:
            Indices int64 [min(n, size)] on the data's device.

        Raises:
            DataError: the group has no images.
        """
        members = self._by_group[group]
        if not len(members):
            raise DataError(f"group {group} of '{self.spec.name}' has no images to draw.")
        order = torch.randperm(len(members), generator=generator, device=generator.device)[:n]
        return members[order.to(self.device)]

    def batch(self, group: int, n: int, generator: torch.Generator) -> Tensor:
        """Return ``sample``'s images, normalised [min(n, size), ch, h, w]."""
        return self.take(self.sample(group, n, generator))

    def take(self, index: Tensor) -> Tensor:
        """Return normalised images [n, ch, h, w] at ``index``, int64 [n]."""
        return self.normalise(self.images[index])

    def all(self, chunk: int = 1024) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield every image in order as (normalised [n, ch, h, w], labels [n]) with n at most ``chunk``."""
        for images, labels in zip(torch.split(self.images, chunk), torch.split(self.labels, chunk), strict=True):
            yield self.normalise(images), labels

    def subset(self, index: Tensor) -> RealData:
        """Return a set of the images at ``index`` (int64 [n]); spec and group numbers stay."""
        group = None if self.group is self.labels else self.group[index]
        return RealData(
            self.images[index],
            self.labels[index],
            self.spec,
            device=self.device,
            dtype=self.dtype,
            group=group,
        )

    def seen_as(self, spec: DataSpec) -> RealData:
        """Return the same images as networks see them under another specification."""
        group = None if self.group is self.labels else self.group
        return RealData(self.images, self.labels, spec, device=self.device, dtype=self.dtype, group=group)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> RealData:
        """Return this set on another device or in another type of normalised images; itself when nothing changes."""
        if torch.device(device) == self.device and dtype == self.dtype:
            return self
        group = None if self.group is self.labels else self.group
        return RealData(self.images, self.labels, self.spec, device=device, dtype=dtype, group=group)

    def digest(self) -> str:
        """Return 16 hexadecimal digits that change with any pixel, label, group or statistic."""
        if not self._digest:
            content = hashlib.sha256(json.dumps(self.spec.to_dict(), sort_keys=True).encode())
            for tensor in (self.images, self.labels, self.group):
                content.update(tensor.cpu().contiguous().numpy().data)
            self._digest = content.hexdigest()[:16]
        return self._digest


def _size(shape: torch.Size | tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
