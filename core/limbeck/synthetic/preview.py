"""Pictures of a set: single images for a page, and one row a group for a preview."""

from __future__ import annotations

import io
from collections.abc import Sequence

import torch
from torch import Tensor

from limbeck.synthetic.sets import SyntheticSet

TILE, GAP, COLUMNS, ROWS = 64, 4, 10, 200


def preview_png(synthetic: SyntheticSet) -> bytes:
    """Return a PNG with one row per group: at most ten images a row, at most two hundred rows."""
    unit = synthetic.unit()
    groups = [group for group, count in enumerate(synthetic.counts) if count][:ROWS]
    return png(grid([unit[synthetic.group == group][:COLUMNS] for group in groups]))


def grid(rows: Sequence[Tensor], tile: int = TILE) -> Tensor:
    """Lay rows of unit images [k, ch, h, w] out as one uint8 image [H, W, 3] on a white ground.

    Args:
        rows: images in [0, 1], all of one size; rows may have different lengths.
        tile: pixels of an image's longer side; smaller images grow by a whole factor, so that their pixels
            stay square and even, and larger ones shrink to it.
    """
    pictures = [[enlarge(picture(shrink(image, tile)), tile) for image in row] for row in rows]
    height, width = next((p.shape[:2] for row in pictures for p in row), (tile, tile))
    down, across = len(pictures), max(map(len, pictures), default=0)
    size = (down * (height + GAP) + GAP, across * (width + GAP) + GAP, 3)
    canvas = torch.full(size, 255, dtype=torch.uint8)
    for y, row in enumerate(pictures):
        for x, image in enumerate(row):
            top, left = GAP + y * (height + GAP), GAP + x * (width + GAP)
            canvas[top : top + height, left : left + width] = image
    return canvas


def picture(image: Tensor) -> Tensor:
    """Turn a unit image [ch, h, w] into uint8 [h, w, 3]; channels that are no RGB are shown as their mean."""
    colour = image if len(image) == 3 else image.mean(0, keepdim=True).expand(3, -1, -1)
    return (colour.cpu().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)


def shrink(image: Tensor, side: int) -> Tensor:
    """Average the pixels of an image [ch, h, w] down to a longer side of ``side``; smaller ones stay."""
    scale = side / max(image.shape[-2:])
    if scale >= 1:
        return image
    size = [max(1, round(length * scale)) for length in image.shape[-2:]]
    return torch.nn.functional.interpolate(image[None], size=size, mode="area")[0]


def enlarge(image: Tensor, side: int) -> Tensor:
    """Repeat the pixels of an image [h, w, 3] by the whole factor that brings it nearest to ``side``."""
    factor = max(1, round(side / max(image.shape[:2])))
    return image.repeat_interleave(factor, 0).repeat_interleave(factor, 1)


def png(image: Tensor) -> bytes:
    """Encode a uint8 image [H, W, 3] as PNG, in one channel where it is grey."""
    from PIL import Image

    grey = bool((image == image[..., :1]).all())
    stream = io.BytesIO()
    Image.fromarray(image[..., 0].numpy() if grey else image.numpy()).save(stream, "PNG", optimize=True)
    return stream.getvalue()
