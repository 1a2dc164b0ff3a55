"""What is saved is what is loaded, and damage of any sort is found or does no harm."""

from __future__ import annotations

import json
import struct

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save as pack_tensors

from limbeck.errors import ArtifactError, LimbeckError, UsageError
from limbeck.files import sha256
from limbeck.synthetic import SyntheticSet
from limbeck.synthetic.artifact import MANIFEST, TENSORS, read_manifest

STORAGES = ["float32", "float16", "uint8"]
KINDS = ["hard", "probabilities", "logits"]
PLAIN = ("label_kind", "storage", "recipe", "provenance", "figures")


def assert_same(one, other):
    """Equal in everything a student can see."""
    assert torch.equal(one.normalised(), other.normalised())
    assert torch.equal(one.labels, other.labels)
    assert torch.equal(one.group, other.group)
    assert one.spec == other.spec
    assert [getattr(one, name) for name in PLAIN] == [getattr(other, name) for name in PLAIN]
    assert one.bytes == other.bytes
    assert one.component_state.keys() == other.component_state.keys()
    for name, tensor in one.component_state.items():
        assert torch.equal(tensor, other.component_state[name])
        assert tensor.dtype == other.component_state[name].dtype


# There and back


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("storage", STORAGES)
def test_saving_and_loading_changes_nothing_a_student_sees(storage, kind, make_set, tmp_path):
    state = {
        "label_projectors.teacher.weight": torch.randn(3, 2),
        "label_projectors.teacher.count": torch.tensor(7),
        "label_projectors.teacher.flags": torch.tensor([True, False]),
        "formations.own.none": torch.empty(0, 4),
    }
    notes = {"recipe": {"lr": 0.1}, "provenance": {"method": "dm"}, "figures": {"synthetic": {"mean": 0.5}}}
    made = make_set(storage=storage, kind=kind, component_state=state, **notes)
    assert_same(SyntheticSet.load(made.save(tmp_path)), made)


@pytest.mark.parametrize("storage", STORAGES)
def test_loaded_set_saved_again_is_the_same_file(storage, make_set, tmp_path):
    make_set(storage=storage).save(tmp_path / "one")
    SyntheticSet.load(tmp_path / "one").save(tmp_path / "two")
    SyntheticSet.load(tmp_path / "two").save(tmp_path / "three")
    names = [TENSORS, MANIFEST, "preview.png"]
    files = [[(tmp_path / folder / name).read_bytes() for name in names] for folder in ("two", "three")]
    assert files[0] == files[1]
    assert (tmp_path / "one" / TENSORS).read_bytes() == (tmp_path / "two" / TENSORS).read_bytes()


def test_bytes_are_kept_within_half_a_level(make_set, tmp_path):
    images = torch.rand(6, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    exact = make_set(space="unit").with_(images=images)
    stored = SyntheticSet.load(exact.with_(storage="uint8").save(tmp_path))
    assert (stored.unit() - images).abs().max() <= 0.5 / 255 + 1e-6
    normalised = exact.with_(images=exact.normalised(), space="normalised", storage="uint8")
    assert torch.equal(normalised.stored_images(), stored.stored_images())


def test_shared_tensors_are_saved(make_set, tmp_path):
    weight = torch.randn(4)
    made = make_set(component_state={"a.b.c": weight, "a.b.d": weight, "a.b.e": weight[1:]})
    assert_same(SyntheticSet.load(made.save(tmp_path)), made)


def test_saving_replaces_what_was_there(make_set, tmp_path):
    make_set(seed=0).save(tmp_path)
    second = make_set(seed=1, storage="uint8")
    second.save(tmp_path)
    assert_same(SyntheticSet.load(tmp_path), second)


def test_a_set_is_found_by_its_folder_or_its_file(make_set, tmp_path):
    made = make_set()
    made.save(tmp_path)
    assert_same(SyntheticSet.load(tmp_path / TENSORS), SyntheticSet.load(str(tmp_path)))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ipc=st.integers(1, 4),
    channels=st.integers(1, 4),
    side=st.integers(1, 7),
    classes=st.integers(1, 5),
    storage=st.sampled_from(STORAGES),
    kind=st.sampled_from(KINDS),
    space=st.sampled_from(["normalised", "unit"]),
)
def test_any_shape_and_label_comes_back(ipc, channels, side, classes, storage, kind, space, make_set, tmp_path):
    shape = {"ipc": ipc, "channels": channels, "side": side, "classes": classes}
    made = make_set(**shape, storage=storage, kind=kind, space=space)
    assert_same(SyntheticSet.load(made.save(tmp_path)), made)


# Size


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ({}, 6 * 4 * 4 + 6),
        ({"storage": "float16"}, 6 * 4 * 2 + 6),
        ({"storage": "uint8"}, 6 * 4 + 6),
        ({"kind": "logits"}, 6 * 4 * 4 + 6 * 3 * 4),
        ({"kind": "probabilities", "storage": "float16"}, 6 * 4 * 2 + 6 * 3 * 2),
        ({"kind": "probabilities", "storage": "uint8"}, 6 * 4 + 6 * 3 * 2),
        ({"classes": 300, "ipc": 1}, 300 * 4 * 4 + 300 * 2),
        ({"classes": 256, "ipc": 1, "storage": "uint8"}, 256 * 4 + 256),
        ({"component_state": {"k.n.t": torch.zeros(3, 2, dtype=torch.float16)}}, 6 * 4 * 4 + 6 + 12),
    ],
)
def test_bytes_count_images_labels_and_components(attributes, size, make_set):
    assert make_set(**attributes).bytes == size


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
@pytest.mark.parametrize("storage", STORAGES)
def test_tensors_on_disk_take_the_bytes_that_are_counted(storage, kind, make_set, tmp_path):
    made = make_set(storage=storage, kind=kind)
    content = (made.save(tmp_path) / TENSORS).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    groups = len(made) * made.group.element_size()
    assert len(content) - 8 - length - groups == made.bytes


# Damage


@pytest.mark.parametrize("keep_manifest", [True, False])
def test_truncated_file_is_refused(keep_manifest, make_set, tmp_path):
    content = (make_set().save(tmp_path) / TENSORS).read_bytes()
    if not keep_manifest:
        (tmp_path / MANIFEST).unlink()
    for length in range(0, len(content), 97):
        (tmp_path / TENSORS).write_bytes(content[:length])
        with pytest.raises(ArtifactError) as told:
            SyntheticSet.load(tmp_path)
        assert "\n" not in str(told.value)
        assert str(tmp_path) in str(told.value)


@pytest.mark.parametrize("keep_manifest", [True, False])
def test_flipped_bit_is_found_or_does_no_harm(keep_manifest, make_set, tmp_path):
    made = make_set(recipe={"lr": 0.01}, kind="logits")
    content = (made.save(tmp_path) / TENSORS).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    if not keep_manifest:
        (tmp_path / MANIFEST).unlink()
    harmless = []
    for position in range(0, 8 * len(content), 31):
        damaged = bytearray(content)
        damaged[position // 8] ^= 1 << position % 8
        (tmp_path / TENSORS).write_bytes(damaged)
        try:
            found = SyntheticSet.load(tmp_path)
        except LimbeckError as error:
            assert "\n" not in str(error)
        else:
            assert_same(found, made)
            harmless.append(position // 8)
    assert not keep_manifest or not harmless
    assert all(8 <= position < 8 + length for position in harmless)


def test_flipped_bit_of_the_manifest_file_is_found_or_does_no_harm(make_set, tmp_path):
    made = make_set()
    content = (made.save(tmp_path) / MANIFEST).read_bytes()
    for position in range(0, 8 * len(content), 31):
        damaged = bytearray(content)
        damaged[position // 8] ^= 1 << position % 8
        (tmp_path / MANIFEST).write_bytes(damaged)
        try:
            assert_same(SyntheticSet.load(tmp_path), made)
        except ArtifactError as error:
            assert MANIFEST in str(error)


def test_missing_manifest_file_does_no_harm(make_set, tmp_path):
    made = make_set()
    made.save(tmp_path)
    (tmp_path / MANIFEST).unlink()
    assert_same(SyntheticSet.load(tmp_path), made)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"sha256": "0"}', "\udcff"])
def test_manifest_file_that_contradicts_is_refused(content, make_set, tmp_path):
    make_set().save(tmp_path)
    (tmp_path / MANIFEST).write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ArtifactError, match=MANIFEST):
        SyntheticSet.load(tmp_path)


def test_manifest_file_of_another_set_is_refused(make_set, tmp_path):
    make_set(seed=0).save(tmp_path)
    other = (make_set(seed=1).save(tmp_path / "other") / MANIFEST).read_bytes()
    (tmp_path / MANIFEST).write_bytes(other)
    with pytest.raises(ArtifactError, match="one of the two was altered"):
        SyntheticSet.load(tmp_path)


def rewrite(folder, change):
    """Write the artifact anew, its checksums right, with another manifest."""
    manifest = read_manifest(folder)
    tensors = {"images": torch.zeros(1, 1, 2, 2), "labels": torch.zeros(1, dtype=torch.int64)}
    tensors["group"] = tensors["labels"].clone()
    change(manifest)
    manifest["checksum"] = sha256(json.dumps(manifest, sort_keys=True).encode())
    (folder / TENSORS).write_bytes(pack_tensors(tensors, metadata={"manifest": json.dumps(manifest)}))
    (folder / MANIFEST).unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: m.update(version=2),
            "format version 2; this Limbeck reads up to 1. Type: pip install --upgrade limbeck",
        ),
        (lambda m: m.update(version="one"), "format version one"),
        (lambda m: m.update(format="other"), "no Limbeck synthetic set"),
        (lambda m: m.update(tensors={}), "does not hold the tensors its manifest lists"),
    ],
)
def test_manifest_that_is_not_understood_is_refused(change, message, make_set, tmp_path):
    make_set().save(tmp_path)
    rewrite(tmp_path, change)
    with pytest.raises(ArtifactError) as told:
        SyntheticSet.load(tmp_path)
    assert message in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("content", [b"", b"\x00" * 8, b"\xff" * 64, b"PK\x03\x04" * 9, b'{"__metadata__": {}}'])
def test_file_of_another_sort_is_refused(content, tmp_path):
    (tmp_path / TENSORS).write_bytes(content)
    with pytest.raises(ArtifactError):
        SyntheticSet.load(tmp_path)
    with pytest.raises(ArtifactError):
        read_manifest(tmp_path)


def test_tensors_of_another_program_are_refused(tmp_path):
    (tmp_path / TENSORS).write_bytes(pack_tensors({"images": torch.zeros(2)}))
    with pytest.raises(ArtifactError, match="no Limbeck set"):
        SyntheticSet.load(tmp_path)


def test_folder_without_a_set_says_what_to_give(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder" / TENSORS).mkdir(parents=True)
    for place in (tmp_path, tmp_path / "absent", tmp_path / "file", tmp_path / "folder"):
        with pytest.raises(UsageError, match=r"no synthetic set at .*'limbeck distill --out' wrote"):
            SyntheticSet.load(place)


# Sets that make no sense


@pytest.mark.parametrize(
    "change",
    [
        {"images": torch.zeros(6, 1, 2, 3)},
        {"images": torch.zeros(5, 1, 2, 2)},
        {"images": torch.zeros(6, 4)},
        {"labels": torch.zeros(5, dtype=torch.int64)},
        {"labels": torch.zeros(6)},
        {"labels": torch.zeros(6, 3)},
        {"label_kind": "logits"},
        {"label_kind": "probabilities", "labels": torch.zeros(6, 2)},
        {"group": torch.zeros(5, dtype=torch.int64)},
    ],
)
def test_tensors_that_do_not_fit_each_other_are_refused(change, make_set):
    with pytest.raises(UsageError, match=r"a set for 'tiny' needs images \[n, 1, 2, 2\]") as told:
        make_set().with_(**change)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("change", [{"storage": "int4"}, {"space": "hsv"}])
def test_unknown_storage_is_refused(change, make_set):
    with pytest.raises(UsageError, match="float32, float16 or uint8"):
        make_set().with_(**change)
