"""An expert's file: weights after every epoch, and what its training goes on from.

Weights and buffers lie in one tensor each with the epochs first, so that one epoch is read without the others. The
header states a checksum for every epoch and one for the rest, and each is checked when it is read.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as pack_tensors
from torch import Tensor

from limbeck.errors import ArtifactError
from limbeck.files import sha256, write_atomic
from limbeck.networks import FunctionalNetwork, State

FORMAT = 1
WEIGHTS, BUFFER, CHECKPOINT = "weights", "buffer.", "checkpoint."


@dataclass(frozen=True)
class Head:
    """What an expert's file says of itself.

    Attributes:
        key: of the buffer it belongs to.
        expert: its number there, from 0.
        seconds: what training took so far.
        losses: mean training loss of each finished epoch.
        rows: a checksum of the weights and buffers after each epoch, 0 included.
        rest: a checksum of what training goes on from.
        format: of the file.
    """

    key: str
    expert: int
    seconds: float
    losses: tuple[float, ...]
    rows: tuple[str, ...]
    rest: str
    format: int = FORMAT

    @property
    def epochs(self) -> int:
        """Finished epochs."""
        return len(self.losses)

    def seconds_until(self, epoch: int) -> float:
        """Return what training took up to an epoch, each as long as the others."""
        return self.seconds * min(epoch / max(self.epochs, 1), 1.0)


@dataclass
class Record:
    """An expert while it is trained.

    Attributes:
        weights: after each epoch, 0 included, [P] on the CPU.
        buffers: of the network likewise, by name.
        losses: of each finished epoch.
        seconds: what training took so far.
        checkpoint: what ``fit`` goes on from; empty before the first epoch ended.
        rows: a checksum of each epoch.
    """

    weights: list[Tensor] = field(default_factory=list)
    buffers: list[State] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    checkpoint: dict[str, Tensor] = field(default_factory=dict)
    rows: list[str] = field(default_factory=list)

    def add(self, network: FunctionalNetwork, state: Mapping[str, Tensor]) -> None:
        """Keep a copy of the weights and buffers a network has now."""
        weights = network.flatten(state).cpu()
        buffers = {name: state[name].cpu().clone() for name in network.buffer_names}
        self.weights.append(weights)
        self.buffers.append(buffers)
        self.rows.append(_row_digest(weights, buffers))

    def write(self, path: Path, key: str, expert: int) -> None:
        """Write the expert's file, whole."""
        tensors = {WEIGHTS: torch.stack(self.weights)}
        for name in self.buffers[0]:
            tensors[BUFFER + name] = torch.stack([buffers[name] for buffers in self.buffers])
        rest = {CHECKPOINT + name: value.cpu().contiguous() for name, value in self.checkpoint.items()}
        head = Head(key, expert, self.seconds, tuple(self.losses), tuple(self.rows), _rest(rest))
        about = json.dumps(asdict(head), sort_keys=True)
        write_atomic(path, pack_tensors(tensors | rest, metadata={"about": about, "sha256": sha256(about.encode())}))


def read_head(path: Path) -> Head:
    """Return what a file says of itself, without its tensors.

    Raises:
        ArtifactError: it is damaged, or of a newer format.
        FileNotFoundError: there is none.
    """
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            size = path.stat().st_size
            if length > size:
                raise ValueError("its end is missing")
            header = json.loads(stream.read(length))
        end = 8 + length + max(place["data_offsets"][1] for name, place in header.items() if name != "__metadata__")
        if end != size:
            raise ValueError(f"it has {size:,} bytes instead of {end:,}")
        about = header["__metadata__"]["about"]
        if header["__metadata__"]["sha256"] != sha256(about.encode()):
            raise ValueError("checksum of the header differs")
        return _head(json.loads(about))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise damaged(path, error) from None


def _head(values: dict[str, Any]) -> Head:
    if values["format"] > FORMAT:
        raise ValueError(f"format {values['format']} is of a newer Limbeck")
    return Head(**{**values, "losses": tuple(values["losses"]), "rows": tuple(values["rows"])})


def read_epoch(path: Path, epoch: int) -> tuple[Tensor, State]:
    """Return the weights [P] and the buffers after an epoch, checked, on the CPU.

    Raises:
        ArtifactError: the file is damaged.
    """
    head = read_head(path)
    try:
        with safe_open(path, framework="pt") as stored:
            weights = stored.get_slice(WEIGHTS)[epoch]
            names = [name for name in stored.keys() if name.startswith(BUFFER)]  # noqa: SIM118  (no mapping)
            buffers = {name.removeprefix(BUFFER): _row(stored, name, epoch) for name in names}
    except (OSError, SafetensorError) as error:
        raise damaged(path, error) from None
    if _row_digest(weights, buffers) != head.rows[epoch]:
        raise damaged(path, f"the checksum of epoch {epoch} differs")
    return weights, buffers


def _row(stored: Any, name: str, epoch: int) -> Tensor:
    part = stored.get_slice(name)
    row: Tensor = part[epoch] if len(part.get_shape()) > 1 else stored.get_tensor(name)[epoch]
    return row


def read_record(path: Path) -> Record:
    """Return all of an expert, checked, to go on from.

    Raises:
        ArtifactError: the file is damaged.
        FileNotFoundError: there is none.
    """
    head = read_head(path)
    rows = [read_epoch(path, epoch) for epoch in range(len(head.rows))]
    try:
        with safe_open(path, framework="pt") as stored:
            names = [name for name in stored.keys() if name.startswith(CHECKPOINT)]  # noqa: SIM118  (no mapping)
            rest = {name: stored.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise damaged(path, error) from None
    if _rest(rest) != head.rest:
        raise damaged(path, "the checksum of what training goes on from differs")
    checkpoint = {name.removeprefix(CHECKPOINT): value for name, value in rest.items()}
    weights, buffers = [row[0] for row in rows], [row[1] for row in rows]
    return Record(weights, buffers, list(head.losses), head.seconds, checkpoint, list(head.rows))


def damaged(path: Path, why: object) -> ArtifactError:
    """Return the error for a file that cannot be used."""
    return ArtifactError(
        f"{path} is damaged ({why}). Delete it and train this expert again: the same 'limbeck experts train' as before."
    )


def _rest(tensors: Mapping[str, Tensor]) -> str:
    return sha256("".join(f"{name}{_digest(tensors[name])}" for name in sorted(tensors)).encode())


def _row_digest(weights: Tensor, buffers: Mapping[str, Tensor]) -> str:
    return _digest(weights, *(buffers[name] for name in sorted(buffers)))


def _digest(*tensors: Tensor) -> str:
    content = hashlib.sha256()
    for tensor in tensors:
        content.update(f"{tensor.dtype}{list(tensor.shape)}".encode())
        content.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return content.hexdigest()
