"""The artifact on disk: one safetensors file that explains itself, and a manifest for people.

``synthetic.safetensors`` carries the whole manifest in its header, so it is complete alone and one rename makes it
valid. ``manifest.json`` repeats it with the file's checksum. The old manifest is removed before the tensors are
replaced: a folder never holds two halves that disagree, wherever a kill strikes.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as pack_tensors
from torch import Tensor

from limbeck.data import DataSpec
from limbeck.errors import ArtifactError, UsageError
from limbeck.files import sha256, write_atomic, write_json
from limbeck.synthetic.preview import preview_png
from limbeck.synthetic.sets import SyntheticSet

FORMAT = "limbeck-synthetic-set"
VERSION = 1
TENSORS, MANIFEST, PREVIEW = "synthetic.safetensors", "manifest.json", "preview.png"
PREPROCESSING = "preprocessing."
"""Prefix of the tensors that the data's specification needs: a whitening matrix travels with the images."""


def save(synthetic: SyntheticSet, folder: Path) -> Path:
    """Write tensors, manifest and preview into ``folder`` and return it."""
    tensors = {
        "images": synthetic.stored_images(),
        "labels": synthetic.stored_labels(),
        "group": synthetic.group,
        **synthetic.component_state,
        **{PREPROCESSING + name: tensor for name, tensor in synthetic.spec.tensors().items()},
    }
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    manifest = manifest_of(synthetic, tensors)
    signed = {**manifest, "checksum": _text_checksum(manifest)}
    content = pack_tensors(tensors, metadata={"manifest": json.dumps(signed, sort_keys=True)})
    write_atomic(folder / PREVIEW, preview_png(synthetic))
    (folder / MANIFEST).unlink(missing_ok=True)
    write_atomic(folder / TENSORS, content)
    write_json(folder / MANIFEST, {**manifest, "sha256": sha256(content)})
    return folder


def manifest_of(synthetic: SyntheticSet, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Describe a set and its tensors as plain JSON."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "data": synthetic.spec.to_dict(),
        "space": "unit" if synthetic.storage == "uint8" else synthetic.space,
        "storage": synthetic.storage,
        "label_kind": synthetic.label_kind,
        "counts": synthetic.counts,
        "bytes": synthetic.bytes,
        "recipe": synthetic.recipe,
        "provenance": synthetic.provenance,
        "figures": synthetic.figures,
        "tensors": {name: _checksum(tensor) for name, tensor in sorted(tensors.items())},
    }


def load(folder: Path) -> SyntheticSet:
    """Read and verify the artifact in ``folder`` (or the one a path to its tensors names)."""
    folder = folder.parent if folder.name == TENSORS else folder
    path = folder / TENSORS
    try:
        content = path.read_bytes()
    except OSError as error:
        if (folder / "config.yaml").exists():
            raise UsageError(
                f"the run in {folder} is not finished, so it holds no set yet. "
                f"Continue it: limbeck distill --resume {folder}"
            ) from None
        raise UsageError(
            f"no synthetic set at {folder}: {path.name} cannot be read ({error.strerror}). "
            "Give the folder that 'limbeck distill --out' wrote."
        ) from None
    stated = _manifest_file(folder / MANIFEST, content)
    manifest, tensors = _parse(path, content)
    if stated is not None and _text_checksum(stated) != _text_checksum(manifest):
        raise ArtifactError(f"{folder / MANIFEST} says something else than {TENSORS} holds: it was altered. Delete it.")
    return _assemble(manifest, tensors)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest inside the artifact of ``folder`` without reading its tensors into memory."""
    path = folder / TENSORS
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = stream.read(min(length, 1 << 26))
        return _embedded(path, header)
    except (OSError, struct.error) as error:
        raise ArtifactError(f"{path} cannot be read as a synthetic set: {error}.") from None


def _parse(path: Path, content: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        (length,) = struct.unpack("<Q", content[:8])
        manifest = _embedded(path, content[8 : 8 + length])
        tensors = parse_tensors(content)
    except (SafetensorError, struct.error, ValueError, KeyError, AttributeError) as error:
        raise ArtifactError(
            f"{path} is truncated or altered ({error}). Copy it again or distil again with --resume."
        ) from None
    listed = manifest.get("tensors")
    if not isinstance(listed, dict) or sorted(listed) != sorted(tensors):
        raise ArtifactError(f"{path} does not hold the tensors its manifest lists: it was altered.")
    for name, tensor in tensors.items():
        if _checksum(tensor) != listed[name]:
            raise ArtifactError(f"{path}: tensor '{name}' does not have the checksum of its manifest: it was altered.")
    return manifest, tensors


def _embedded(path: Path, header: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(json.loads(header)["__metadata__"]["manifest"])
    except (ValueError, KeyError, TypeError):
        raise ArtifactError(f"{path} holds no manifest: it is no Limbeck set, or was truncated or altered.") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ArtifactError(f"{path} is no Limbeck synthetic set.")
    found = manifest.get("version")
    if not isinstance(found, int) or found > VERSION:
        raise ArtifactError(
            f"{path} was written in format version {found}; this Limbeck reads up to {VERSION}. "
            "Type: pip install --upgrade limbeck"
        )
    if manifest.pop("checksum", None) != _text_checksum(manifest):
        raise ArtifactError(f"{path}: the manifest does not have its checksum: it was altered.")
    return manifest


def _manifest_file(path: Path, content: bytes) -> dict[str, Any] | None:
    """Return what the manifest beside the set says, its checksum of the set found right; None where there is none."""
    if not path.exists():
        return None
    try:
        stated = dict(json.loads(path.read_text()))
        checksum = stated.pop("sha256")
    except (OSError, ValueError, KeyError, TypeError):
        raise ArtifactError(
            f"{path} is truncated or altered. Delete it: the set beside it is complete alone."
        ) from None
    if checksum != sha256(content):
        raise ArtifactError(f"{path} states another checksum than {TENSORS} has: one of the two was altered.")
    return stated


def _assemble(manifest: dict[str, Any], tensors: dict[str, Tensor]) -> SyntheticSet:
    try:
        needed = [name for name in tensors if name.startswith(PREPROCESSING)]
        preprocessing = {name.removeprefix(PREPROCESSING): tensors.pop(name) for name in needed}
        spec = DataSpec.from_dict(manifest["data"], preprocessing)
        images, labels = tensors.pop("images"), tensors.pop("labels")
        return SyntheticSet(
            images=images.float() / 255 if images.dtype == torch.uint8 else images.float(),
            labels=labels.float() if labels.is_floating_point() else labels,
            group=tensors.pop("group"),
            spec=spec,
            component_state=tensors,
            **{key: manifest[key] for key in ("space", "storage", "label_kind", "recipe", "provenance", "figures")},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"the manifest lacks or misstates {error}: it was altered.") from None


def _text_checksum(manifest: dict[str, Any]) -> str:
    return sha256(json.dumps(manifest, sort_keys=True).encode())


def _checksum(tensor: Tensor) -> str:
    shape = f"{tensor.dtype}{list(tensor.shape)}".encode()
    return sha256(shape + tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
