"""Handwritten digits of 8x8 pixels that come inside scikit-learn, for trials in seconds.

Source: Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits" (UCI, 1998), as shipped by
scikit-learn (BSD-3). The source has no test part; here every fifth image of each class is one, 355 of 1,797,
the same for every seed and version.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from limbeck.data import Dataset, DataSpec, RawData, channel_statistics

STRIDE = 5  # one test image in five


class Digits(Dataset):
    """Ten digits; sixteen levels of grey stretched over the 256 of a byte."""

    def load(self, root: Path, *, download: bool) -> RawData:
        """Return the set; ``root`` and ``download`` are not needed."""
        from sklearn.datasets import load_digits  # scikit-learn is slow to import

        source = load_digits()
        levels = torch.from_numpy(source.images).to(torch.int64)
        images = ((levels * 255 + 8) // 16).to(torch.uint8).unsqueeze(1)  # whole numbers round alike everywhere
        labels = torch.from_numpy(source.target).to(torch.int64)
        test = _every_fifth(labels)
        mean, std = channel_statistics(images[~test])
        spec = DataSpec("digits", (1, 8, 8), 10, tuple("0123456789"), mean, std, mirror=False)
        return RawData(spec, images[~test], labels[~test], images[test], labels[test])


def _every_fifth(labels: Tensor) -> Tensor:
    """Return a mask [N] of the images that are the fifth, tenth, ... of their class."""
    one_hot = torch.nn.functional.one_hot(labels)
    position = one_hot.cumsum(0).gather(1, labels[:, None]).squeeze(1)
    return position % STRIDE == 0
