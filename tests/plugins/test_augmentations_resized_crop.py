"""Random resized crops against torchvision's, one image at a time; shuffled patches; replayable, differentiable."""

import math

import pytest
import torch
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as vision

from limbeck.augment import Boxes, Draw, place, stretch
from limbeck.data import DataSpec
from limbeck.errors import UsageError
from limbeck.plugins import registry
from limbeck_plugins.augmentations.resized_crop import FLIP, STRIPS, parts

SHAPES = [(1, 28, 28), (3, 32, 32), (2, 9, 14), (2, 40, 7)]
SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def make(**options):
    return registry().create("augmentations", {"name": "resized_crop", **options})


def spec(mirror, shape=(3, 32, 32)):
    return DataSpec("toy", shape, 2, ("a", "b"), (0.5,) * shape[0], (0.5,) * shape[0], mirror)


def batch(n=12, shape=(3, 32, 32), dtype=torch.float64):
    return torch.randn(n, *shape, generator=rng(), dtype=dtype)


def torchvisions(numbers, size, scale, ratio):
    """What torchvision crops when its tries are the numbers given: top, left, height and width."""
    height, width = size
    for area, skew in numbers:
        area = height * width * (scale[0] + area * (scale[1] - scale[0]))
        skew = math.exp(math.log(ratio[0]) + skew * math.log(ratio[1] / ratio[0]))
        wide, high = round(math.sqrt(area * skew)), round(math.sqrt(area / skew))
        if 0 < wide <= width and 0 < high <= height:
            return None, None, high, wide
    if width / height < ratio[0]:
        wide, high = width, round(width / ratio[0])
    elif width / height > ratio[1]:
        wide, high = round(height * ratio[1]), height
    else:
        wide, high = width, height
    return (height - high) // 2, (width - wide) // 2, high, wide


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [SCALE, (0.8, 1.0), (1.0, 1.0)])
@pytest.mark.parametrize("ratio", [RATIO, (1.0, 1.0)])
def test_parts_are_torchvisions(shape, scale, ratio):
    size = shape[1:]
    draw = make().draw(60, rng())
    boxes = parts(draw.u, size, scale, ratio)
    for row, u in enumerate(draw.u.double()):
        tries = u[3:STRIPS].view(-1, 2).tolist()
        top, left, height, width = torchvisions(tries, size, scale, ratio)
        found = [int(getattr(boxes, side)[row]) for side in ("top", "left", "height", "width")]
        assert found[2:] == [height, width]
        if top is None:
            assert found[:2] == [int(u[1] * (size[0] - height + 1)), int(u[2] * (size[1] - width + 1))]
        else:
            assert found[:2] == [top, left]


def test_sides_are_distributed_as_torchvisions():
    """Without our formulas: the mean area and the share of whole images that torchvision's own draws have."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        image = torch.zeros(1, 16, 24)
        theirs = torch.tensor([RandomResizedCrop.get_params(image, SCALE, RATIO) for _ in range(3000)]).double()
    ours = parts(make().draw(20000, rng()).u, (16, 24), SCALE, RATIO)
    for column, side in enumerate(("top", "left", "height", "width")):
        found = getattr(ours, side).double()
        assert abs(found.mean() - theirs[:, column].mean()) < 0.15
        assert abs(found.std() - theirs[:, column].std()) < 0.15


@pytest.mark.parametrize("shape", SHAPES)
def test_each_image_is_its_part_stretched(shape):
    images, augmentation = batch(20, shape), make(flip="off")
    draw = augmentation.draw(20, rng(1))
    boxes = parts(draw.u, shape[1:], SCALE, RATIO)
    expected = [
        vision.resized_crop(image, *(int(side[row]) for side in vars(boxes).values()), list(shape[1:]), antialias=True)
        for row, image in enumerate(images)
    ]
    torch.testing.assert_close(augmentation.apply(images, draw), torch.stack(expected), rtol=0, atol=1e-12)


def test_a_whole_square_is_not_cropped():
    """What is published for images of one crop: a lower end of 1 leaves flips alone."""
    images = batch(30)
    draw = make().draw(30, rng(2))
    torch.testing.assert_close(make(scale=[1.0, 1.0], flip="off").apply(images, draw), images, rtol=0, atol=1e-12)
    flipped = make(scale=[1.0, 1.0]).apply(images, draw)
    mirrored = draw.u[:, FLIP] < 0.5
    assert 5 < mirrored.sum() < 25
    expected = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    torch.testing.assert_close(flipped, expected, rtol=0, atol=1e-12)


def test_flips_obey_the_data():
    augmentation = make()
    assert augmentation.for_data(spec(mirror=True)) is augmentation
    fitted = augmentation.for_data(spec(mirror=False))
    assert (fitted.name, fitted.options.flip) == ("resized_crop", "off")
    assert make(flip="on").for_data(spec(mirror=False)).options.flip == "on"
    images, draw = batch(30), augmentation.draw(30, rng())
    mirrored = draw.u[:, FLIP] < 0.5
    plain = fitted.apply(images, draw)
    torch.testing.assert_close(augmentation.apply(images, draw)[~mirrored], plain[~mirrored])
    torch.testing.assert_close(augmentation.apply(images, draw)[mirrored], plain[mirrored].flip(3))


# Shuffled patches


def shuffled(image, factor, order_of_rows, order_of_columns):
    """Strips of columns, then strips of rows, the last of each taking what is left over, joined in an order."""
    for axis, order in ((2, order_of_columns), (1, order_of_rows)):
        side = image.shape[axis] // factor
        ends = [*range(side, side * factor, side), image.shape[axis]]
        strips = [image.narrow(axis, start, end - start) for start, end in zip([0, *ends], ends, strict=False)]
        image = torch.cat([strips[number] for number in order], axis)
    return image


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("factor", [2, 3])
def test_strips_are_put_into_the_order_drawn(shape, factor):
    images, augmentation = batch(40, shape), make(scale=[1.0, 1.0], ratio=[1e-3, 1e3], flip="off", shuffle=factor)
    draw = augmentation.draw(40, rng(3))
    draw.u[:, 3:STRIPS] = 0.999999  # no try fits, so that the whole image is kept
    found = augmentation.apply(images, draw)
    rows, columns = draw.u[:, STRIPS:].split(factor, 1)
    expected = [
        shuffled(image, factor, row.argsort().tolist(), column.argsort().tolist())
        for image, row, column in zip(images, rows, columns, strict=True)
    ]
    torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=1e-12)
    assert len({tuple(row.argsort().tolist()) for row in rows}) == math.factorial(factor)


def test_one_patch_is_shuffled_for_nothing():
    assert make().draw(3, rng()).u.shape[1] == STRIPS + 2
    images, draw = batch(), make().draw(12, rng())
    assert make(shuffle=1).apply(images, draw).equal(make().apply(images, draw))


# Draws, types and gradients


def test_half_precision_returns_as_it_came():
    images = batch(dtype=torch.float32)
    draw = make().draw(12, rng())
    found = make().apply(images.bfloat16(), draw)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, make().apply(images.bfloat16().float(), draw).bfloat16())


def test_a_draw_that_fits_no_images_is_refused():
    with pytest.raises(ValueError, match="3 rows does not fit 12 images"):
        make().apply(batch(), make().draw(3, rng()))


def test_gradients_are_exact():
    augmentation = make(shuffle=2)
    images, draw = batch(3, (2, 6, 5)).requires_grad_(), augmentation.draw(3, rng())
    assert torch.autograd.gradcheck(lambda leaf: augmentation.apply(leaf, draw), images)


def test_after_it_cutmix_blends():
    """Both together are what RDED trains with."""
    together = registry().create("augmentations", {"name": "cutmix", "before": {"name": "resized_crop", "shuffle": 2}})
    together = together.for_data(spec(mirror=True))
    images = batch()
    draw = together.draw(12, rng())
    own = draw.u.shape[1] - STRIPS - 4
    first = make(shuffle=2).apply(images, Draw(draw.op, draw.u[:, own:]))
    found = together.apply(images, draw)
    is_own = (found == first).all(1)
    assert 0 < is_own.double().mean() < 1
    labels = together.mix(torch.eye(12, dtype=torch.float64), draw)
    torch.testing.assert_close(labels.diagonal(), is_own.double().mean((1, 2)), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {"scale": [0.0, 1.0]},
        {"scale": [0.5, 1.5]},
        {"scale": [0.5, 0.4]},
        {"ratio": [0.0, 1.0]},
        {"ratio": [2.0, 1.0]},
        {"shuffle": 0},
        {"flip_probability": 1.5},
    ],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        make(**options)


# Parts of images, stretched


@pytest.mark.parametrize("size", [(28, 30), (14, 15), (7, 40), (1, 1)])
def test_parts_are_stretched_as_torch_interpolates_with_antialiasing(size):
    images = batch(40, (2, 28, 30))
    height, width = torch.randint(1, 29, (40,), generator=rng(1)), torch.randint(1, 31, (40,), generator=rng(2))
    boxes = place(height, width, torch.rand(40, 2, generator=rng(3)), (28, 30))
    expected = [
        vision.resized_crop(image, *(int(side[row]) for side in vars(boxes).values()), list(size), antialias=True)
        for row, image in enumerate(images)
    ]
    torch.testing.assert_close(stretch(images, boxes, size), torch.stack(expected), rtol=0, atol=1e-12)


def test_what_lies_beside_a_part_is_never_seen():
    images = batch(1).expand(2, -1, -1, -1).clone()
    boxes = Boxes(*(torch.tensor([number]) for number in (4, 7, 9, 11)))
    images[1] = torch.nan
    images[1, :, 4:13, 7:18] = images[0, :, 4:13, 7:18]
    images[1].nan_to_num_(1e6)
    found = stretch(images, boxes, (20, 5))
    assert found[0].equal(found[1])


def test_places_reach_from_edge_to_edge_and_no_further():
    sides = torch.full((3,), 4)
    u = torch.tensor([[0.0, 0.0], [0.5, 0.5], [1 - 2**-24, 1 - 2**-24]])
    boxes = place(sides, sides, u, (9, 4))
    assert (boxes.top.tolist(), boxes.left.tolist()) == ([0, 3, 5], [0, 0, 0])
