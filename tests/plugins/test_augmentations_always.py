"""DSA's operations that every image has: their order, what is left to choose, and draws that stay what they were."""

from __future__ import annotations

import hashlib

import pytest
import torch

from limbeck.augment import Draw
from limbeck.data import DataSpec
from limbeck.errors import UsageError
from limbeck.plugins import registry

NAMES = ["color", "crop", "cutout", "flip", "scale", "rotate"]


def make(**options):
    return registry().create("augmentations", {"name": "dsa", **options})


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(n=12, seed=0):
    return torch.randn(n, 3, 12, 12, generator=rng(seed), dtype=torch.float64)


def spec(mirror):
    return DataSpec("toy", (3, 12, 12), 1, ("a",), (0.5,) * 3, (0.5,) * 3, mirror)


def alone(name, images, draw):
    """Apply one operation and nothing else, with the numbers of a draw."""
    return make(strategy=name).apply(images, Draw(torch.zeros_like(draw.op), draw.u))


@pytest.mark.parametrize(
    "always, before, after",
    [
        ("flip", ["flip"], []),
        ("color_cutout", ["color"], ["cutout"]),
        ("cutout_color_flip", ["flip", "color"], ["cutout"]),
        ("rotate_crop", ["crop", "rotate"], []),
    ],
)
def test_every_image_has_them_around_the_one_that_is_chosen(always, before, after):
    augmentation, images = make(always=always), batch(60)
    left = [name for name in NAMES if name not in before + after]
    assert augmentation.operations == left
    draw = augmentation.draw(60, rng(1))
    assert draw.op.unique().tolist() == list(range(len(left)))
    expected = []
    for row in range(60):
        one, image = draw.rows(torch.tensor([row])), images[row : row + 1]
        for name in [*before, left[int(one.op)], *after]:
            image = alone(name, image, one)
        expected.append(image)
    torch.testing.assert_close(augmentation.apply(images, draw), torch.cat(expected), rtol=0, atol=1e-12)


def test_an_operation_need_not_be_of_the_strategy():
    augmentation, images = make(strategy="crop", always="color"), batch()
    draw = augmentation.draw(12, rng())
    assert torch.equal(augmentation.apply(images, draw), alone("crop", alone("color", images, draw), draw))


def test_one_operation_that_is_left_is_had_by_every_image():
    augmentation, images = make(strategy="color_crop_cutout", always="color_cutout"), batch()
    draw = augmentation.draw(12, rng())
    expected = alone("cutout", alone("crop", alone("color", images, draw), draw), draw)
    assert augmentation.operations == ["crop"]
    assert torch.equal(augmentation.apply(images, draw), expected)


def test_where_none_is_left_only_they_are_applied():
    augmentation, images = make(strategy="cutout_color", always="color_cutout"), batch()
    draw = augmentation.draw(12, rng())
    assert augmentation.operations == [] and not draw.op.any()
    assert torch.equal(augmentation.apply(images, draw), alone("cutout", alone("color", images, draw), draw))


def test_half_of_the_images_are_mirrored_whatever_is_chosen():
    augmentation = make(strategy="crop", always="flip", crop=0.0)
    images = batch(4000)
    mirrored = (augmentation.apply(images, augmentation.draw(4000, rng())) == images.flip(3)).flatten(1).all(1)
    assert abs(int(mirrored.sum()) - 2000) < 5 * 1000**0.5


def test_real_and_synthetic_images_of_a_group_are_moved_alike():
    augmentation = make(always="flip_color_cutout")
    synthetic, real_group = batch(3), torch.arange(3).repeat_interleave(5)
    for seed in range(8):
        draw = augmentation.draw(3, rng(seed))
        moved = augmentation.apply(synthetic.repeat_interleave(5, dim=0), draw.rows(real_group))
        assert torch.equal(moved, augmentation.apply(synthetic, draw).repeat_interleave(5, dim=0))


def test_draws_and_images_are_what_they_were_where_there_are_none():
    """Runs that were begun before can be continued."""
    augmentation, images = make(), torch.linspace(-1, 1, 6 * 3 * 8 * 8).view(6, 3, 8, 8)
    draw = augmentation.draw(6, rng(5))
    op = torch.randint(6, (6,), generator=(again := rng(5)))
    assert torch.equal(draw.op, op) and torch.equal(draw.u, torch.rand(6, 11, generator=again))
    each = torch.cat([alone(NAMES[int(op[k])], images[k : k + 1], draw.rows(torch.tensor([k]))) for k in range(6)])
    torch.testing.assert_close(augmentation.apply(images, draw), each, rtol=0, atol=1e-6)
    same = make(always="").apply(images, make(always="").draw(6, rng(5)))
    assert hashlib.sha256(same.numpy()).digest() == hashlib.sha256(augmentation.apply(images, draw).numpy()).digest()


def test_the_gradient_is_that_of_finite_differences():
    augmentation, images = make(always="flip_color_cutout"), batch(8)
    draw, way, weights = augmentation.draw(8, rng(3)), batch(8, seed=1), batch(8, seed=2)
    leaf = images.clone().requires_grad_()
    (slope,) = torch.autograd.grad((augmentation.apply(leaf, draw) * weights).sum(), leaf)
    ahead, behind = (augmentation.apply(images + step * way, draw) for step in (1e-4, -1e-4))
    torch.testing.assert_close((slope * way).sum(), ((ahead - behind) * weights).sum() / 2e-4, rtol=1e-7, atol=0)


def test_flip_is_left_out_where_a_mirrored_image_changes_its_class():
    fitted = make(always="flip_color").for_data(spec(mirror=False))
    assert fitted.always == ["color"] and fitted.operations == ["crop", "cutout", "scale", "rotate"]
    assert make(always="flip", flip="on").for_data(spec(mirror=False)).always == ["flip"]
    assert make(always="flip", flip="off").always == []
    kept = make(strategy="flip", always="color").for_data(spec(mirror=False))
    assert kept.operations == [] and kept.always == ["color"]
    with pytest.raises(UsageError, match="only flips"):
        make(strategy="flip", always="flip").for_data(spec(mirror=False))


def test_an_unknown_operation_is_answered_with_the_closest():
    with pytest.raises(UsageError, match=r"augmentation\.always.*'colour' is no operation. Did you mean 'color'\?"):
        make(always="flip_colour")
