"""``limbeck data``: listing without reading, showing, and checks that find what is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from limbeck.plugins import registry


@pytest.fixture
def photos(tmp_path):
    """Three classes of flat colours under noise."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(("coral", "moss", "slate")):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for index in range(5 + number):
            noise = rng.integers(0, 80, (12, 16, 3)) + 60 * number
            Image.fromarray(noise.astype(np.uint8)).save(folder / f"{index}.png")
    return tmp_path / "photos"


def rows_of(text):
    """Return the cells of a plain table's lines."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]


def test_the_list_has_every_data_set_and_where_it_stands(limbeck, tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(bytes(2048))
    (tmp_path / "usps.bz2").write_bytes(bytes(10))
    status, out, err = limbeck("data", "list", "--data-root", tmp_path)
    assert status == 0 and not err
    rows = {row[0]: row[1:] for row in rows_of(out) if row}
    assert set(registry().names("datasets")) <= set(rows)
    assert rows["cifar10"] == ["3x32x32", "10", "50,000", "10,000", "present, 2.0 KiB"]
    assert rows["usps"][-1] == "incomplete" and rows["svhn"][-1] == "missing"
    assert rows["digits"][-1] == "none needed" and rows["folder"][-1] == "yours: --set data.path=FOLDER"
    assert f"Files are looked for in {tmp_path} " in out


def test_the_list_as_json_and_the_variable(limbeck, tmp_path, monkeypatch):
    monkeypatch.setenv("LIMBECK_DATA", str(tmp_path))
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    rows = {row["name"]: row for row in json.loads(limbeck("data", "list", "--json")[1])}
    assert rows["mnist"]["train"] == 60_000 and rows["mnist"]["files"] == "present, 0 B"
    assert rows["cifar100"]["classes"] == 100 and rows["tensors"]["shape"] is None


def test_a_plugin_without_facts_is_listed(limbeck, plugin):
    status, out, _ = limbeck("data", "list", "-p", plugin)
    assert status == 0
    assert ["gap", "-", "-", "-", "-", "unknown"] in rows_of(out)


def test_showing_writes_facts_classes_and_one_row_of_pictures_a_class(limbeck, photos):
    status, out, err = limbeck(
        "data", "show", "folder", "--set", "path=photos", "--set", "size=10", "--out", "sheets/photos.png"
    )
    assert status == 0 and not err
    rows = rows_of(out)
    assert ["shape", "3x10x10 (channels x height x width)"] in rows and ["training images", "15"] in rows
    assert ["2", "slate", "6", "1"] in rows
    with Image.open("sheets/photos.png") as sheet:
        assert sheet.format == "PNG"
        tiles = 3, 6  # classes down, and images of the largest class across
        assert sheet.height / sheet.width == pytest.approx(tiles[0] / tiles[1], rel=0.05)


def test_the_sheets_pictures_are_the_images(limbeck):
    from limbeck.data import load_dataset

    limbeck("data", "show", "digits", "--out", "digits.png")
    with Image.open("digits.png") as image:
        sheet = np.asarray(image)
    data = load_dataset("digits")
    first = data.train.images[data.train.members(7)[0], 0].numpy()
    assert (sheet[4 + 7 * 68 : 68 + 7 * 68 : 8, 4:68:8] == first).all()


def test_showing_takes_the_settings_of_a_view(limbeck):
    status, out, _ = limbeck("data", "show", "digits", "--set", "classes=[3, 8]", "--set", "max_per_class=7")
    assert status == 0
    assert ["0", "3", "7", "36"] in rows_of(out) and ["classes", "2"] in rows_of(out)


def test_a_set_without_fault_passes(limbeck, photos):
    status, out, err = limbeck("data", "check", "folder", "--set", "path=photos", "--set", "size=10")
    assert status == 0 and not err
    assert {line.split()[0] for line in out.splitlines()} == {"ok"}
    status, out, _ = limbeck("data", "check", "digits")
    assert status == 0 and "ok     numbers: 1,442 training and 355 test images of 1x8x8, 10 classes" in out


def test_what_is_wrong_takes_a_line_each_and_the_exit_status(limbeck, photos):
    (photos / "moss" / "x.png").write_text("no image")
    (photos / "moss" / "y.jpg").touch()
    status, out, err = limbeck("data", "check", "folder", "--set", "path=photos")
    assert status == 1 and not err
    assert out.splitlines() == [
        "wrong  files: moss/x.png is no image that can be read",
        "wrong  files: moss/y.jpg is no image that can be read",
    ]


def test_the_same_picture_in_both_parts_is_found(limbeck, tmp_path, photos):
    split = tmp_path / "split"
    split.mkdir()
    photos.rename(split / "train")
    (split / "test" / "coral").mkdir(parents=True)
    (split / "test" / "coral" / "0.png").write_bytes((split / "train" / "coral" / "1.png").read_bytes())
    status, out, _ = limbeck("data", "check", "folder", "--set", "path=split")
    assert status == 1
    assert "wrong  duplicates: 1 test images are training images too, 0 of them under another class" in out
    assert "note   classes: 'moss' has no test images" in out


def test_missing_and_altered_files_are_wrong(limbeck, tmp_path):
    status, out, err = limbeck("data", "check", "usps", "--data-root", tmp_path)
    assert status == 1 and not err and out.count("\n") == 1
    assert out.startswith("wrong  files: data set 'usps' cannot be read from ") and "--download" in out
    (tmp_path / "usps.bz2").write_bytes(b"other")
    status, out, _ = limbeck("data", "check", "usps", "--data-root", tmp_path)
    assert status == 1 and out.splitlines() == [
        f"wrong  files: usps.t.bz2 is missing from {tmp_path}",
        "wrong  files: usps.bz2 is not the published file (MD5 ec16c51db3855ca6c91edd34d0e9b197)",
    ]


def test_a_plugins_empty_class_is_wrong(limbeck, plugin):
    status, out, _ = limbeck("data", "check", "gap", "-p", plugin)
    assert status == 1 and out.startswith("wrong  files: class 1 ('b') of 'gap' has no training images")


@pytest.mark.parametrize("command", ["show", "check"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["digit"], "unknown dataset 'digit'. Did you mean 'digits'?"),
        (["folder"], "option 'data.path' is required"),
        (["digits", "--set", "size=3"], "unknown option 'data.size'"),
        (["digits", "--set", "size"], "--set 'size' is not"),
        ([], "Missing argument 'NAME'. Type 'limbeck data"),
    ],
)
def test_requests_that_cannot_be_carried_out_take_one_line(refused, command, arguments, said):
    status, err = refused("data", command, *arguments)
    assert status == 2 and said in err


def test_checks_are_of_whole_sets(refused):
    status, err = refused("data", "check", "digits", "--set", "imbalance=10")
    assert status == 2 and "unknown option 'data.imbalance'" in err


def test_a_sheet_that_cannot_be_written_takes_one_line(limbeck, tmp_path):
    (tmp_path / "file").touch()
    status, _, err = limbeck("data", "show", "digits", "--out", "file/sheet.png")
    assert status == 2 and err.startswith("limbeck: error: cannot write file/sheet.png") and err.count("\n") == 1
