"""DSA and DC's augmentation against one image at a time; siamese, differentiable, repeatable."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from limbeck.augment import Draw, choose, shift, warp, whole
from limbeck.augment.geometry import _positions, gather_bilinear
from limbeck.data import DataSpec
from limbeck.errors import UsageError
from limbeck.plugins import registry
from limbeck_plugins.augmentations import dc, dsa

DSA_OPERATIONS = list(dsa.OPERATIONS)
DC_OPERATIONS = list(dc.OPERATIONS)
SHAPES = [(1, 28, 28), (3, 32, 32), (3, 9, 14)]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(n=12, shape=(3, 32, 32), dtype=torch.float64, seed=0):
    return torch.randn(n, *shape, generator=rng(seed), dtype=dtype)


def make_dsa(**options):
    return dsa.DSA(dsa.DSA.Options(**options))


def make_dc(**options):
    return dc.DC(dc.DC.Options(strategy="crop_scale_rotate_noise", **options))


def spec(mirror):
    return DataSpec("toy", (1, 4, 4), 1, ("a",), (0.5,), (0.5,), mirror)


# One image at a time, pixel by pixel where that is simplest: what each operation means.


def moved(image, down, right, fill):
    """Return image[i + down, j + right], ``fill`` [ch] outside."""
    out = fill[:, None, None].expand_as(image).clone()
    _, height, width = image.shape
    for i in range(height):
        for j in range(width):
            if 0 <= i + down < height and 0 <= j + right < width:
                out[:, i, j] = image[:, i + down, j + right]
    return out


def warped(image, theta, align_corners=False):
    grid = F.affine_grid(theta[None], (1, *image.shape), align_corners=align_corners)
    return F.grid_sample(image[None], grid, align_corners=align_corners)[0]


def turned(image, angle):
    cos, sin = math.cos(angle), math.sin(angle)
    return warped(image, torch.tensor([[cos, -sin, 0], [sin, cos, 0]], dtype=image.dtype))


def dsa_one(name, image, u):
    _, height, width = image.shape
    if name == "color":
        image = image + (u[0] - 0.5) * 1.0
        grey = image.mean(0)
        image = (image - grey) * (u[1] * 2.0) + grey
        return (image - image.mean()) * (u[2] + 0.5) + image.mean()
    if name == "crop":
        most = [int(side * 0.125 + 0.5) for side in (height, width)]
        down, right = (int(u[3 + k] * (2 * most[k] + 1)) - most[k] for k in (0, 1))
        return moved(image, down, right, torch.zeros(len(image), dtype=image.dtype))
    if name == "cutout":
        sides = [int(side * 0.5 + 0.5) for side in (height, width)]
        middles = [int(u[5 + k] * (size + 1 - sides[k] % 2)) for k, size in enumerate((height, width))]
        top, left = (middle - side // 2 for middle, side in zip(middles, sides, strict=True))
        image = image.clone()
        image[:, max(top, 0) : top + sides[0], max(left, 0) : left + sides[1]] = 0
        return image
    if name == "flip":
        return image.flip(2) if u[7] < 0.5 else image
    if name == "scale":
        x, y = (float(u[k]) * (1.2 - 1 / 1.2) + 1 / 1.2 for k in (8, 9))
        return warped(image, torch.tensor([[x, 0, 0], [0, y, 0]], dtype=image.dtype))
    return turned(image, (float(u[10]) - 0.5) * 2 * 15 / 180 * math.pi)


def dc_one(name, image, u, colour):
    _, height, width = image.shape
    if name == "crop":
        return moved(image, int(u[0] * 8) - 4, int(u[1] * 8) - 4, colour)
    if name == "scale":
        sides = [int((1 + (2 * float(u[2 + k]) - 1) * 0.2) * size) for k, size in enumerate((height, width))]
        small = F.interpolate(image[None], sides, mode="nearest")[0]
        canvas = max(*sides, height, width)
        board = torch.zeros(len(image), canvas, canvas, dtype=image.dtype)
        top, left = ((canvas - side) // 2 for side in sides)
        board[:, top : top + sides[0], left : left + sides[1]] = small
        top, left = (canvas - height) // 2, (canvas - width) // 2
        return board[:, top : top + height, left : left + width]
    grey = colour.mean()
    return turned(image - grey, (int(u[4] * 90) - 45) / 180 * math.pi) + grey


def expected_dsa(images, draw, names=DSA_OPERATIONS):
    u = draw.u.double()
    return torch.stack(
        [dsa_one(names[op], image, u[row]) for row, (op, image) in enumerate(zip(draw.op, images, strict=True))]
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", DSA_OPERATIONS)
def test_every_dsa_operation_is_what_it_says(name, shape):
    images = batch(16, shape)
    augmentation = make_dsa(strategy=name)
    draw = augmentation.draw(16, rng(1))
    torch.testing.assert_close(
        augmentation.apply(images, draw), expected_dsa(images, draw, [name]), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", DC_OPERATIONS[:-1])
def test_every_dc_operation_is_what_it_says(name, shape):
    images = batch(24, shape) + 2
    draw = make_dc().draw(24, rng(1))
    draw = Draw(torch.full_like(draw.op, DC_OPERATIONS.index(name)), draw.u)
    colour, u = images.mean((0, 2, 3)), draw.u.double()
    expected = torch.stack([dc_one(name, image, u[row], colour) for row, image in enumerate(images)])
    torch.testing.assert_close(make_dc().apply(images, draw), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("side", [8, 28, 32])
def test_dc_resizes_as_nearest_interpolation_does_at_every_size(side):
    new = torch.arange(int(0.8 * side), int(1.2 * side) + 1)
    ramp = torch.arange(side, dtype=torch.float32).view(1, 1, 1, side)
    for size, found in zip(new.tolist(), dc._nearest(side, new, new.clamp(min=side)), strict=True):
        resized = F.interpolate(ramp, (1, size), mode="nearest").flatten().long()
        outside = torch.full((side,), -1)
        canvas = max(size, side)
        board = torch.full((canvas,), -1)
        start = (canvas - size) // 2
        board[start : start + size] = resized
        start = (canvas - side) // 2
        assert torch.equal(found, torch.maximum(board[start : start + side], outside))


def test_dc_noise_is_normal_small_and_belongs_to_the_draw():
    images = batch(300, (1, 16, 16))
    augmentation = make_dc(noise=0.01)
    draw = augmentation.draw(300, rng())
    draw = Draw(torch.full_like(draw.op, DC_OPERATIONS.index("noise")), draw.u)
    noise = (augmentation.apply(images, draw) - images) / 0.01
    assert torch.equal(noise, (augmentation.apply(images, draw) - images) / 0.01)
    assert noise.mean().abs() < 0.02 and abs(noise.std() - 1) < 0.02
    assert abs((noise**4).mean() - 3) < 0.2
    between_rows, between_pixels = (
        torch.corrcoef(side[:40]) - torch.eye(40) for side in (noise.flatten(1), noise.flatten(1).T)
    )
    assert between_rows.abs().max() < 0.35 and between_pixels.abs().max() < 0.35


@pytest.mark.parametrize("augmentation", [make_dsa(), make_dc()], ids=["dsa", "dc"])
class TestBoth:
    def test_mixed_rows_equal_each_row_alone(self, augmentation):
        images = batch(40, (3, 8, 8))
        draw = augmentation.draw(40, rng(3))
        assert len(draw.op.unique()) == len(augmentation.operations)
        together = augmentation.apply(images, draw)
        for name_index in range(len(augmentation.operations)):
            rows = (draw.op == name_index).nonzero().flatten()
            alone = Draw(torch.full_like(draw.op, name_index), draw.u)
            torch.testing.assert_close(together[rows], augmentation.apply(images, alone)[rows], rtol=0, atol=0)

    def test_one_row_transforms_all_alike(self, augmentation):
        images = batch(6, (3, 8, 8))
        for seed in range(12):
            one = augmentation.draw(1, rng(seed))
            spread = one.rows(torch.zeros(6, dtype=torch.int64))
            torch.testing.assert_close(augmentation.apply(images, one), augmentation.apply(images, spread))

    def test_a_draw_gives_the_same_transform_again(self, augmentation):
        images = batch(40)
        draw = augmentation.draw(40, rng(3))
        assert torch.equal(augmentation.apply(images, draw), augmentation.apply(images, draw))

    def test_the_gradient_is_that_of_finite_differences(self, augmentation):
        draw = augmentation.draw(12, rng(5))
        images = batch(12, (2, 5, 5)).requires_grad_()

        assert torch.autograd.gradcheck(lambda free: augmentation.apply(free, draw), images)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_value_and_gradient_have_the_same_bits_at_one_and_two_threads(self, augmentation, dtype):
        images, weights = batch(200, dtype=dtype), batch(200, dtype=dtype, seed=1)
        draw = augmentation.draw(200, rng(2))
        threads = torch.get_num_threads()
        found = []
        try:
            for count in (1, 2, 2, 1):
                torch.set_num_threads(count)
                leaf = images.clone().requires_grad_()
                value = augmentation.apply(leaf, draw)
                found.append((value.detach(), torch.autograd.grad(value, leaf, weights)[0]))
        finally:
            torch.set_num_threads(threads)
        for value, gradient in found[1:]:
            assert torch.equal(value, found[0][0]) and torch.equal(gradient, found[0][1])

    def test_only_the_given_generator_is_used(self, augmentation):
        before = torch.get_rng_state()
        first, again = augmentation.draw(50, rng(7)), augmentation.draw(50, rng(7))
        augmentation.apply(batch(50, (1, 8, 8)), first)
        assert torch.equal(before, torch.get_rng_state())
        assert torch.equal(first.op, again.op) and torch.equal(first.u, again.u)

    def test_operations_are_chosen_evenly(self, augmentation):
        count = len(augmentation.operations)
        op = augmentation.draw(12_000, rng(1)).op
        share = 12_000 / count
        assert ((torch.bincount(op, minlength=count) - share).abs() < 5 * share**0.5).all()

    def test_the_images_keep_shape_type_and_content(self, augmentation):
        for dtype in (torch.bfloat16, torch.float32, torch.float64):
            images = batch(20, (1, 8, 8), dtype=dtype)
            kept = images.clone()
            out = augmentation.apply(images, augmentation.draw(20, rng()))
            assert (out.dtype, out.shape) == (dtype, images.shape)
            assert torch.equal(images, kept)

    def test_a_draw_of_another_length_is_refused(self, augmentation):
        with pytest.raises(ValueError, match="a draw of 3 rows does not fit 4 images"):
            augmentation.apply(batch(4), augmentation.draw(3, rng()))


def test_dsa_can_use_one_operation_with_parameters_of_each_row():
    draw = make_dsa().draw(50, rng(), one_op=True)
    assert len(draw.op) == 50 and len(draw.op.unique()) == 1
    assert len(draw.u[:, 0].unique()) == 50
    chosen = [int(make_dsa().draw(4, rng(seed), one_op=True).op[0]) for seed in range(300)]
    assert set(chosen) == set(range(6))


def test_dc_chooses_for_each_image_even_in_training():
    assert len(make_dc().draw(50, rng(), one_op=True).op.unique()) > 1


def test_siamese_groups_move_real_and_synthetic_images_together():
    augmentation = make_dsa()
    draw = augmentation.draw(3, rng(4))
    real_group, synthetic_group = torch.arange(3).repeat_interleave(5), torch.arange(3)
    synthetic = batch(3)
    real = synthetic.repeat_interleave(5, dim=0)
    moved_real = augmentation.apply(real, draw.rows(real_group))
    moved_synthetic = augmentation.apply(synthetic, draw.rows(synthetic_group))
    torch.testing.assert_close(moved_real, moved_synthetic.repeat_interleave(5, dim=0), rtol=0, atol=0)


def test_crop_reaches_both_ends_and_no_farther():
    u = torch.tensor([0.0, 1 - 2**-24])
    assert whole(u, 9).tolist() == [0, 8]
    counts = torch.bincount(whole(torch.rand(9000, generator=rng()), 9))
    assert len(counts) == 9 and ((counts - 1000).abs() < 5 * 1000**0.5).all()


def test_a_shift_beyond_the_image_leaves_only_the_fill():
    images = batch(2, (1, 4, 4))
    far = torch.tensor([4, -7])
    assert (shift(images, far, torch.zeros(2, dtype=torch.int64), 3.0) == 3).all()
    none = torch.zeros(1, dtype=torch.int64)
    assert torch.equal(shift(images, none, none), images)


@pytest.mark.parametrize("size", [8, 7, 28])
def test_cutout_erases_a_square_that_borders_may_cut(size):
    augmentation = make_dsa(strategy="cutout")
    draw = augmentation.draw(400, rng())
    out = augmentation.apply(torch.ones(400, 1, size, size), draw)
    erased_rows = (out == 0).any(3).sum(2).flatten()
    side = int(size * 0.5 + 0.5)
    assert erased_rows.max() == side and erased_rows.min() == side // 2
    squares = (out == 0).flatten(1).sum(1)
    assert torch.equal(squares, erased_rows * (out == 0).any(2).sum(2).flatten())


def test_nothing_happens_at_strength_zero():
    images = batch(10)
    still = {"crop": 0.0, "cutout": 0.0, "flip_probability": 0.0, "scale": 1.0, "rotate": 0.0}
    augmentation = make_dsa(strategy="crop_cutout_flip_scale_rotate", **still)
    torch.testing.assert_close(augmentation.apply(images, augmentation.draw(10, rng())), images)


def test_flip_is_left_out_where_a_mirrored_image_changes_its_class():
    full, named = make_dsa(), registry().create("augmentations", "dsa")
    assert full.for_data(spec(mirror=True)) is full
    unmoved = make_dc()
    assert unmoved.for_data(spec(mirror=False)) is unmoved
    fitted = named.for_data(spec(mirror=False))
    assert fitted.operations == [name for name in DSA_OPERATIONS if name != "flip"] and fitted.name == "dsa"
    assert "flip" in make_dsa(flip="on").for_data(spec(mirror=False)).operations
    assert "flip" not in make_dsa(flip="off").for_data(spec(mirror=True)).operations
    with pytest.raises(UsageError, match="only flips"):
        make_dsa(strategy="flip").for_data(spec(mirror=False))


def test_an_unknown_operation_is_answered_with_the_closest():
    for name in ("dsa", "dc"):
        with pytest.raises(UsageError, match=r"'crp' is no operation. Did you mean 'crop'\? Known: c"):
            registry().create("augmentations", {"name": name, "strategy": "crp_rotate"})


@pytest.mark.parametrize("align_corners", [False, True])
def test_the_warp_is_the_affine_grid_and_so_is_its_gathered_form(align_corners):
    images, theta = batch(5, (2, 6, 9)), torch.randn(5, 2, 3, generator=rng(1), dtype=torch.float64)
    expected = torch.stack([warped(image, one, align_corners) for image, one in zip(images, theta, strict=True)])
    torch.testing.assert_close(warp(images, theta, align_corners=align_corners), expected)
    grid = _positions(theta, 6, 9, align_corners)
    torch.testing.assert_close(gather_bilinear(images, grid, align_corners=align_corners), expected)


def test_the_host_chooses_for_a_generator_on_a_device():
    class OnDevice:
        """Stands in for a CUDA generator: known to the host by its state alone."""

        def __init__(self, offset):
            self.device, self.offset = torch.device("cuda"), offset

        def get_state(self):
            return torch.tensor([7, self.offset], dtype=torch.int64).view(torch.uint8)

    first, again, later = (
        choose(6, 100, OnDevice(0)),
        choose(6, 100, OnDevice(0)),
        choose(6, 100, OnDevice(4)),
    )
    assert first.device.type == "cpu" and torch.equal(first, again) and not torch.equal(first, later)
    assert first.unique().tolist() == list(range(6))
