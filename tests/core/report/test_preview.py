"""Previews: whole pixels, whole rows, for any shape a set can have."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

from limbeck.data import DataSpec
from limbeck.synthetic import SyntheticSet
from limbeck.synthetic.preview import GAP, enlarge, grid, picture, png, preview_png, shrink


def test_rows_are_groups_and_pixels_stay_square():
    rows = [torch.rand(3, 1, 8, 4), torch.rand(1, 1, 8, 4)]
    canvas = grid(rows, tile=16)
    assert canvas.shape == (2 * (16 + GAP) + GAP, 3 * (8 + GAP) + GAP, 3)
    tile = canvas[GAP : GAP + 16, GAP : GAP + 8]
    assert torch.equal(tile[::2, ::2], picture(rows[0][0]))
    assert torch.equal(tile[1::2, 1::2], tile[::2, ::2])
    assert (canvas[-(16 + GAP) :, -(8 + GAP) :] == 255).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_any_number_of_channels_has_a_picture(channels):
    image = torch.rand(channels, 5, 5)
    shown = picture(image)
    assert shown.shape == (5, 5, 3)
    if channels != 3:
        assert torch.allclose(shown[..., 0] / 255, image.mean(0), atol=1 / 255)


def test_png_gives_back_the_pixels():
    for image in (torch.rand(3, 6, 7), torch.rand(1, 6, 7)):
        with Image.open(io.BytesIO(png(picture(image)))) as read:
            assert read.mode == ("RGB" if len(image) == 3 else "L")
            assert read.size == (7, 6)


def test_large_images_shrink_to_their_mean():
    image = torch.rand(3, 64, 32)
    small = shrink(image, 16)
    assert small.shape == (3, 16, 8)
    assert torch.allclose(small.mean((1, 2)), image.mean((1, 2)), atol=1e-6)
    assert shrink(small, 16) is small
    assert enlarge(picture(small), 16).shape == (16, 8, 3)


def test_group_without_images_has_no_row():
    spec = DataSpec("custom", (1, 8, 8), 3, ("a", "b", "c"), (0.5,), (0.5,), True)
    labels = torch.tensor([0, 2])
    with Image.open(io.BytesIO(preview_png(SyntheticSet(torch.zeros(2, 1, 8, 8), labels, labels, spec)))) as read:
        assert read.size == (64 + 2 * GAP, 2 * (64 + GAP) + GAP)
