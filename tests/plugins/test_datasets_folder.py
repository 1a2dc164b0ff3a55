"""Trees of image files: what is read from them, and the many ways in which they are broken."""

from __future__ import annotations

import logging
import os
import re
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from limbeck.data import channel_statistics, load_dataset
from limbeck.errors import DataError, UsageError
from limbeck_plugins.datasets.folder import Folder
from limbeck_plugins.datasets.pictures import Unreadable, read_picture


def picture(seed=0, width=24, height=18, mode="RGB"):
    channels = {"L": (), "RGB": (3,), "RGBA": (4,), "CMYK": (4,)}[mode]
    values = np.random.default_rng(seed).integers(0, 256, (height, width, *channels), dtype=np.uint8)
    return Image.fromarray(values, mode) if mode == "CMYK" else Image.fromarray(values)


def fill(folder, *classes, count=5, seed=0):
    """Write images of every class; each is unlike all others."""
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            picture(seed + 100 * number + index).save(folder / name / f"{index}.png")
    return folder


@pytest.fixture
def photos(tmp_path):
    return fill(tmp_path / "photos", "dog", "cat")


def load(path, **options):
    return load_dataset({"name": "folder", "path": str(path), "size": 8, **options})


@pytest.fixture
def refused():
    def check(path, match, **options):
        with pytest.raises(DataError, match=match) as caught:
            load(path, **options)
        assert "\n" not in str(caught.value)
        str(caught.value).encode()
        return str(caught.value)

    return check


# Pixels


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("width", "height"), [(24, 18), (17, 40), (9, 9), (5, 4), (8, 8), (31, 8)])
def test_pixels_are_those_of_the_fields_transforms(tmp_path, width, height, channels):
    """Resize and CenterCrop of torchvision, bit for bit."""
    image = picture(3, width, height)
    image.save(tmp_path / "a.png")
    expected = v2.functional.center_crop(
        v2.functional.resize(image.convert("L" if channels == 1 else "RGB"), 8), [8, 8]
    )
    assert torch.equal(read_picture(tmp_path / "a.png", 8, channels), v2.functional.pil_to_tensor(expected))


def test_images_and_classes_are_those_of_torchvisions_reader(photos):
    """A nested tree with upper-case names and other files among the images."""
    (photos / "dog" / "more").mkdir()
    picture(50).save(photos / "dog" / "more" / "Z.PNG")
    picture(51).save(photos / "cat" / "a.bmp")
    (photos / "dog" / "notes.txt").write_text("no image")
    data = load(photos, size=18, test_share=0.01)
    source = ImageFolder(photos, v2.Compose([v2.CenterCrop(18), v2.PILToTensor()]))
    assert data.spec.class_names == tuple(source.classes) == ("cat", "dog")
    theirs = {(image.numpy().tobytes(), label) for image, label in source}
    ours = {
        (image.tobytes(), label)
        for part in (data.train, data.test)
        for image, label in zip(part.images.numpy(), part.labels.tolist(), strict=True)
    }
    assert ours == theirs and len(data.train) + len(data.test) == len(source) == 12


def test_grey_pictures_stay_grey_and_statistics_are_measured(photos):
    data = load(photos, channels=1, mirror=False)
    assert data.spec.shape == (1, 8, 8) and not data.spec.mirror
    assert (data.spec.mean, data.spec.std) == channel_statistics(data.train.images)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_upright(tmp_path, orientation):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    picture(1, 16, 16).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        expected = v2.functional.pil_to_tensor(ImageOps.exif_transpose(image))
    assert torch.equal(read_picture(tmp_path / "a.png", 16, 3), expected)


def test_transparent_parts_are_white(tmp_path):
    values = np.zeros((4, 4, 4), dtype=np.uint8)
    values[:2, :, 3] = 255
    Image.fromarray(values).save(tmp_path / "a.png")
    found = read_picture(tmp_path / "a.png", 4, 3)
    assert not found[:, :2].any() and (found[:, 2:] == 255).all()
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.save(tmp_path / "b.png", transparency=1)
    assert (read_picture(tmp_path / "b.png", 4, 3) == 255).all()


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("a.png", {}, 0), ("a.bmp", {}, 0), ("a.ppm", {}, 0), ("a.tif", {}, 0), ("a.webp", {"lossless": True}, 0),
        ("a.jpg", {"quality": 95}, 40),
    ],
)  # fmt: skip
def test_formats_are_read(tmp_path, name, options, tolerance):
    flat = Image.fromarray(np.full((8, 8, 3), (200, 100, 50), dtype=np.uint8))
    flat.save(tmp_path / name, **options)
    found = read_picture(tmp_path / name, 8, 3).int()
    assert (found - v2.functional.pil_to_tensor(flat).int()).abs().max() <= tolerance


@pytest.mark.parametrize("kind", ["palette", "cmyk", "bilevel", "grey", "alpha", "gif", "rgb of 16 bits"])
def test_kinds_of_pixels_that_become_rgb(tmp_path, kind):
    path = tmp_path / {"cmyk": "a.jpg", "gif": "a.gif"}.get(kind, "a.png")
    if kind == "rgb of 16 bits":
        path.write_bytes(png_of(8, 8, bits=16, rows=bytes([0]) + bytes([200, 7] * 3 * 8)))
    elif kind in ("palette", "gif"):
        picture().quantize(16).save(path)
    elif kind == "bilevel":
        picture().convert("1").save(path)
    else:
        picture(mode={"cmyk": "CMYK", "grey": "L", "alpha": "RGBA"}[kind]).save(path)
    found = read_picture(path, 8, 3)
    assert found.shape == (3, 8, 8) and found.dtype == torch.uint8
    if kind == "rgb of 16 bits":
        assert (found == 200).all()


# Trees


def test_a_fifth_of_every_class_is_set_aside_whatever_the_seed(photos):
    first, second = (load_dataset({"name": "folder", "path": str(photos), "size": 8}, seed=seed) for seed in (0, 1))
    assert first.train.group_sizes == [4, 4] and first.test.group_sizes == [1, 1]
    assert first.train.digest() == second.train.digest() and first.test.digest() == second.test.digest()
    assert load(photos, test_share=0.5).test.group_sizes == [2, 2]


@pytest.mark.parametrize("name", ["test", "val"])
def test_a_given_split_is_kept(tmp_path, name):
    fill(tmp_path / "train", "cat", "dog", "eel", count=3)
    fill(tmp_path / name, "cat", "dog", count=1, seed=500)
    data = load(tmp_path)
    assert data.spec.class_names == ("cat", "dog", "eel")
    assert data.train.group_sizes == [3, 3, 3] and data.test.group_sizes == [1, 1, 0]


def test_a_test_folder_without_classes_gives_way_to_val(tmp_path):
    """ImageNet's test images have no labels."""
    fill(tmp_path / "train", "cat", "dog")
    fill(tmp_path / "val", "cat", "dog", count=2, seed=500)
    fill(tmp_path / "test", "images", seed=700)
    assert load(tmp_path).test.group_sizes == [2, 2]


def test_a_train_folder_alone_is_split(tmp_path):
    fill(tmp_path / "train", "cat", "dog")
    assert load(tmp_path).train.group_sizes == [4, 4]


def test_train_may_be_a_class(tmp_path):
    fill(tmp_path, "plane", "train")
    assert load(tmp_path).spec.class_names == ("plane", "train")


def test_splits_that_do_not_fit_are_refused(tmp_path, refused):
    fill(tmp_path / "train", "cat", "dog")
    fill(tmp_path / "other", "cat")
    refused(tmp_path, "neither 'test' nor 'val' beside it")
    fill(tmp_path / "test", "cta", seed=500)
    refused(tmp_path, "is named like a class of")
    fill(tmp_path / "test", "cat", seed=500)
    refused(tmp_path, "class 'cta' .* has test images, but none in 'train'")


def test_links_are_followed_out_of_the_tree_but_not_in_circles(tmp_path, photos):
    elsewhere = fill(tmp_path / "elsewhere", "eel")
    (photos / "eel").symlink_to(elsewhere / "eel")
    (photos / "dog" / "linked.png").symlink_to(elsewhere / "eel" / "0.png")
    (photos / "dog" / "up").symlink_to(photos)
    (photos / "dog" / "self").symlink_to(photos / "dog")
    data = load(photos, test_share=0.01)
    assert data.spec.class_names == ("cat", "dog", "eel")
    assert data.train.group_sizes[0] == data.train.group_sizes[2] == 4


def test_hidden_files_and_folders_are_left_alone(photos):
    (photos / ".cache").mkdir()
    (photos / "cat" / "._0.png").write_text("a Mac was here")
    assert load(photos).spec.class_names == ("cat", "dog")


def test_a_class_of_one_image_says_what_is_needed(tmp_path, photos, refused):
    fill(photos, "eel", count=1)
    refused(photos, r"class 'eel' of .* has 1 image, but 20% .*\. Give it at least 2 images, or give a test part")
    given = tmp_path / "given"
    fill(given / "train", "cat", "dog", count=1)
    fill(given / "test", "cat", "dog", count=1, seed=500)
    assert load(given).train.group_sizes == [1, 1]


def test_empty_places_are_refused_by_name(tmp_path, photos, refused):
    (photos / "ant").mkdir()
    (photos / "bee").mkdir()
    (photos / "bee" / "notes.txt").touch()
    refused(photos, r"class folder 'ant', 'bee' of .*photos has no images \(\.bmp .*\)\. Fill or delete it")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "has no folders in it; put the images of each class into one")
    refused(photos / "cat" / "0.png", "0.png is a file; give the folder")
    refused(tmp_path / "nowhere", "finds nothing at")
    with pytest.raises(UsageError, match=r"'data.path' is required"):
        load_dataset("folder")


def test_a_folder_that_may_not_be_read_is_named(photos, monkeypatch):
    from pathlib import Path

    listed = Path.iterdir

    def locked(self):
        if self.name == "cat":
            raise PermissionError(13, "Permission denied")
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", locked)
    with pytest.raises(DataError, match=r"photos/cat cannot be read: Permission denied"):
        load(photos)


@pytest.mark.parametrize(("option", "value"), [("size", 0), ("channels", 2), ("test_share", 1), ("sise", 8)])
def test_options_out_of_range_are_refused(photos, option, value):
    with pytest.raises(UsageError, match=f"'data.{option}'"):
        load(photos, **{option: value})


# Files that cannot be read


def png_of(width, height, *, bits=8, rows=b"", chunks=()):
    """Return a PNG of one row repeated, as the format says."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    pixels = zlib.compress(rows * height)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(*one) for one in ((b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b""))
    )


def truncated(path):
    picture(7, 200, 200).save(path)
    path.write_bytes(path.read_bytes()[:3000])


def animated(path):
    picture(1).save(path, save_all=True, append_images=[picture(2)])


def text_chunk_bomb(path):
    text = b"note\x00\x00" + zlib.compress(b"x" * (8 << 20))
    path.write_bytes(png_of(8, 8, rows=bytes(25), chunks=[(b"zTXt", text)]))


def postscript(path):
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n")


BROKEN = {
    "text.png": (lambda path: path.write_text("I am no image"), "is no image"),
    "empty.jpg": (lambda path: path.touch(), "is no image"),
    "noise.jpg": (lambda path: path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(range(200))), "is no image"),
    "cut.png": (truncated, "truncated"),
    "cut.jpg": (truncated, "truncated"),
    "header.png": (lambda path: path.write_bytes(png_of(8, 8)), "truncated"),
    "bomb.png": (lambda path: path.write_bytes(png_of(60_000, 60_000)), "has more than 89,478,485 pixels"),
    "large.png": (lambda path: path.write_bytes(png_of(10_000, 10_000)), "has more than 89,478,485 pixels"),
    "text_bomb.png": (text_chunk_bomb, "Decompressed data too large"),
    "hair.png": (lambda path: picture(1, 4000, 3).save(path), "4000x3, one side more than 100 times"),
    "moves.gif": (animated, "holds 2 pictures"),
    "pages.tif": (animated, "holds 2 pictures"),
    "deep.png": (lambda path: Image.fromarray(np.zeros((8, 8), np.uint16)).save(path), "more than 8 bits a channel"),
    "float.tif": (lambda path: Image.fromarray(np.zeros((8, 8), np.float32)).save(path), "PIL mode F"),
    "postscript.png": (postscript, "is no image"),
    "dangling.png": (lambda path: path.symlink_to("nowhere.png"), "leads to none"),
    "circle.png": (lambda path: path.symlink_to(path.name), "leads to none"),
    "pipe.png": (os.mkfifo, "is no file"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_unreadable_for_a_reason(tmp_path, name):
    make, reason = BROKEN[name]
    make(tmp_path / name)
    with pytest.raises(Unreadable, match=re.escape(reason)) as caught:
        read_picture(tmp_path / name, 8, 3)
    assert "\n" not in str(caught.value) and 8 < len(str(caught.value)) < 200


def test_unreadable_files_are_counted_and_named_or_left_out(photos, refused, caplog):
    for name, (make, _) in BROKEN.items():
        make(photos / "cat" / name)
    found = refused(
        photos, rf"^{len(BROKEN)} of {len(BROKEN) + 10} files in .*photos cannot be read: cat/bomb.png has more"
    )
    assert found.endswith(
        f"; and {len(BROKEN) - 3} more. Repair or delete them, or leave them out with skip_unreadable=true."
    )
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        data = load(photos, skip_unreadable=True)
    assert [record.getMessage().startswith(f"{len(BROKEN)} of ") for record in caplog.records] == [True]
    assert data.train.group_sizes == [4, 4]


def test_every_unreadable_file_has_a_line_for_the_check(photos, tmp_path):
    for name, (make, _) in BROKEN.items():
        make(photos / "cat" / name)
    problems = Folder(Folder.Options(path=photos, size=8)).problems(tmp_path)
    assert [line.split()[0] for line in problems] == [f"cat/{name}" for name in sorted(BROKEN)]


def test_a_class_of_unreadable_files_is_refused_even_when_they_are_skipped(tmp_path, photos, refused):
    (photos / "ant").mkdir()
    (photos / "ant" / "0.png").write_text("no image")
    refused(photos, "class folder 'ant' of .* has no image that can be read", skip_unreadable=True)
    split = tmp_path / "split"
    fill(split / "train", "cat", "dog")
    (split / "test" / "cat").mkdir(parents=True)
    refused(split, "the test folder of .* has no image that can be read")


def test_reading_leaves_limits_and_warning_filters_alone(tmp_path):
    import warnings

    before = Image.MAX_IMAGE_PIXELS, warnings.filters[:]
    (tmp_path / "a.png").write_bytes(png_of(10_000, 10_000))
    with pytest.raises(Unreadable):
        read_picture(tmp_path / "a.png", 8, 3)
    assert (Image.MAX_IMAGE_PIXELS, warnings.filters[:]) == before


def test_names_that_are_no_text_can_be_told(tmp_path, photos, refused):
    strange = os.fsencode(photos) + b"/\xff\xfe"
    try:
        os.mkdir(strange)  # noqa: PTH102 (a name of bytes)
    except OSError:
        pytest.skip("this file system takes texts only")
    for number in range(2):
        with open(strange + b"/\xfd%d.png" % number, "wb") as stream:  # noqa: PTH123
            picture(number + 900).save(stream, "png")
    data = load(photos)
    assert data.spec.class_names == ("cat", "dog", r"\xff\xfe")
    with open(strange + b"/\xfc.png", "wb") as stream:  # noqa: PTH123
        stream.write(b"no image")
    assert r"\xff\xfe/\xfc.png is no image" in refused(photos, "1 of 13 files")
