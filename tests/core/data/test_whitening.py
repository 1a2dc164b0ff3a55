"""ZCA whitening: what it does to a covariance, that it can be undone, and that it travels with a set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from limbeck.data import DataSpec, load_dataset
from limbeck.data.whitening import Whitening
from limbeck.errors import DataError, LimbeckError
from limbeck.synthetic import SyntheticSet


def images(n=400, shape=(2, 3, 3), seed=0):
    rng = torch.Generator().manual_seed(seed)
    mixed = torch.rand(n, shape[0] * 9, generator=rng) @ torch.rand(shape[0] * 9, shape[0] * 9, generator=rng)
    return (mixed / mixed.max() * 255).round().to(torch.uint8).view(n, *shape)


@pytest.fixture(scope="module")
def pixels():
    return images()


@pytest.fixture(scope="module")
def whitening(pixels):
    return Whitening.fit(pixels)


def unit(pixels):
    return pixels.double() / 255


def test_the_matrix_is_that_of_the_definition(pixels, whitening):
    flat = unit(pixels).flatten(1).numpy()
    values, vectors = np.linalg.eigh(np.cov(flat, rowvar=False))
    expected = vectors @ np.diag(1 / np.sqrt(values + 0.1)) @ vectors.T
    np.testing.assert_allclose(whitening.matrix.numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(whitening.centre.numpy(), flat.mean(0), atol=1e-6)


def test_without_regularisation_the_covariance_becomes_the_identity(pixels):
    plain = Whitening.fit(pixels, epsilon=1e-12)
    flat = plain.whiten(unit(pixels)).flatten(1)
    torch.testing.assert_close(torch.cov(flat.T), torch.eye(18, dtype=torch.float64), atol=2e-3, rtol=0)


def test_pixels_come_back(pixels, whitening):
    torch.testing.assert_close(whitening.restore(whitening.whiten(unit(pixels))), unit(pixels), atol=1e-5, rtol=0)


def test_the_order_of_the_images_does_not_matter_beyond_rounding(pixels, whitening):
    turned = Whitening.fit(pixels.flip(0))
    torch.testing.assert_close(turned.matrix, whitening.matrix, atol=1e-6, rtol=0)
    torch.testing.assert_close(turned.centre, whitening.centre, rtol=0, atol=0)


def test_a_digest_changes_with_any_number(whitening):
    other = Whitening(whitening.centre, whitening.matrix + torch.eye(18) * 1e-6)
    assert other != whitening and Whitening(whitening.centre, whitening.matrix) == whitening


def test_one_image_cannot_be_whitened():
    with pytest.raises(DataError, match="at least 2 training images; found 1"):
        Whitening.fit(images(1))


def test_whitening_of_another_size_is_refused(whitening):
    with pytest.raises(DataError, match=r"fitted on images of 18 numbers, but those of 'x' have 64 \(1x8x8\)"):
        DataSpec("x", (1, 8, 8), 2, ("a", "b"), (0.5,), (0.5,), True, whitening)


def spec_of(whitening):
    return DataSpec("x", (2, 3, 3), 2, ("a", "b"), (0.5, 0.5), (0.5, 0.5), True, whitening)


def test_clamping_brings_pixels_into_range(whitening):
    spec = spec_of(whitening)
    wild = torch.randn(5, 2, 3, 3, generator=torch.Generator().manual_seed(1)) * 5
    pixels = spec.denormalise(spec.clamp(wild))
    assert pixels.min() > -1e-4 and pixels.max() < 1 + 1e-4
    torch.testing.assert_close(pixels, spec.denormalise(wild).clamp(0, 1), atol=1e-4, rtol=0)


def test_images_of_one_space_are_not_taken_for_another(whitening):
    plain = spec_of(None)
    assert not plain.sees_like(spec_of(whitening)) and spec_of(whitening).sees_like(spec_of(whitening))
    assert not plain.sees_like(replace(plain, mean=(0.4, 0.5)))


def test_real_images_are_seen_whitened():
    data = load_dataset("digits", preprocessing="zca", max_per_class=30)
    assert data.spec.preprocessing == "zca" and data.train.spec is data.test.spec
    seen = data.train.take(torch.arange(len(data.train)))
    torch.testing.assert_close(data.train.denormalise(seen) * 255, data.train.images.float(), atol=0.01, rtol=0)
    assert seen.mean().abs() < 1e-4


@pytest.fixture
def stored(tmp_path, whitening):
    rng = torch.Generator().manual_seed(2)
    labels = torch.tensor([0, 1])
    made = SyntheticSet(torch.randn(2, 2, 3, 3, generator=rng), labels, labels, spec_of(whitening))
    made.save(tmp_path)
    return made, tmp_path


@pytest.mark.parametrize("storage", ["float32", "uint8"])
def test_the_matrix_travels_with_a_set(stored, storage):
    made, folder = stored
    made.with_(storage=storage).save(folder)
    found = SyntheticSet.load(folder)
    assert found.spec == made.spec and not found.component_state
    tolerance = 0 if storage == "float32" else 1
    torch.testing.assert_close(
        found.stored_images(), made.with_(storage=storage).stored_images(), atol=tolerance, rtol=0
    )
    assert found.bytes == found.images.numel() * (4 if storage == "float32" else 1) + 2


def test_an_altered_matrix_is_noticed(stored):
    _, folder = stored
    path = folder / "synthetic.safetensors"
    tensors = load_file(path)
    tensors["preprocessing.zca.matrix"] += 1
    save_file(tensors, path)
    (folder / "manifest.json").unlink()
    with pytest.raises(LimbeckError):
        SyntheticSet.load(folder)
