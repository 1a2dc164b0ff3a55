"""Class-incremental streams: the classes of a data set, some in each experience.

Class orders of arXiv:2110.04181's public code VICO-UoE/DatasetCondensation (MIT, CL_DM.py): of repetition s the legacy
permutation of NumPy's global generator seeded with s. What differs: the permutation is drawn from a generator of its
own, which gives the same numbers and leaves the global one alone. Labels stay the data set's own, so that one head
serves all experiences, and experiences that cannot share the classes equally drop none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field

from limbeck.data import DataSet, RealData
from limbeck.errors import UsageError
from limbeck.options import Options as OptionsBase
from limbeck_applications.continual.benchmarks.orders import DRAWN, ClassOrder, class_order, sizes
from limbeck_applications.continual.stream import ContinualBenchmark, Experience, Stream


class SplitOptions(OptionsBase):
    """How a data set is split."""

    experiences: int = Field(5, ge=1, description="parts that the classes are dealt out to")
    first: int | None = Field(None, ge=1, description="classes of the first part; the others share the rest equally")
    class_order: ClassOrder = Field(
        DRAWN, description="numpy (another order for each repetition), natural, icarl, distilled_replay, or a list"
    )
    uneven: bool = Field(False, description="let earlier parts have one class more where they cannot be equal")
    online: bool = Field(False, description="each training image is seen once")


class Split(ContinualBenchmark):
    """The classes of a data set, dealt out to experiences; a subclass names the data set."""

    Options: ClassVar[type[OptionsBase]] = SplitOptions

    @classmethod
    def variant(cls, tokens: Sequence[str]) -> dict[str, Any]:
        """Read ``10`` of ``split_cifar100-10`` as the number of experiences."""
        if len(tokens) == 1 and tokens[0].isdigit():
            return {"experiences": int(tokens[0])}
        raise UsageError(f"'{'-'.join(tokens)}' is no number of experiences. Type for example split_{cls.data}-5.")

    def stream(self, data: DataSet, order: int) -> Stream:
        """Return one experience for each share of the classes."""
        options = self.options
        classes = class_order(options.class_order, data.spec.num_classes, order)
        shares = sizes(len(classes), options.experiences, first=options.first, uneven=options.uneven)
        ends = torch.tensor(shares).cumsum(0).tolist()
        groups = [tuple(classes[end - share : end]) for end, share in zip(ends, shares, strict=True)]
        experiences = tuple(Experience(group, of(data.train, group), of(data.test, group)) for group in groups)
        return Stream(data.spec, experiences, "class", options.online)


def of(real: RealData, classes: Sequence[int]) -> RealData:
    """Return the images of some classes, in the order they lie in; labels stay."""
    wanted = torch.zeros(real.spec.num_classes, dtype=torch.bool, device=real.device)
    wanted[list(classes)] = True
    return real.subset(wanted[real.labels].nonzero().flatten())


class SplitDigits(Split):
    """Handwritten digits of 8x8 pixels."""

    data = "digits"


class SplitMNIST(Split):
    """Handwritten digits."""

    data = "mnist"


class SplitFashionMNIST(Split):
    """Articles of clothing."""

    data = "fashion_mnist"


class SplitCIFAR10(Split):
    """Photographs of animals and vehicles."""

    data = "cifar10"


class SplitCIFAR100(Split):
    """Photographs of 100 classes."""

    data = "cifar100"
