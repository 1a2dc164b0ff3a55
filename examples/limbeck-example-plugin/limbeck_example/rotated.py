"""A continual benchmark: the same digits, turned another way in each experience. Unpublished."""

from __future__ import annotations

import torch

from limbeck.data import DataSet, RealData
from limbeck.seeding import generator
from limbeck_applications.continual.stream import ContinualBenchmark, Experience, Stream


class RotatedDigits(ContinualBenchmark):
    """All digits four times, turned by a multiple of 90 degrees; the order's number decides which turn comes when."""

    data = "digits"

    def stream(self, data: DataSet, order: int) -> Stream:
        """Return four experiences of all classes."""
        turns = torch.randperm(4, generator=generator(order, "rotated")).tolist()
        classes = tuple(range(data.spec.num_classes))
        shown = [Experience(classes, turned(data.train, turn), turned(data.test, turn)) for turn in turns]
        return Stream(data.spec, tuple(shown), "domain")


def turned(real: RealData, turn: int) -> RealData:
    """Return the images turned by ``turn`` times 90 degrees, counterclockwise."""
    images = real.images.rot90(turn, (2, 3))
    return RealData(images, real.labels, real.spec, device=real.device, dtype=real.dtype)
