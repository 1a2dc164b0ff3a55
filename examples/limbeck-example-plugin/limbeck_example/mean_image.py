"""A continual strategy that needs no network: the class whose mean image is nearest. Unpublished."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor

from limbeck.data import RealData
from limbeck_applications.continual.strategy import Context, Row, Strategy
from limbeck_applications.continual.stream import Stream


class MeanImage(Strategy):
    """Keep the mean of each class's pixels, a float32 number a pixel; nothing is trained or drawn."""

    memory = "other"

    def run(self, stream: Stream, context: Context) -> Iterator[Row]:
        """Add the means of each experience, and yield a row after it."""
        sums = torch.zeros(stream.spec.num_classes, *stream.spec.shape, device=context.device)
        counts = torch.zeros(stream.spec.num_classes, device=context.device)
        for experience in stream.experiences:
            started, new = time.perf_counter(), experience.train
            sums.index_add_(0, new.labels, new.images.float())
            counts += torch.bincount(new.labels, minlength=len(counts))
            seconds = time.perf_counter() - started
            tested = tuple(_accuracy(sums, counts, each.test) for each in stream.experiences)
            yield Row(tested, seconds, bytes=int((counts > 0).sum()) * sums[0].numel() * sums.element_size())


def _accuracy(sums: Tensor, counts: Tensor, test: RealData) -> float:
    """Return the share of test images whose class has the nearest mean among those seen."""
    seen = counts.nonzero().squeeze(1)
    means = (sums[seen] / counts[seen, None, None, None]).flatten(1)
    nearest = seen[torch.cdist(test.images.float().flatten(1), means).argmin(1)]
    return float((nearest == test.labels).double().mean())
