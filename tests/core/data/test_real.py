"""Real data on the device: normalising, groups, sampling, identity."""

from __future__ import annotations

import pytest
import torch

from limbeck.data import DataSpec, RealData
from limbeck.errors import DataError

SPEC = DataSpec("toy", (3, 4, 5), 3, ("a", "b", "c"), (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), mirror=True)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def pixels(n=30, seed=0):
    return torch.randint(256, (n, *SPEC.shape), generator=rng(seed), dtype=torch.uint8)


def real(n=30, **options):
    return RealData(pixels(n), torch.arange(n) % 3, SPEC, **options)


def test_images_are_kept_as_bytes_and_normalised_when_drawn():
    data = real()
    assert data.images.dtype == torch.uint8
    mean, std = (torch.tensor(values)[:, None, None] for values in (SPEC.mean, SPEC.std))
    expected = (data.images[[2, 5]].float() / 255 - mean) / std
    torch.testing.assert_close(data.take(torch.tensor([2, 5])), expected, rtol=0, atol=0)


def test_denormalising_undoes_normalising_and_clamps():
    data = real(dtype=torch.float64)
    torch.testing.assert_close(data.denormalise(data.normalise(data.images)), data.images.double() / 255)
    assert data.denormalise(torch.full((1, *SPEC.shape), 100.0, dtype=torch.float64)).max() == 1


def test_float_pixels_normalise_as_the_bytes_they_stand_for():
    data = real()
    assert torch.equal(data.normalise(data.images.float() / 255), data.normalise(data.images))
    assert torch.equal(RealData(data.images.float() / 255, data.labels, SPEC).images, data.images)


def test_a_sample_is_of_its_group_without_repeats():
    data = real()
    index = data.sample(1, 6, rng())
    assert index.dtype == torch.int64 and len(set(index.tolist())) == 6
    assert (data.labels[index] == 1).all()
    assert torch.equal(index, data.sample(1, 6, rng())) and not torch.equal(index, data.sample(1, 6, rng(1)))


def test_a_small_group_gives_all_it_has():
    data = real()
    assert sorted(data.sample(2, 100, rng()).tolist()) == data.members(2).tolist() == list(range(2, 30, 3))
    assert data.batch(2, 100, rng()).shape == (10, *SPEC.shape)


def test_every_member_is_drawn_equally_often():
    data, generator = real(), rng()
    drawn = torch.cat([data.sample(0, 3, generator) for _ in range(2000)])
    counts = torch.bincount(drawn // 3, minlength=10)
    assert ((counts - 600).abs() < 5 * 600**0.5).all()


def test_sampling_leaves_the_global_generator_alone():
    data, before = real(), torch.get_rng_state()
    data.batch(0, 4, rng())
    assert torch.equal(before, torch.get_rng_state())


def test_groups_replace_classes_when_given():
    data = real(group=torch.arange(30) // 15)
    assert (data.num_groups, data.group_sizes) == (2, [15, 15])
    assert (data.sample(1, 15, rng()) >= 15).all()
    assert real().group_sizes == [10, 10, 10]


def test_an_empty_group_may_exist_but_not_be_drawn_from():
    data = RealData(pixels(4), torch.tensor([0, 0, 2, 2]), SPEC)
    assert data.group_sizes == [2, 0, 2]
    with pytest.raises(DataError, match="group 1 of 'toy' has no images"):
        data.sample(1, 1, rng())


def test_all_yields_everything_once_in_order():
    data = real()
    chunks = list(data.all(chunk=7))
    assert [len(images) for images, _ in chunks] == [7, 7, 7, 7, 2]
    assert torch.equal(torch.cat([labels for _, labels in chunks]), data.labels)
    assert torch.equal(torch.cat([images for images, _ in chunks]), data.normalise(data.images))


def test_a_subset_keeps_classes_and_groups():
    data = real(group=torch.arange(30) // 15)
    part = data.subset(torch.tensor([0, 20, 29]))
    assert part.group.tolist() == [0, 1, 1] and part.labels.tolist() == [0, 2, 2]
    assert torch.equal(part.images, data.images[[0, 20, 29]])
    assert real().subset(torch.tensor([1])).group_sizes == [0, 1, 0]


def test_the_digest_changes_with_anything_and_only_then():
    data = real()
    assert data.digest() == real().digest() == data.digest()
    altered = data.images.clone()
    altered[3, 0, 0, 0] ^= 1
    other_labels = data.labels.clone()
    other_labels[0] = 1
    other_spec = DataSpec.from_dict({**SPEC.to_dict(), "mean": (0.4, 0.5, 0.7)})
    others = [
        RealData(altered, data.labels, SPEC),
        RealData(data.images, other_labels, SPEC),
        RealData(data.images, data.labels, other_spec),
        real(group=torch.arange(30) // 15),
    ]
    assert len({data.digest(), *(other.digest() for other in others)}) == 5


def test_the_type_of_drawn_images_is_asked_for():
    assert real(dtype=torch.float64).batch(0, 2, rng()).dtype == torch.float64
    assert real(dtype=torch.bfloat16).batch(0, 2, rng()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(2, 3, 4, 4), [0, 1], "images of 'toy' are 3x4x4, but 3x4x5 was announced"),
        (torch.zeros(2, 1, 4, 5), [0, 1], "are 1x4x5"),
        (torch.full((2, 3, 4, 5), float("nan")), [0, 1], "image 0 holds NaN"),
        (
            torch.arange(2).view(2, 1, 1, 1) * 1.5 * torch.ones(2, 3, 4, 5),
            [0, 1],
            "image 1 holds values from 1.5",
        ),
        (torch.full((2, 3, 4, 5), -0.1), [0, 1], "not normalised"),
        (torch.full((2, 3, 4, 5), float("inf")), [0, 1], "holds values from inf"),
        (torch.zeros(2, 3, 4, 5, dtype=torch.int64), [0, 1], "images are torch.int64"),
        (torch.zeros(2, 4, 5, 3), [0, 1], "channels last"),
        (torch.zeros(0, 3, 4, 5), [], "N above 0"),
        (torch.zeros(3), [0, 1, 2], r"\[N, channels, height, width\]"),
        (torch.zeros(2, 3, 4, 5), [0, 3], "labels lie between 0 and 3; allowed is from 0 to 2"),
        (torch.zeros(2, 3, 4, 5), [-1, 0], "labels lie between -1"),
        (torch.zeros(2, 3, 4, 5), [0, 1, 2], "2 images need 2 labels in one dimension, but the labels are 3"),
        (torch.zeros(2, 3, 4, 5), [0.0, 1.0], "labels are torch.float32"),
    ],
)
def test_data_that_cannot_be_used_is_refused(images, labels, message):
    with pytest.raises(DataError, match=message):
        RealData(images, torch.tensor(labels), SPEC)


def test_a_spec_survives_json_and_contradictions_do_not():
    assert DataSpec.from_dict(SPEC.to_dict()) == SPEC
    for change, message in [
        ({"mean": (0.1,)}, "mean has 1 values"),
        ({"std": (0.1, 0.0, 0.1)}, "must be above 0"),
        ({"class_names": ("a",)}, "3 classes, but 1 names"),
    ]:
        with pytest.raises(DataError, match=message):
            DataSpec.from_dict({**SPEC.to_dict(), **change})
