"""PNG files in class folders become sets of bytes, and pictures that cannot be used are named."""

from __future__ import annotations

import pytest
import torch

from limbeck.data import DataSpec
from limbeck.errors import ArtifactError, LimbeckError, UsageError
from limbeck.synthetic.export import png_bytes
from limbeck.synthetic.importer import guess, import_set

NAMES = ("cat", "dog", "owl")
SPEC = DataSpec("tiny", (3, 4, 4), 3, NAMES, (0.5, 0.4, 0.3), (0.2, 0.25, 0.5), True)


@pytest.fixture
def make_png():
    """Write pixels uint8 [ch, h, w] as a PNG: ``make_png(path, pixels)``."""

    def make(path, pixels):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png_bytes(pixels))

    return make


def refused(*arguments, error=LimbeckError, **options):
    with pytest.raises(error) as told:
        import_set(*arguments, **options)
    assert "\n" not in str(told.value)
    return str(told.value)


def test_class_folders_are_read_when_the_data_are_named(tmp_path, make_png):
    pixels = torch.randint(0, 256, (4, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for number, name in enumerate(("dog/b.png", "cat/x.png", "2_owl/y.png", "dog/a.png")):
        make_png(tmp_path / name, pixels[number])
    found = import_set(tmp_path, "png", SPEC)
    assert found.labels.tolist() == [0, 1, 1, 2]
    assert torch.equal(found.stored_images(), pixels[[1, 3, 0, 2]])
    assert (found.space, found.storage, found.spec) == ("unit", "uint8", SPEC)
    assert guess(tmp_path) == "png"


def test_a_png_folder_without_its_manifest_says_how_to_give_labels(tmp_path, make_png):
    make_png(tmp_path / "0.png", torch.zeros(3, 4, 4, dtype=torch.uint8))
    line = refused(tmp_path, "png", SPEC, error=UsageError)
    assert "has no manifest.json" in line and "found 0.png" in line
    assert "one folder a class, named cat, dog, owl" in line and "--like" in line
    assert "--like" in refused(tmp_path, "png", error=UsageError)
    make_png(tmp_path / "bird" / "0.png", torch.zeros(3, 4, 4, dtype=torch.uint8))
    (tmp_path / "0.png").unlink()
    assert "found bird/0.png" in refused(tmp_path, "png", SPEC, error=UsageError)
    (tmp_path / "bird" / "0.png").unlink()
    assert "found no PNG file" in refused(tmp_path, "png", SPEC, error=UsageError)


@pytest.mark.parametrize(
    ("content", "pieces"),
    [
        (b"", ["cannot be read as a PNG"]),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), ["cannot be read as a PNG"]),
        (b"GIF89a" + bytes(50), ["cannot be read as a PNG"]),
        ((3, 5, 4), ["is RGB of 4x5 pixels, but 'tiny' has RGB of 4x4"]),
        ((1, 4, 4), ["is L of 4x4 pixels"]),
    ],
)
def test_pictures_that_cannot_be_used_are_named(content, pieces, tmp_path, make_png):
    for name in NAMES:
        make_png(tmp_path / name / "0.png", torch.zeros(3, 4, 4, dtype=torch.uint8))
    path = tmp_path / "dog" / "0.png"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        make_png(path, torch.zeros(content, dtype=torch.uint8))
    line = refused(tmp_path, "png", SPEC, error=ArtifactError)
    assert [piece for piece in [str(path), *pieces] if piece not in line] == []


def test_an_enormous_picture_is_not_decoded(tmp_path, make_png):
    """A header that claims 100,000 x 100,000 pixels."""
    for name in NAMES:
        make_png(tmp_path / name / "0.png", torch.zeros(3, 4, 4, dtype=torch.uint8))
    path = tmp_path / "cat" / "0.png"
    content = bytearray(path.read_bytes())
    content[16:24] = (100_000).to_bytes(4, "big") * 2
    path.write_bytes(content)
    refused(tmp_path, "png", SPEC, error=ArtifactError)
