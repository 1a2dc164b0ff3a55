"""Moving pixels: whole-pixel shifts, and one bilinear warp that gives the same bits on every run.

Both take one transform for each image or one for all, are differentiable with respect to the images, and do
the same arithmetic whatever the number of CPU threads.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(images: Tensor, theta: Tensor, *, align_corners: bool = False) -> Tensor:
    """Sample images where an affine map sends each output pixel; zero outside.

    Args:
        images: [n, ch, h, w], float32 or float64.
        theta: maps output to input positions (x, y, 1), each axis from -1 to 1: [n, 2, 3], or [1, 2, 3] for
            all images.
        align_corners: whether -1 and 1 are the centres of the outermost pixels, else their outer edges.

    Returns:
        Bilinear samples [n, ch, h, w].
    """
    grid = _positions(theta, images.shape[2], images.shape[3], align_corners)
    if images.is_cuda and torch.are_deterministic_algorithms_enabled():
        return gather_bilinear(images, grid, align_corners=align_corners)
    return F.grid_sample(images, grid.expand(len(images), -1, -1, -1), align_corners=align_corners)


def rotation(angle: Tensor) -> Tensor:
    """Return the maps [n, 2, 3] for ``warp`` that turn images about their centre.

    Args:
        angle: radians [n]; positive turns anticlockwise as images are shown.
    """
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    return torch.stack((cos, -sin, zero, sin, cos, zero), dim=1).view(-1, 2, 3)


def gather_bilinear(images: Tensor, grid: Tensor, *, align_corners: bool) -> Tensor:
    """Do what ``grid_sample`` does, with operations that CUDA can repeat bit for bit.

    Args:
        images: [n, ch, h, w].
        grid: (x, y) of every output pixel, [n, h, w, 2] or [1, h, w, 2].
        align_corners: as in ``warp``.

    Returns:
        Bilinear samples [n, ch, h, w], zero outside.
    """
    size = torch.tensor(images.shape[:1:-1], dtype=grid.dtype, device=grid.device)
    place = (grid + 1) / 2 * (size - 1) if align_corners else ((grid + 1) * size - 1) / 2
    corner = place.floor()
    weight = place - corner
    samples = torch.zeros_like(images)
    for down in (0, 1):
        for right in (0, 1):
            step = torch.tensor([right, down], dtype=grid.dtype, device=grid.device)
            share = (step * weight + (1 - step) * (1 - weight)).prod(-1)
            x, y = (corner + step).long().unbind(-1)
            samples = samples + share.unsqueeze(1) * _gather(images, y, x)
    return samples


def pick(images: Tensor, rows: Tensor, columns: Tensor, fill: Tensor | float = 0.0) -> Tensor:
    """Copy whole pixels: output pixel (i, j) is input pixel (rows[i], columns[j]).

    Args:
        images: [n, ch, h, w].
        rows: int64 [n, h] or [1, h]; numbers outside the image give ``fill``.
        columns: int64 [n, w] or [1, w] likewise.
        fill: what lies outside, broadcast to [n, ch, h, w].

    Returns:
        [n, ch, h, w].
    """
    return _gather(images, rows[:, :, None], columns[:, None, :], fill)


def shift(images: Tensor, down: Tensor, right: Tensor, fill: Tensor | float = 0.0) -> Tensor:
    """Move the window by whole pixels: output pixel (i, j) is input pixel (i + down, j + right).

    Args:
        images: [n, ch, h, w].
        down: int64 [n] or [1].
        right: int64 [n] or [1].
        fill: what lies outside the image, broadcast to [n, ch, h, w].

    Returns:
        [n, ch, h, w].
    """
    rows = torch.arange(images.shape[2], device=images.device) + down[:, None]
    columns = torch.arange(images.shape[3], device=images.device) + right[:, None]
    return pick(images, rows, columns, fill)


def _positions(theta: Tensor, height: int, width: int, align_corners: bool) -> Tensor:
    """Return the input position (x, y) of every output pixel, [rows, h, w, 2]."""
    x, y = (_axis(size, theta, align_corners) for size in (width, height))
    x, y = x.view(1, 1, width), y.view(1, height, 1)
    a, b, c, d, e, f = theta.reshape(-1, 6, 1, 1).unbind(1)
    return torch.stack((a * x + b * y + c, d * x + e * y + f), dim=-1)


def _axis(size: int, like: Tensor, align_corners: bool) -> Tensor:
    pixels = torch.arange(size, dtype=like.dtype, device=like.device)
    if align_corners:
        return pixels * (2 / max(size - 1, 1)) - 1
    return (2 * pixels + 1) / size - 1


def _gather(images: Tensor, y: Tensor, x: Tensor, fill: Tensor | float = 0.0) -> Tensor:
    """Take pixel (y, x) for every output pixel, positions broadcasting to [n, h, w]; ``fill`` outside.

    Positions outside wrap around, so a shift reads every pixel once and its gradient adds nothing up.
    """
    height, width = images.shape[2:]
    inside = (((y >= 0) & (y < height)) & ((x >= 0) & (x < width))).unsqueeze(1)
    index = ((y % height) * width + x % width).flatten(1).unsqueeze(1)
    found = images.flatten(2).gather(2, index.expand(len(images), images.shape[1], -1)).view_as(images)
    return torch.where(inside, found, fill)
