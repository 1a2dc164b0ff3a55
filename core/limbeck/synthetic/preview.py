"""A picture of a set: one row a class."""

from __future__ import annotations

import io

import torch
from torch import Tensor

from limbeck.synthetic.sets import SyntheticSet

TILE, GAP, COLUMNS = 64, 4, 10


def preview_png(synthetic: SyntheticSet) -> bytes:
    """Return a PNG with one row per group and at most ten images a row."""
    unit = synthetic.unit()
    rows = [unit[synthetic.group == group][:COLUMNS] for group in range(len(synthetic.counts))]
    return png(grid([row for row in rows if len(row)]))


def grid(rows: list[Tensor], tile: int = TILE) -> Tensor:
    """Lay rows of unit images [k, ch, h, w] out as one uint8 image [H, W, 3] on a white ground."""
    width = max(map(len, rows))
    canvas = torch.full((len(rows) * (tile + GAP) + GAP, width * (tile + GAP) + GAP, 3), 255, dtype=torch.uint8)
    for y, row in enumerate(rows):
        big = torch.nn.functional.interpolate(row.cpu(), size=(tile, tile), mode="nearest")
        colour = (big.expand(-1, 3, -1, -1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        for x, image in enumerate(colour):
            top, left = GAP + y * (tile + GAP), GAP + x * (tile + GAP)
            canvas[top : top + tile, left : left + tile] = image
    return canvas


def png(image: Tensor) -> bytes:
    """Encode a uint8 image [H, W, 3] as PNG."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image.numpy()).save(stream, "PNG", optimize=True)
    return stream.getvalue()
