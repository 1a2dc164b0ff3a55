"""Folders of PNG files: those that ``limbeck convert --to png`` wrote, or anyone's in a folder for each class."""

from __future__ import annotations

import json
import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from torch import Tensor

from limbeck.config import Spec
from limbeck.data import DataSpec
from limbeck.errors import ArtifactError, LimbeckError, UsageError
from limbeck.files import sha256
from limbeck.options import Options as OptionsBase
from limbeck.synthetic.artifact import MANIFEST, PREPROCESSING
from limbeck.synthetic.export import FORMAT, LABELS, MODES, TENSORS, VERSION, class_folder, digest, signature
from limbeck.synthetic.importer import Importer, Published
from limbeck_plugins.importers.common import component, convnet

MALFORMED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Warning,
)
"""What Pillow raises for a file that is no PNG, or a damaged or enormous one."""


class PNGImporter(Importer):
    """Read a folder of PNG files as a set of bytes."""

    class Options(OptionsBase):
        """For folders without a manifest; one that has it says all this itself."""

        augmentation: Spec | None = Field(None, description="of students' images; none when not given")

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Tell by the manifest, or by PNG files in folders."""
        try:
            return path.is_dir() and (_manifest(path) is not None or any(path.glob("*/*.png")))
        except LimbeckError:
            return False

    def described(self, path: Path) -> DataSpec | None:
        """Return what the manifest says of the data."""
        manifest = _manifest(path)
        return None if manifest is None else _spec(path, manifest)[0]

    def read(self, path: Path, spec: DataSpec) -> Published:
        """Read every image, and labels from the manifest or the folders' names."""
        manifest = _manifest(path)
        if manifest is None:
            return self._read_folders(path, spec)
        described, tensors = _spec(path, manifest)
        try:
            files = [str(row["file"]) for row in manifest["images"]]
            labels = torch.tensor([int(row["label"]) for row in manifest["images"]])
            group = torch.tensor([int(row["group"]) for row in manifest["images"]])
            pixels = _pixels(path, files, described)
            if digest(pixels) != manifest["pixels"]:
                raise ArtifactError(
                    f"the pixels in {path} are not those of its {MANIFEST}: a file was changed. Copy them again, or "
                    f"delete {MANIFEST} and name the data with --like."
                )
            return Published(
                images=pixels,
                labels=tensors.pop(LABELS, labels),
                label_kind=manifest["label_kind"],
                group=group,
                spec=described,
                files={MANIFEST: sha256((path / MANIFEST).read_bytes())},
                recipe=manifest["recipe"] or None,
                network=convnet(described, "in"),
                protocol={"name": "dc"},
                provenance=manifest["provenance"],
                figures=manifest["figures"],
                component_state=tensors,
            )
        except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
            raise _altered(path, error) from None

    def _read_folders(self, path: Path, spec: DataSpec) -> Published:
        names = {name: label for label, name in enumerate(spec.class_names)}
        names.update({class_folder(spec, label): label for label in range(spec.num_classes)})
        files = sorted(each.relative_to(path).as_posix() for each in path.rglob("*.png"))
        classes = [names.get(PurePosixPath(file).parent.as_posix()) for file in files]
        if not files or None in classes:
            first = next((file for file, label in zip(files, classes, strict=True) if label is None), "no PNG file")
            raise UsageError(
                f"{path} has no {MANIFEST}, so nothing says what its images show (found {first}). Put them into one "
                f"folder a class, named {', '.join(list(names)[:3])}, ..., and name the data with --like."
            )
        order = sorted(range(len(files)), key=lambda k: (classes[k], files[k]))
        chosen = [files[k] for k in order]
        return Published(
            images=_pixels(path, chosen, spec),
            labels=torch.tensor([classes[k] for k in order]),
            spec=spec,
            files={file: sha256((path / file).read_bytes()) for file in chosen},
            network=convnet(spec, "in"),
            protocol={"name": "dc"},
            augmentation=component(self.options.augmentation),
        )


def _manifest(path: Path) -> dict[str, Any] | None:
    """Read the manifest of a folder, or None where there is none.

    Raises:
        ArtifactError: it is damaged, or of another sort or a newer version.
    """
    file = path / MANIFEST
    if not file.is_file():
        return None
    try:
        manifest = json.loads(file.read_bytes())
        found, version = manifest["format"], int(manifest["version"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _altered(path, error) from None
    if found == FORMAT and version <= VERSION and manifest.get("checksum") != signature(manifest):
        raise _altered(path, "the manifest does not have its checksum")
    if found != FORMAT:
        raise ArtifactError(f"{file} describes no PNG set (format {found!r}).")
    if version > VERSION:
        raise ArtifactError(
            f"{file} was written in format version {version}; this Limbeck reads up to {VERSION}. "
            "Type: pip install --upgrade limbeck"
        )
    return dict(manifest)


def _spec(path: Path, manifest: dict[str, Any]) -> tuple[DataSpec, dict[str, Tensor]]:
    """Return the data's specification and the tensors beside the images, without those the specification took."""
    try:
        content = (path / TENSORS).read_bytes() if manifest["tensors"] is not None else b""
        if content and sha256(content) != manifest["tensors"]:
            raise ValueError(f"{TENSORS} has another checksum")
        tensors = parse_tensors(content) if content else {}
        needed = {name.removeprefix(PREPROCESSING): name for name in tensors if name.startswith(PREPROCESSING)}
        taken = {short: tensors.pop(name) for short, name in needed.items()}
        return DataSpec.from_dict(manifest["data"], taken), tensors
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise _altered(path, error) from None


def _pixels(path: Path, files: Sequence[str], spec: DataSpec) -> Tensor:
    """Return the pixels of PNG files as uint8 [n, ch, h, w].

    Raises:
        ArtifactError: a file is missing, outside the folder, damaged, or of another size or colour.
    """
    images = torch.empty(len(files), *spec.shape, dtype=torch.uint8)
    for index, file in enumerate(files):
        if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
            raise ArtifactError(f"the {MANIFEST} of {path} names {file!r}, which is outside the folder.")
        images[index] = _image(path / file, spec)
    return images


def _image(file: Path, spec: DataSpec) -> Tensor:
    channels, height, width = spec.shape
    mode = MODES.get(channels, "")
    try:
        with warnings.catch_warnings(action="error"), Image.open(file, formats=["PNG"]) as image:
            found = (image.mode, *image.size)
            if found == (mode, width, height):
                pixels = torch.from_numpy(np.array(image)).view(height, width, channels)
                return pixels.permute(2, 0, 1)
    except MALFORMED as error:
        raise ArtifactError(f"{file} cannot be read as a PNG ({' '.join(str(error).split())[:120]}).") from None
    raise ArtifactError(
        f"{file} is {found[0]} of {found[1]}x{found[2]} pixels, but '{spec.name}' has {mode or channels} of "
        f"{width}x{height}. Name its data with --like."
    )


def _altered(path: Path, reason: object) -> ArtifactError:
    words = " ".join(str(reason).split())[:120]
    return ArtifactError(
        f"{path / MANIFEST} or a file it names is truncated or altered ({words}). Copy the folder again."
    )
