"""Checkpoints: one file, whole or absent, from which a run continues to the same bits."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as pack_tensors
from torch import Tensor

from limbeck.config import flatten
from limbeck.errors import CheckpointError
from limbeck.files import write_atomic

NAME = "checkpoint.safetensors"


@dataclass(frozen=True)
class Position:
    """Where a checkpoint was taken.

    Attributes:
        step: updates of the synthetic set finished.
        seconds: time spent distilling so far.
        identity: the settings that must not change between the parts of one run.
        data: digest of the real training images.
        growth: bytes by which distilling grew memory at most, or None where that is not known.
    """

    step: int
    seconds: float
    identity: dict[str, Any]
    data: str
    growth: int | None = None


def save(folder: Path, position: Position, tensors: dict[str, Tensor]) -> Path:
    """Write a checkpoint into a run folder and return its path."""
    path = folder / NAME
    write_atomic(path, sealed(json.dumps(asdict(position), sort_keys=True), tensors))
    return path


def sealed(where: str, tensors: dict[str, Tensor]) -> bytes:
    """Return tensors as a file that holds their checksum, for ``unsealed``; ``where`` travels with them."""
    body = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    return pack_tensors(body, metadata={"position": where, "sha256": _checksum(where, body)})


def unsealed(content: bytes) -> tuple[str, dict[str, Tensor]]:
    """Return what ``sealed`` packed.

    Raises:
        ValueError: truncated or altered.
    """
    try:
        tensors = parse_tensors(content)
        (length,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + length])["__metadata__"]
        where = header["position"]
        if header["sha256"] != _checksum(where, tensors):
            raise ValueError("checksum differs")
    except (SafetensorError, struct.error, KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error)) from None
    return where, tensors


def load(folder: Path) -> tuple[Position, dict[str, Tensor]] | None:
    """Read the checkpoint of a run folder, or None when it has none yet.

    Raises:
        CheckpointError: truncated or altered.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        where, tensors = unsealed(path.read_bytes())
        return Position(**json.loads(where)), tensors
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} is truncated or altered ({error}). Delete the file to distil from the start."
        ) from None


def require_same(position: Position, identity: dict[str, Any], folder: Path) -> None:
    """Refuse a checkpoint of another configuration.

    Raises:
        CheckpointError: names the first setting that differs.
    """
    found, asked = flatten(position.identity), flatten(identity)
    for key in sorted(found.keys() | asked.keys()):
        if found.get(key) != asked.get(key):
            raise CheckpointError(
                f"the checkpoint in {folder} was made with {key}={found.get(key)!r}, but {asked.get(key)!r} is asked. "
                "Only budget, evaluation and execution may change with --resume; choose another --out for a new run."
            )


def require_same_data(position: Position, digest: str, folder: Path) -> None:
    """Refuse a checkpoint that was made from other real images.

    Raises:
        CheckpointError: the digests differ.
    """
    if position.data != digest:
        raise CheckpointError(
            f"the checkpoint in {folder} was made from other real images. Give the same ones, or choose another "
            "--out for a new run."
        )


def split(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors under ``prefix.`` without it."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def join(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with ``prefix.`` before their names."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _checksum(where: str, tensors: dict[str, Tensor]) -> str:
    """Sign the position and the tensors: names, types, shapes and bytes."""
    content = hashlib.sha256(where.encode())
    for name, tensor in sorted(tensors.items()):
        content.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        content.update(tensor.flatten().view(torch.uint8).numpy().data)
    return content.hexdigest()
