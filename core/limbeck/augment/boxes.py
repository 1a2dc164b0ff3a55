"""Parts of images, stretched to a size.

Rectangles are whole pixels. A part is stretched by two products with matrices, one for rows and one for columns: this
is exactly bilinear interpolation with antialiasing of the part alone (what lies beside it is never seen), takes a
rectangle of its own for each image in one pass, is differentiable, and does the same on every run.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Boxes:
    """Rectangles of whole pixels, one for each image or one for all; every member is int64 [n] or [1].

    Attributes:
        top: the first row.
        left: the first column.
        height: rows, 1 or more.
        width: columns, 1 or more.
    """

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor

    def rows(self, index: Tensor) -> Boxes:
        """Return the rectangles at ``index``, int64 [m]."""
        return Boxes(self.top[index], self.left[index], self.height[index], self.width[index])


def place(height: Tensor, width: Tensor, u: Tensor, size: tuple[int, int]) -> Boxes:
    """Put rectangles anywhere inside images, every place being equally likely.

    Args:
        height: rows of each, int64 [n].
        width: columns of each, int64 [n].
        u: uniform numbers in [0, 1), [n, 2].
        size: rows and columns of the images, no less than those of any rectangle.
    """
    top, left = (
        torch.minimum((u[:, axis] * (whole - side + 1)).long(), whole - side)
        for axis, (whole, side) in enumerate(zip(size, (height, width), strict=True))
    )
    return Boxes(top, left, height, width)


def stretch(images: Tensor, boxes: Boxes, size: tuple[int, int]) -> Tensor:
    """Cut a rectangle out of each image and stretch or shrink it to a size.

    Args:
        images: [n, ch, h, w], floating point.
        boxes: n rectangles inside the images, or one for all.
        size: rows and columns of the result.

    Returns:
        [n, ch, *size]; each pixel is a mean of pixels of the rectangle.
    """
    down = _weights(boxes.top, boxes.height, images.shape[2], size[0], images)
    across = _weights(boxes.left, boxes.width, images.shape[3], size[1], images)
    return down.unsqueeze(1) @ images @ across.mT.unsqueeze(1)


def _weights(start: Tensor, length: Tensor, whole: int, size: int, like: Tensor) -> Tensor:
    """Return what each of ``size`` pixels takes of each of ``whole`` along one axis, [n, size, whole]."""
    pixels = torch.arange(whole, device=like.device)
    wanted = torch.arange(size, device=like.device, dtype=like.dtype)
    start, length = start[:, None, None], length[:, None, None]
    scale = length.to(like.dtype) / size
    centre = (wanted[:, None] + 0.5) * scale + start
    reach = scale.clamp(min=1)
    weights = (1 - (pixels + 0.5 - centre).abs() / reach).clamp(min=0)
    weights = weights.masked_fill((pixels < start) | (pixels >= start + length), 0)
    return weights / weights.sum(2, keepdim=True)
