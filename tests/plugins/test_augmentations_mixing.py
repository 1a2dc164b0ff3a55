"""CutMix and mixup, one image at a time; draws that replay; labels that follow the pictures."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from limbeck.augment import Draw
from limbeck.config import merge
from limbeck.data import DataSpec
from limbeck.errors import UsageError
from limbeck.plugins import registry
from limbeck_plugins.augmentations.mixing import ANGLE, FIRST, HAPPENS, PARTNER, RADIUS

SPEC = DataSpec("toy", (2, 12, 9), 4, ("a", "b", "c", "d"), (0.5,) * 2, (0.5,) * 2, mirror=False)
NAMES = ["cutmix", "mixup"]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def make(name, **options):
    return registry().create("augmentations", {"name": name, **options}).for_data(SPEC)


def batch(n=8, seed=3):
    images = torch.randn(n, *SPEC.shape, generator=rng(seed), dtype=torch.float64)
    return images, torch.eye(4, dtype=torch.float64)[torch.arange(n) % 4]


@pytest.mark.parametrize("beta", [0.2, 0.5, 1.0, 3.0])
def test_shares_are_beta_distributed(beta):
    u = torch.rand(50_000, FIRST, generator=rng(1))
    shares = make("mixup", beta=beta).beta_share(u)
    assert stats.kstest(shares.numpy(), stats.beta(beta, beta).cdf).pvalue > 0.01


def test_a_share_follows_students_distribution():
    """Beta(b, b) is 1/2 + T / (2 sqrt(2b + T^2)) with T = sqrt(2b (U^(-1/b) - 1)) cos(2 pi V)."""
    u = torch.rand(100, FIRST, generator=rng(2), dtype=torch.float64)
    for beta in (0.3, 1.0, 4.0):
        t = (2 * beta * (u[:, RADIUS] ** (-1 / beta) - 1)).sqrt() * (2 * math.pi * u[:, ANGLE]).cos()
        torch.testing.assert_close(make("mixup", beta=beta).beta_share(u), 0.5 + t / (2 * (2 * beta + t**2).sqrt()))
    extreme = torch.tensor([[0.5, 0.0, 0.0, 0.1], [0.5, 0.0, 0.0, 0.4], [0.5, 0.0, 1 - 2**-24, 0.4]])
    assert make("mixup", beta=0.01).beta_share(extreme)[:2].tolist() == [1.0, 0.0]
    assert abs(float(make("mixup").beta_share(extreme)[2]) - 0.5) < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_shares_everything_but_its_partners(name):
    draw = make(name).draw(64, rng(), one_op=True)
    assert all(len(draw.u[:, column].unique()) == (64 if column == PARTNER else 1) for column in range(draw.u.shape[1]))
    seen = torch.stack([make(name).draw(3, rng(seed)).u[:, PARTNER].argsort() for seed in range(600)])
    assert len(seen.unique(dim=0)) == 6
    assert all(60 < int((seen == each).all(1).sum()) < 150 for each in seen.unique(dim=0))


def test_mixup_is_the_weighted_mean():
    (images, labels), augmentation = batch(), make("mixup", beta=0.7)
    draw = augmentation.draw(8, rng())
    share, partners = augmentation.beta_share(draw.u)[0], draw.u[:, PARTNER].argsort()
    mixed, targets = augmentation.apply(images, draw), augmentation.mix(labels, draw)
    for i, j in enumerate(partners.tolist()):
        torch.testing.assert_close(mixed[i], share * images[i] + (1 - share) * images[j])
        torch.testing.assert_close(targets[i], share * labels[i] + (1 - share) * labels[j])


def test_cutmix_replaces_one_box_and_counts_its_pixels():
    (images, labels), augmentation = batch(), make("cutmix")
    sizes = set()
    for seed in range(40):
        draw = augmentation.draw(8, rng(seed))
        share, partners = float(augmentation.beta_share(draw.u)[0]), draw.u[:, PARTNER].argsort().tolist()
        side = math.sqrt(1 - share)
        (y, x), (half_y, half_x) = (
            [int(float(draw.u[0, FIRST + axis]) * size) for axis, size in enumerate((12, 9))],
            [int(size * side) // 2 for size in (12, 9)],
        )
        top, bottom, left, right = max(y - half_y, 0), min(y + half_y, 12), max(x - half_x, 0), min(x + half_x, 9)
        expected = images.clone()
        expected[:, :, top:bottom, left:right] = images[partners][:, :, top:bottom, left:right]
        assert torch.equal(augmentation.apply(images, draw), expected)
        kept = 1 - (bottom - top) * (right - left) / (12 * 9)
        torch.testing.assert_close(augmentation.mix(labels, draw), kept * labels + (1 - kept) * labels[partners])
        sizes.add((bottom - top, right - left))
    assert (0, 0) in sizes and len(sizes) > 10


@pytest.mark.parametrize("name", NAMES)
def test_a_share_of_the_batches_is_left_alone(name):
    (images, labels), augmentation = batch(), make(name, probability=0.25)
    draws = [augmentation.draw(8, rng(seed)) for seed in range(200)]
    alone = [torch.equal(augmentation.mix(labels, draw), labels) for draw in draws]
    assert alone == [torch.equal(augmentation.apply(images, draw), images) for draw in draws]
    mixed = [bool(draw.u[0, HAPPENS] < 0.25) for draw in draws]
    assert 30 < sum(mixed) < 70 and not any(
        left and mix for left, mix in zip(alone, mixed, strict=True) if name == "mixup"
    )
    assert all(left for left, mix in zip(alone, mixed, strict=True) if not mix)


@pytest.mark.parametrize("name", NAMES)
def test_what_comes_before_sees_single_images_and_its_own_numbers(name):
    (images, labels), before = batch(), {"name": "dsa", "strategy": "crop_scale", "always": "flip_color"}
    augmentation, first = make(name, before=before), make("dsa", **{k: v for k, v in before.items() if k != "name"})
    draw = augmentation.draw(8, rng(5), one_op=True)
    assert len(set(draw.op.tolist())) == 1
    columns = augmentation.num_columns
    alone = first.apply(images, Draw(draw.op, draw.u[:, columns:]))
    plain, own = make(name), Draw(torch.zeros(8, dtype=torch.int64), draw.u[:, :columns])
    assert not torch.equal(alone, images)
    torch.testing.assert_close(augmentation.apply(images, draw), plain.apply(alone, own), rtol=0, atol=0)
    assert torch.equal(augmentation.mix(labels, draw), plain.mix(labels, own))
    assert augmentation._before.operations == ["crop", "scale"] and augmentation._before.always == ["color"]


def test_one_may_come_before_the_other():
    (images, labels), both = batch(), make("cutmix", before={"name": "mixup", "beta": 3.0})
    draw = both.draw(8, rng(1))
    once = make("mixup", beta=3.0)
    inner, outer = Draw(draw.op, draw.u[:, both.num_columns :]), Draw(draw.op, draw.u[:, : both.num_columns])
    assert torch.equal(both.mix(labels, draw), make("cutmix").mix(once.mix(labels, inner), outer))
    assert torch.equal(both.apply(images, draw), make("cutmix").apply(once.apply(images, inner), outer))


@pytest.mark.parametrize("name", NAMES)
def test_pixel_operations_may_come_before(name):
    images, _ = batch()
    spec = DataSpec("toy", (3, 12, 9), 4, SPEC.class_names, (0.5,) * 3, (0.5,) * 3, mirror=True)
    augmentation = registry().create("augmentations", {"name": name, "before": "cifar_aug"}).for_data(spec)
    images = torch.rand(8, *spec.shape, generator=rng())
    draw = augmentation.draw(8, rng(), one_op=True)
    assert torch.equal(augmentation.apply(images, draw), augmentation.apply(images, draw))


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_and_gradients(name):
    images, _ = batch()
    augmentation = make(name)
    draw = augmentation.draw(8, rng(4))
    assert augmentation.apply(images.bfloat16(), draw).dtype == torch.bfloat16
    leaf = images.requires_grad_()
    augmentation.apply(leaf, draw).sum().backward()
    torch.testing.assert_close(leaf.grad.sum(), torch.tensor(leaf.numel(), dtype=torch.float64))


def test_bad_input_is_named():
    with pytest.raises(UsageError, match="'shear' is no operation"):
        make("cutmix", before={"name": "dsa", "strategy": "shear"})
    with pytest.raises(UsageError, match="colour"):
        make("cutmix", before="colour")
    with pytest.raises(UsageError, match="beta"):
        make("mixup", beta=0)
    images, labels = batch()
    with pytest.raises(ValueError, match="3 rows does not fit 8 images"):
        make("cutmix").apply(images, make("cutmix").draw(3, rng()))
    with pytest.raises(ValueError, match="for_data"):
        registry().create("augmentations", "cutmix").mix(labels, make("cutmix").draw(8, rng()))


def test_another_augmentation_before_starts_afresh():
    old = {"augmentation": {"name": "cutmix", "before": {"name": "dsa", "strategy": "crop"}}}
    new = merge(old, {"augmentation": {"before": {"name": "dc"}}})
    assert new["augmentation"] == {"name": "cutmix", "before": {"name": "dc"}}
