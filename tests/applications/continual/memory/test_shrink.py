"""Making a piece smaller: the first images of each class, or a new set distilled from the old one's images."""

from __future__ import annotations

import pytest
import torch

from limbeck.data import load_dataset
from limbeck.errors import UsageError
from limbeck.synthetic import SyntheticSet
from limbeck_applications.continual.memory.distiller import Distiller, MemorySpec
from limbeck_applications.continual.memory.piece import Piece
from limbeck_applications.continual.memory.shrink import as_real, fitting, keep_best, redistil

pytestmark = pytest.mark.usefixtures("one_thread", "no_report")

CLASSES = (7, 3)


@pytest.fixture(scope="module")
def real():
    return load_dataset("digits").train


def distiller(folder=None, **asked):
    return Distiller(MemorySpec.model_validate({"network": "mlp-d1-w64", **asked}), folder=folder)


@pytest.fixture(scope="module")
def piece(real):
    return distiller(method="dm", steps=3).distil(real, CLASSES, 5, 0, experience=2)


def per_class(piece, place):
    return piece.made.stored_images()[piece.made.group == place]


def test_the_first_of_each_class_are_kept(piece):
    smaller = keep_best(piece, 2)
    assert smaller.counts == [2, 2]
    assert (smaller.classes, smaller.experience) == (CLASSES, 2)
    for place in range(2):
        assert torch.equal(per_class(smaller, place), per_class(piece, place)[:2])
    assert torch.equal(smaller.made.labels, smaller.made.group)


def test_smaller_pieces_are_nested_whatever_way_leads_to_them(piece):
    assert torch.equal(keep_best(keep_best(piece, 3), 1).made.images, keep_best(piece, 1).made.images)


def test_bytes_fall_with_the_images(piece):
    assert piece.bytes == 10 * (64 + 1)
    assert keep_best(piece, 3).bytes == 6 * (64 + 1)


def test_enough_room_changes_nothing(piece):
    assert keep_best(piece, 5) is piece
    assert keep_best(piece, 50) is piece


@pytest.mark.parametrize("ipc", [0, -1])
def test_less_than_one_image_is_refused(piece, ipc):
    with pytest.raises(UsageError, match="at least 1"):
        keep_best(piece, ipc)
    with pytest.raises(UsageError, match="at least 1"):
        redistil(piece, ipc, distiller(method="dm", steps=1), 0)


def test_provenance_says_what_was_done_in_order(piece):
    twice = redistil(keep_best(piece, 3), 2, distiller(method="dm", steps=2), 1)
    first, second = twice.made.provenance["shrunk"]
    assert "3 most important of 5" in first
    assert "again from 3 synthetic" in second
    assert "shrunk" not in piece.made.provenance


def test_old_images_are_real_ones_to_the_last_level(piece):
    found = as_real(piece)
    assert torch.equal(found.images, piece.made.stored_images())
    assert found.labels.tolist() == [CLASSES[place] for place in piece.made.group.tolist()]
    assert torch.allclose(found.take(torch.arange(10)), piece.made.normalised(), atol=1e-6)


def test_float_images_become_pixels(piece):
    loud = Piece(piece.made.with_(images=piece.made.images * 100, storage="float32"), CLASSES)
    found = as_real(loud).images
    assert found.dtype == torch.uint8
    assert {found.min().item(), found.max().item()} == {0, 255}


def test_formed_images_are_what_is_distilled_again(real):
    idc = distiller(method="idc", steps=1, network="convnet-d2-w8-in")
    tiled = idc.distil(real, CLASSES, 3, 0)
    found = as_real(tiled)
    assert len(found) == 4 * len(tiled.made)
    formed, _ = tiled.formed(real.spec)
    assert (found.take(torch.arange(len(found))) - real.spec.clamp(formed)).abs().max() < 1 / real.spec.std[0] / 255
    again = redistil(tiled, 1, idc, 0)
    assert (again.counts, again.classes) == ([1, 1], CLASSES)


def test_distilled_again_from_old_images_alone(piece):
    """A method that picks real images can pick none but the old ones of the same class."""
    again = redistil(piece, 3, distiller(method="random"), 4)
    assert again.counts == [3, 3]
    for place in range(2):
        old = {tuple(image.flatten().tolist()) for image in per_class(piece, place)}
        assert all(tuple(image.flatten().tolist()) in old for image in per_class(again, place))


def test_distilled_again_moves_the_images(piece):
    again = redistil(piece, 2, distiller(method="dm", steps=3), 4)
    assert again.classes == CLASSES
    assert again.experience == 2
    old = {tuple(image.flatten().tolist()) for image in piece.made.stored_images()}
    assert not all(tuple(image.flatten().tolist()) in old for image in again.made.stored_images())


def test_distilled_again_is_kept_by_content_with_its_note(piece, tmp_path):
    asked = {"method": "dm", "steps": 2, "folder": tmp_path}
    first = redistil(piece, 2, distiller(**asked), 1)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    second = redistil(piece, 2, distiller(**asked), 1)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == written
    assert torch.equal(first.made.stored_images(), second.made.stored_images())
    assert (first.name, first.seconds) == (second.name, second.seconds)
    stored = SyntheticSet.load(tmp_path / first.name).provenance
    assert stored["shrunk"] == first.made.provenance["shrunk"] == second.made.provenance["shrunk"]


def test_old_images_of_another_piece_make_another_piece(piece, tmp_path):
    again = distiller(method="dm", steps=2, folder=tmp_path)
    assert redistil(piece, 2, again, 1).name != redistil(keep_best(piece, 4), 2, again, 1).name


def test_how_many_images_a_share_holds(piece):
    assert [fitting(piece, share) for share in (65, 129, 130, 194, 195)] == [1, 1, 2, 2, 3]
    with pytest.raises(UsageError, match="storage=uint8"):
        fitting(piece, 64)


def test_what_travels_with_the_images_takes_its_part_of_the_share(piece):
    """Two classes share the bytes that travel: 200 of them are 100 a class."""
    state = {"formations.own.weights": torch.zeros(50)}
    heavy = Piece(piece.made.with_(component_state=state), CLASSES)
    assert heavy.bytes == 10 * 65 + 200
    assert [fitting(heavy, share) for share in (165, 229, 230, 425)] == [1, 1, 2, 5]
    assert keep_best(heavy, 2).bytes == 4 * 65 + 200
    with pytest.raises(UsageError, match="200 B that travel"):
        fitting(heavy, 164)
