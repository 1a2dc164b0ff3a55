"""Domain-incremental streams: the same classes in every experience, their pixels in another order.

Paper: Goodfellow et al., "An empirical investigation of catastrophic forgetting", arXiv:1312.6211, section 3 (pixel
permutations of MNIST). The first experience shows the images as they are, each later one under a permutation of its
positions, the same for all its images and for every channel, drawn from the repetition's number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from limbeck.data import DataSet, RealData
from limbeck.errors import UsageError
from limbeck.options import Options as OptionsBase
from limbeck.seeding import generator
from limbeck_applications.continual.stream import ContinualBenchmark, Experience, Stream


class PermutedOptions(OptionsBase):
    """How many orders of the pixels there are."""

    experiences: int = Field(5, ge=1, description="orders of the pixels, the first of them the images' own")
    online: bool = Field(False, description="each training image is seen once in each experience")


class PermutedMNIST(ContinualBenchmark):
    """Handwritten digits under permutations of their pixels."""

    Options: ClassVar[type[OptionsBase]] = PermutedOptions
    data = "mnist"

    @classmethod
    def variant(cls, tokens: Sequence[str]) -> dict[str, Any]:
        """Read ``10`` of ``permuted_mnist-10`` as the number of experiences."""
        if len(tokens) == 1 and tokens[0].isdigit():
            return {"experiences": int(tokens[0])}
        raise UsageError(f"'{'-'.join(tokens)}' is no number of experiences. Type for example permuted_mnist-5.")

    def stream(self, data: DataSet, order: int) -> Stream:
        """Return all images once for each order of the pixels."""
        classes = tuple(range(data.spec.num_classes))
        experiences = []
        for position in range(self.options.experiences):
            places = permutation(data.spec.shape, order, position)
            experiences.append(Experience(classes, permuted(data.train, places), permuted(data.test, places)))
        return Stream(data.spec, tuple(experiences), "domain", self.options.online)


def permutation(shape: tuple[int, int, int], order: int, position: int) -> Tensor | None:
    """Return where each pixel of an experience comes from, int64 [height * width], or None for the first."""
    rng = generator(order, "continual", "permutation", position)
    return torch.randperm(shape[1] * shape[2], generator=rng) if position else None


def permuted(real: RealData, places: Tensor | None) -> RealData:
    """Return the images with their pixels taken from ``places``, int64 [height * width]; themselves without."""
    if places is None:
        return real
    images = real.images.flatten(2)[:, :, places.to(real.device)].reshape(real.images.shape)
    return RealData(images, real.labels, real.spec, device=real.device, dtype=real.dtype)
