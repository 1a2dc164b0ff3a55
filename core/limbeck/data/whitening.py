"""ZCA whitening: pixels turned into numbers without correlation, and back.

Bell and Sejnowski, "The independent components of natural scenes are edge filters" (Vision Research, 1997), with the
regularised form of Krizhevsky's thesis (2009), which dataset distillation took up: on pixels in [0, 1],
W = U diag(1 / sqrt(s + eps)) U' where U diag(s) U' is the covariance of the training images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor

from limbeck.errors import DataError

EPSILON = 0.1
"""Added to every eigenvalue: MTT's and TESLA's choice (arXiv:2203.11932)."""

CHUNK = 4096
"""Images a pass while the covariance is summed."""


class Whitening:
    """An affine map of flattened pixels and its inverse, fitted once on training images.

    Args:
        centre: what is subtracted, float32 [d] with d = ch * h * w.
        matrix: symmetric, float32 [d, d]; whitened = (pixels - centre) @ matrix.
        epsilon: what was added to the eigenvalues.

    Raises:
        DataError: the sizes do not fit each other.
    """

    def __init__(self, centre: Tensor, matrix: Tensor, epsilon: float = EPSILON) -> None:
        if centre.dim() != 1 or list(matrix.shape) != [len(centre)] * 2:
            raise DataError(
                f"a whitening matrix must be [d, d] for a centre [d]; found {list(matrix.shape)} and "
                f"{list(centre.shape)}."
            )
        self.centre, self.matrix, self.epsilon = centre.float().cpu(), matrix.float().cpu(), epsilon
        self._placed: dict[tuple[str, torch.device, torch.dtype], Tensor] = {}

    @classmethod
    def fit(cls, images: Tensor, epsilon: float = EPSILON) -> Whitening:
        """Fit to training images, uint8 [N, ch, h, w]; sums are kept in float64.

        Raises:
            DataError: fewer than two images, from which nothing can be learned.
        """
        if len(images) < 2:
            raise DataError(f"whitening is fitted on at least 2 training images; found {len(images)}.")
        flat = images.flatten(1)
        centre = sum_of(flat) / len(flat)
        covariance = torch.zeros(len(centre), len(centre), dtype=torch.float64, device=flat.device)
        for chunk in torch.split(flat, CHUNK):
            deviation = chunk.double() / 255 - centre
            covariance.addmm_(deviation.T, deviation)
        values, vectors = torch.linalg.eigh(covariance / (len(flat) - 1))
        scale = (values.clamp(min=0) + epsilon).rsqrt()
        return cls(centre, (vectors * scale) @ vectors.T, epsilon)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], epsilon: float) -> Whitening:
        """Read what ``tensors`` gave.

        Raises:
            DataError: they are not there.
        """
        try:
            return cls(tensors["zca.centre"], tensors["zca.matrix"], epsilon)
        except KeyError as error:
            raise DataError(f"the set is whitened, but its tensor {error} is missing: it was altered.") from None

    def tensors(self) -> dict[str, Tensor]:
        """Return what must travel with images that were whitened."""
        return {"zca.centre": self.centre, "zca.matrix": self.matrix}

    @property
    def size(self) -> int:
        """Numbers of one image, d."""
        return len(self.centre)

    @cached_property
    def inverse(self) -> Tensor:
        """The matrix that undoes ``matrix``, float32 [d, d]."""
        inverse: Tensor = torch.linalg.inv(self.matrix.double())
        return inverse.float()

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits that change with any number of the map."""
        content = hashlib.sha256(self.centre.numpy().data)
        content.update(self.matrix.contiguous().numpy().data)
        return content.hexdigest()[:16]

    def whiten(self, unit: Tensor) -> Tensor:
        """Return whitened images of pixels in [0, 1], [n, ch, h, w]; differentiable."""
        flat = unit.flatten(1) - self._at("centre", unit)
        return (flat @ self._at("matrix", unit)).view_as(unit)

    def restore(self, images: Tensor) -> Tensor:
        """Return the pixels of whitened images [n, ch, h, w]; not clamped."""
        flat = images.flatten(1) @ self._at("inverse", images)
        return (flat + self._at("centre", images)).view_as(images)

    def _at(self, name: str, like: Tensor) -> Tensor:
        key = (name, like.device, like.dtype)
        if key not in self._placed:
            tensor: Tensor = getattr(self, name)
            self._placed[key] = tensor.to(like.device, like.dtype)
        return self._placed[key]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Whitening) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


def sum_of(flat: Tensor) -> Tensor:
    """Return the sum of bytes [N, d] as pixels in [0, 1], float64 [d], whatever the order of the images."""
    return flat.sum(0, dtype=torch.int64).double() / 255
