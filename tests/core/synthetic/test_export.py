"""A set written as PNG files and read again is the set in bytes, and damage to the folder is noticed."""

from __future__ import annotations

import json
import random
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from limbeck.errors import ArtifactError, LimbeckError, UsageError
from limbeck.synthetic import SyntheticSet
from limbeck.synthetic.artifact import MANIFEST
from limbeck.synthetic.convert import new_folder
from limbeck.synthetic.export import TENSORS, signature, write_png
from limbeck.synthetic.importer import import_set

KINDS = ["hard", "probabilities", "logits"]
RECIPE = {"network": "convnet-d1-w4", "epochs": 3, "lr": 0.5, "protocol": "dc"}


def pixels_of(path):
    with Image.open(path) as image:
        return np.array(image).flatten().tolist()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("space", ["normalised", "unit"])
def test_export_and_import_is_uint8_storage(space, channels, kind, make_set, tmp_path):
    state = {"label_projectors.own.weight": torch.randn(3, 2, generator=torch.Generator().manual_seed(0))}
    notes = {"provenance": {"method": "dm", "settings": {"seed": 1}}, "figures": {"synthetic": {"mean": 0.5}}}
    made = make_set(channels=channels, side=5, kind=kind, space=space, component_state=state, recipe=RECIPE, **notes)
    back = import_set(write_png(made, tmp_path / "png"), "png")
    stored = SyntheticSet.load(made.with_(storage="uint8").save(tmp_path / "set"))
    assert torch.equal(back.stored_images(), stored.stored_images())
    assert torch.equal(back.normalised(), stored.normalised())
    assert torch.equal(back.labels, stored.labels) and torch.equal(back.group, stored.group)
    assert back.label_kind == kind and back.spec == made.spec and back.bytes == stored.bytes
    assert back.recipe["epochs"] == 3 and back.recipe["network"] == "convnet-d1-w4"
    assert back.figures == made.figures
    assert back.provenance["settings"] == {"seed": 1}
    assert torch.equal(back.component_state["label_projectors.own.weight"], state["label_projectors.own.weight"])


def test_pictures_hold_the_pixels_in_class_folders(make_set, tmp_path):
    made = make_set(channels=3, side=4)
    write_png(made, tmp_path)
    pictures = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png"))
    assert pictures == [f"{label}_class-{label}/{2 * label + k}.png" for label in range(3) for k in range(2)]
    for index, name in enumerate(pictures):
        expected = (made.unit()[index] * 255).round().permute(1, 2, 0).flatten().tolist()
        assert pixels_of(tmp_path / name) == expected
    assert not (tmp_path / TENSORS).exists()


def test_an_export_is_the_same_every_time(make_set, tmp_path):
    for name in "ab":
        write_png(make_set(kind="logits", channels=3), tmp_path / name)
    files = [{p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")} for n in "ab"]
    assert files[0] == files[1]


def test_groups_and_their_order_are_kept(make_set, tmp_path):
    made = make_set(ipc=4)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    made = made.with_(images=made.images[order], labels=made.labels[order], group=order % 5)
    back = import_set(write_png(made, tmp_path), "png")
    assert torch.equal(back.group, made.group)
    assert torch.equal(back.stored_images(), made.with_(storage="uint8").stored_images())


def test_channels_that_no_png_has_are_refused(make_set, tmp_path):
    with pytest.raises(UsageError, match=r"2 channels.*--storage uint8"):
        write_png(make_set(channels=2), tmp_path / "png")
    assert not (tmp_path / "png").exists()


def test_damage_of_an_exported_folder_is_found_or_does_no_harm(make_set, tmp_path):
    made = make_set(kind="probabilities", side=6, recipe=RECIPE)
    write_png(made, tmp_path)
    whole, chance, counts = import_set(tmp_path), random.Random(0), Counter()
    files = [path for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    for number in range(120):
        path = files[number % len(files)]
        content = path.read_bytes()
        changed = bytearray(content)
        if number % 3:
            changed[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        else:
            del changed[chance.randrange(len(content)) :]
        path.write_bytes(changed)
        try:
            found = import_set(tmp_path, "png")
        except LimbeckError as error:
            counts["detected"] += 1
            assert "\n" not in str(error)
        else:
            counts["harmless"] += 1
            assert torch.equal(found.normalised(), whole.normalised())
            assert torch.equal(found.labels, whole.labels)
            assert (found.recipe, found.spec, found.figures) == (whole.recipe, whole.spec, whole.figures)
        path.write_bytes(content)
    assert counts["detected"] > 90


def rewrite(folder, change):
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    manifest["checksum"] = signature(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(version=2), "format version 2; this Limbeck reads up to 1. Type: pip install --upgrade"),
        (lambda m: m.update(format="other"), "describes no PNG set"),
        (lambda m: m["images"][0].update(file="../0.png"), "outside the folder"),
        (lambda m: m["images"][0].update(file="/etc/passwd"), "outside the folder"),
        (lambda m: m["images"][0].update(file="absent.png"), "cannot be read as a PNG"),
        (lambda m: m["images"].pop(), "pixels in"),
        (lambda m: m["images"].reverse(), "pixels in"),
        (lambda m: m.update(images=[{}]), "truncated or altered"),
        (lambda m: m.update(images=3), "truncated or altered"),
        (lambda m: m.update(tensors="0"), "truncated or altered"),
        (lambda m: m.pop("recipe"), "truncated or altered"),
        (lambda m: m["images"][0].update(label=9), "holds label 9"),
        (lambda m: m["data"].update(shape=[1, 3, 3]), "L of 2x2 pixels"),
    ],
)
def test_a_manifest_that_is_not_understood_is_refused(change, message, make_set, tmp_path):
    rewrite(write_png(make_set(recipe=RECIPE), tmp_path), change)
    with pytest.raises(LimbeckError) as told:
        import_set(tmp_path, "png")
    assert message in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("content", ["", "[]", "{", "{}", "3", "[" * 9000])
def test_a_manifest_that_is_none_is_refused(content, make_set, tmp_path):
    write_png(make_set(), tmp_path)
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(ArtifactError, match="truncated or altered"):
        import_set(tmp_path, "png")


def test_data_that_the_manifest_contradicts_are_refused(make_set, tmp_path):
    write_png(make_set(recipe=RECIPE), tmp_path)
    with pytest.raises(UsageError, match=r"1x2x2 in 3 classes, but 'tiny' has 1x2x2 in 4"):
        import_set(tmp_path, "png", make_set(classes=4).spec)
    assert import_set(tmp_path, "png", make_set().spec).spec == make_set().spec


# A folder that is whole or absent


def test_a_new_folder_appears_whole(tmp_path):
    with new_folder(tmp_path / "a" / "b") as folder:
        (folder / "file").write_text("x")
        assert not (tmp_path / "a" / "b").exists()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    assert (tmp_path / "a" / "b" / "file").read_text() == "x"


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "b") as folder:
        (folder / "file").write_text("x")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "empty", "link", "."):
        with pytest.raises(UsageError, match="exists already and is not overwritten"), new_folder(tmp_path / name):
            pass
    with pytest.raises(UsageError, match="exists already"), new_folder(tmp_path / "late") as folder:
        (tmp_path / "late").mkdir()
        (folder / "file").write_text("x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "late", "link"]
    with pytest.raises(UsageError, match="cannot write"), new_folder(tmp_path / "file" / "below"):
        pass
