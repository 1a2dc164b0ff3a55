"""What an augmentation promises: a draw is an object, and the same draw is the same transform."""

from __future__ import annotations

import torch
from torch import Tensor

from limbeck.augment import Augmentation, Draw
from limbeck.seeding import generator
from limbeck.testing.cases import CLASSES, SPEC, normal, require_close, require_slope
from limbeck.testing.general import names_its_source
from limbeck.testing.randomness import require_same_twice, same_bits
from limbeck.testing.suite import NotApplicable, Subject, require

BASE = Augmentation
ROWS = 16


def _images(rows: int = ROWS, dtype: torch.dtype = torch.float64) -> Tensor:
    return normal(rows, *SPEC.shape, dtype=dtype).clamp(-2, 2)


def _ready(subject: Subject) -> Augmentation:
    augmentation: Augmentation = subject.make()
    return augmentation.for_data(SPEC)


def _draw(augmentation: Augmentation, rows: int, owner: str = "a", *, one_op: bool = False) -> Draw:
    return augmentation.draw(rows, generator(0, "tiny", "augment", owner), one_op=one_op)


def draws_are_draws(subject: Subject) -> None:
    """A draw has one operation and numbers in [0, 1) for each row."""
    for rows in (1, ROWS):
        draw = _draw(_ready(subject), rows)
        require(
            draw.op.shape == (rows,) and draw.op.dtype == torch.int64, f"op is {draw.op.dtype} {list(draw.op.shape)}"
        )
        require(draw.op.device.type == "cpu", "op is not on the CPU, so that choosing would wait for the device")
        require(draw.u.ndim == 2 and len(draw.u) == rows, f"u is {list(draw.u.shape)}, and there are {rows} rows")
        inside = bool(((draw.u >= 0) & (draw.u < 1)).all())
        require(inside, f"u reaches from {float(draw.u.min()):g} to {float(draw.u.max()):g}")


def one_op_is_one(subject: Subject) -> None:
    """With one_op every row has the same operation."""
    if not subject.cls.heeds_one_op:
        raise NotApplicable("it declares heeds_one_op = False")
    augmentation = _ready(subject)
    for owner in "abcdef":
        found = set(_draw(augmentation, ROWS, owner, one_op=True).op.tolist())
        require(len(found) == 1, f"{ROWS} rows have the operations {sorted(found)}")


def same_draw_same_transform(subject: Subject) -> None:
    """The same draw gives the same transform, and another draw another one."""
    augmentation, images = _ready(subject), _images()
    draw = _draw(augmentation, ROWS)
    before = images.clone()
    first = augmentation.apply(images, draw)
    require(same_bits(first, augmentation.apply(images, draw)), "it gave other images the second time")
    require(torch.equal(images, before), "it changes the images it is given")
    others = [augmentation.apply(images, _draw(augmentation, ROWS, owner)) for owner in "bcdef"]
    require(any(not torch.equal(first, other) for other in others), "six draws give the same images")


def shape_stays(subject: Subject) -> None:
    """Images keep their shape and type, in single and double precision."""
    augmentation = _ready(subject)
    for dtype in (torch.float32, torch.float64):
        images = _images(dtype=dtype)
        out = augmentation.apply(images, _draw(augmentation, ROWS))
        seen = f"{out.dtype} {list(out.shape)}"
        require(out.shape == images.shape and out.dtype == dtype, f"{dtype} {list(images.shape)} become {seen}")
        require(bool(out.isfinite().all()), "some pixels are no longer finite")


def one_row_serves_all(subject: Subject) -> None:
    """A draw of one row equals as many equal rows."""
    augmentation, images = _ready(subject), _images()
    for owner in "abcdef":
        draw = _draw(augmentation, 1, owner)
        rows = draw.rows(torch.zeros(ROWS, dtype=torch.int64))
        require_close(augmentation.apply(images, draw), augmentation.apply(images, rows), "one row and equal rows")


def rows_are_independent(subject: Subject) -> None:
    """What an image becomes does not depend on the others of its batch."""
    if not subject.cls.independent:
        raise NotApplicable("it declares independent = False")
    augmentation, images = _ready(subject), _images()
    draw = _draw(augmentation, ROWS)
    whole = augmentation.apply(images, draw)
    some = torch.tensor([3, 11, 4])
    require_close(augmentation.apply(images[some], draw.rows(some)), whole[some], "three rows alone and among all")


def labels_stay(subject: Subject) -> None:
    """Labels stay as they are, unless images are blended."""
    if subject.cls.mixes_labels:
        raise NotApplicable("it declares mixes_labels = True")
    augmentation, labels = _ready(subject), normal(ROWS, CLASSES).softmax(1)
    mixed = augmentation.mix(labels, _draw(augmentation, ROWS))
    require(torch.equal(mixed, labels), "it changes labels; where images are blended, set mixes_labels = True")


def labels_are_mixed_as_images(subject: Subject) -> None:
    """An image's label is made of others' in the shares its picture is, as images of one shade tell."""
    if not subject.cls.mixes_labels:
        raise NotApplicable("it declares mixes_labels = False")
    require(not subject.cls.independent, "it blends images of a batch, so that independent must be False")
    augmentation, labels = _ready(subject), torch.eye(ROWS, dtype=torch.float64)
    shades = [label[:, None, None, None].expand(-1, *SPEC.shape).clone() for label in labels]
    differ = False
    for owner in "abcdef":
        draw = _draw(augmentation, ROWS, owner)
        mixed = augmentation.mix(labels, draw)
        require(mixed.shape == labels.shape, f"labels {list(labels.shape)} become {list(mixed.shape)}")
        require_close(mixed.sum(1), torch.ones(ROWS, dtype=torch.float64), "the sum of a label and 1")
        shares = torch.stack([augmentation.apply(shade, draw).mean((1, 2, 3)) for shade in shades], dim=1)
        require_close(mixed, shares, "labels and shares of the images")
        differ = differ or not torch.equal(mixed, labels)
    require(differ, "six draws leave all labels as they are")


def gradient_is_the_slope(subject: Subject) -> None:
    """Its gradient equals finite differences."""
    if not subject.cls.differentiable:
        raise NotApplicable("it declares differentiable = False")
    augmentation, images = _ready(subject), _images().requires_grad_()
    draw, weights = _draw(augmentation, ROWS), normal(ROWS, *SPEC.shape, owner="weights")

    def weighted(leaf: Tensor) -> Tensor:
        return (augmentation.apply(leaf, draw) * weights).sum()

    out = weighted(images)
    require(out.requires_grad, "no gradient reaches the images; where that cannot be, set differentiable = False")
    require_slope(weighted, images, torch.autograd.grad(out, images)[0])


def is_deterministic(subject: Subject) -> None:
    """The same generator seed gives the same draw."""

    def drawn() -> list[Tensor]:
        draw = _draw(_ready(subject), ROWS)
        return [draw.op, draw.u]

    require_same_twice(drawn)


CHECKS = (
    names_its_source,
    draws_are_draws,
    one_op_is_one,
    same_draw_same_transform,
    shape_stays,
    one_row_serves_all,
    rows_are_independent,
    labels_stay,
    labels_are_mixed_as_images,
    gradient_is_the_slope,
    is_deterministic,
)
