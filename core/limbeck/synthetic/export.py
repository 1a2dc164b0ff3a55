"""A synthetic set as PNG files: class folders to look through, and a manifest that makes a set of them again.

A PNG holds whole numbers from 0 to 255, so an export is the set in ``uint8`` storage, with what that costs; the floats
of the original stay where they are.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors.torch import save as pack_tensors
from torch import Tensor

from limbeck.data import DataSpec
from limbeck.errors import UsageError
from limbeck.files import sha256, write_atomic, write_json
from limbeck.synthetic.artifact import MANIFEST, PREPROCESSING
from limbeck.synthetic.sets import SyntheticSet

FORMAT = "limbeck-png-set"
VERSION = 1
TENSORS = "tensors.safetensors"
"""What PNG files cannot hold: soft labels, tensors of components, a whitening matrix; absent where there is none."""

LABELS = "labels"
MODES = {1: "L", 3: "RGB"}
"""PNG's name for a number of channels."""


def write_png(synthetic: SyntheticSet, folder: Path) -> Path:
    """Write a set as one PNG an image, in a folder a class, with ``manifest.json``, and return ``folder``.

    Raises:
        UsageError: the images are neither grey nor RGB, or the folder cannot be written.
    """
    stored = synthetic.with_(storage="uint8")
    pixels, channels = stored.stored_images(), synthetic.spec.shape[0]
    if channels not in MODES:
        raise UsageError(
            f"the images have {channels} channels, and a PNG is written with 1 (grey) or 3 (RGB). Keep them as a set: "
            "--storage uint8."
        )
    classes = stored.labels if stored.labels.dim() == 1 else stored.labels.argmax(1)
    rows = []
    for index, (image, label, group) in enumerate(zip(pixels, classes.tolist(), stored.group.tolist(), strict=True)):
        name = f"{class_folder(synthetic.spec, label)}/{index:0{len(str(len(pixels) - 1))}d}.png"
        write_atomic(folder / name, png_bytes(image))
        rows.append({"file": name, "label": label, "group": group})
    tensors = _tensors(stored)
    content = pack_tensors({name: tensor.contiguous().clone() for name, tensor in tensors.items()})
    if tensors:
        write_atomic(folder / TENSORS, content)
    manifest = {**_manifest(stored, pixels), "images": rows, "tensors": sha256(content) if tensors else None}
    write_json(folder / MANIFEST, {**manifest, "checksum": signature(manifest)})
    return folder


def png_bytes(image: Tensor) -> bytes:
    """Return pixels uint8 [1 or 3, h, w] as a PNG."""
    array = image.permute(1, 2, 0).contiguous().numpy()
    stream = io.BytesIO()
    Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(stream, format="PNG")
    return stream.getvalue()


def digest(pixels: Tensor) -> str:
    """Return the SHA-256 of pixels uint8 [n, ch, h, w] in the manifest's order."""
    return sha256(pixels.contiguous().numpy().tobytes())


def _manifest(stored: SyntheticSet, pixels: Tensor) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "data": stored.spec.to_dict(),
        "label_kind": stored.label_kind,
        "bytes": stored.bytes,
        "recipe": stored.recipe,
        "provenance": stored.provenance,
        "figures": stored.figures,
        "pixels": digest(pixels),
    }


def _tensors(stored: SyntheticSet) -> dict[str, Tensor]:
    soft = {} if stored.label_kind == "hard" else {LABELS: stored.stored_labels()}
    preprocessing = {PREPROCESSING + name: tensor for name, tensor in stored.spec.tensors().items()}
    return {**stored.component_state, **soft, **preprocessing}


def class_folder(spec: DataSpec, label: int) -> str:
    """Return a class's folder: its number, so that folders sort as classes do, and its name."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", spec.class_names[label]).strip("-")
    return f"{label:0{len(str(spec.num_classes - 1))}d}{f'_{name}' if name else ''}"


def signature(manifest: Mapping[str, Any]) -> str:
    """Return the checksum of a manifest, its own left out."""
    signed = {key: value for key, value in manifest.items() if key != "checksum"}
    return sha256(json.dumps(signed, sort_keys=True).encode())
