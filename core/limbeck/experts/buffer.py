"""Buffers: folders of experts of one kind, found again by what decides their weights."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limbeck.config import flatten, names_in
from limbeck.data import RealData
from limbeck.errors import ArtifactError, LimbeckError, UsageError
from limbeck.experts.options import ExpertTraining
from limbeck.experts.records import Head, damaged, read_epoch, read_head, read_record
from limbeck.files import content_key, read_json, sha256, signed, write_json
from limbeck.networks import FunctionalNetwork, State
from limbeck.trained import revisions

FOLDER, ABOUT, FORMAT = "experts", "buffer.json", 1

KEPT = 2 << 30
"""Bytes of weights that may stay on a device that is not the CPU, once they were read."""


def structure_of(network: FunctionalNetwork) -> str:
    """Return a digest of a network's layers and of the names and shapes of its tensors."""
    tensors = [*network.module.named_parameters(), *network.module.named_buffers()]
    return sha256(f"{network.module!r}{[(name, list(value.shape)) for name, value in tensors]}".encode())[:16]


def made_of(network: FunctionalNetwork, real: RealData, training: ExpertTraining, seed: int) -> dict[str, Any]:
    """Return all that decides the weights of experts, but for their number and that of their epochs.

    Args:
        network: the structure.
        real: the images they learn from.
        training: how they learn.
        seed: owner of every draw.
    """
    settings = training.model_dump(mode="json", exclude={"epochs"})
    if training.images is not None and training.images >= len(real):
        settings["images"] = None
    components = [("networks", network.name)]
    components += [("augmentations", name) for name in names_in(training.augmentation)]
    data = {"name": real.spec.name, "preprocessing": real.spec.preprocessing, "images": len(real)}
    structure = {"structure": structure_of(network), "parameters": network.num_parameters}
    return {
        "data": {**data, "digest": real.digest()},
        "network": {"name": network.name, **structure, "dtype": str(network.dtype).removeprefix("torch.")},
        "training": settings,
        "seed": seed,
        "device": network.device.type,
        "versions": {"torch": torch.__version__} | revisions(components),
    }


def folder_of(key: str, path: Path | None, cache: Path | None) -> Path:
    """Return where the buffer of a key lies: in the folder named, or in the cache.

    Raises:
        UsageError: none was named, and there is no cache.
    """
    if path is not None:
        return path
    if cache is None:
        raise UsageError(
            "there is no place for experts: neither $LIMBECK_CACHE nor ~/.cache/limbeck can be written. Name a folder: "
            "--set source.path=FOLDER"
        )
    return cache / FOLDER / key


def buffers_in(folder: Path) -> list[Buffer]:
    """Return the buffers that lie in a folder, in the order of their names; damaged ones are left out."""
    found = []
    for path in sorted(folder.glob(f"*/{ABOUT}")):
        with contextlib.suppress(LimbeckError):
            found.append(Buffer.load(path.parent))
    return found


@dataclass(frozen=True)
class Buffer:
    """A folder of experts that differ in their random numbers alone.

    Attributes:
        folder: with a file for each expert.
        made_of: what decides their weights; see ``made_of``.
    """

    folder: Path
    made_of: Mapping[str, Any]

    @classmethod
    def load(cls, folder: Path) -> Buffer:
        """Return the buffer in a folder.

        Raises:
            UsageError: there is none.
            ArtifactError: its description is damaged, or of a newer format.
        """
        path = folder / ABOUT
        try:
            about = read_json(path)
            if about["format"] > FORMAT:
                raise ArtifactError(f"{path} is of a newer format than this Limbeck reads. Install a newer one.")
            if about["key"] != content_key(about["made_of"]):
                raise ValueError("it does not describe what its key says")
            return cls(folder, about["made_of"])
        except (FileNotFoundError, NotADirectoryError):
            raise UsageError(
                f"{folder} holds no experts: there is no {ABOUT}. 'limbeck experts list' shows the buffers there are."
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(path, error) from None

    def save(self) -> None:
        """Write the description, if it is not there.

        Raises:
            UsageError: the folder holds experts of another kind.
        """
        path = self.folder / ABOUT
        if not path.exists():
            write_json(path, signed({"format": FORMAT, "key": self.key, "made_of": self.made_of}))
            return
        there = Buffer.load(self.folder)
        if there.key != self.key:
            key, found, asked = there.differences(self.made_of)[0]
            raise UsageError(
                f"{self.folder} holds experts of another kind: {key} is {found} there, and {asked} was asked. Name "
                "another folder with --set source.path=FOLDER, or leave it out."
            )

    def differences(self, asked: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
        """Return what decides the weights otherwise here than asked: where, what is here, and what was asked.

        How experts learn is named as it is typed, ``source.lr``.
        """
        here, there = (
            flatten({**each, "source": {**each["training"], "seed": each["seed"]}, "training": {}, "seed": {}})
            for each in (self.made_of, asked)
        )
        names = [name for name in {**here, **there} if here.get(name) != there.get(name)]
        return [(name, here.get(name), there.get(name)) for name in names]

    @property
    def key(self) -> str:
        """A short name that changes with all that decides the weights."""
        return content_key(self.made_of)

    def file(self, expert: int) -> Path:
        """Return the place of an expert's file."""
        return self.folder / f"expert_{expert:03d}.safetensors"

    def head(self, expert: int) -> Head | None:
        """Return what an expert's file says of itself, or None where there is none.

        Raises:
            ArtifactError: it is damaged, or of another buffer.
        """
        path = self.file(expert)
        try:
            found = read_head(path)
        except FileNotFoundError:
            return None
        if (found.key, found.expert) != (self.key, expert):
            raise damaged(path, f"it is expert {found.expert} of buffer {found.key}, in that of {self.key}")
        return found

    def heads(self) -> list[Head]:
        """Return what the experts' files say of themselves; damaged ones are left out."""
        found = []
        for expert in self.experts():
            with contextlib.suppress(ArtifactError):
                found.append(self.head(expert))
        return [head for head in found if head is not None]

    def epochs_of(self, expert: int) -> int:
        """Return how many epochs of an expert can be used; 0 where there is none, or where it is damaged."""
        with contextlib.suppress(ArtifactError):
            found = self.head(expert)
            return 0 if found is None else found.epochs
        return 0

    def is_whole(self, expert: int) -> bool:
        """Say whether all of an expert's file is as it was written."""
        try:
            read_record(self.file(expert))
        except (ArtifactError, FileNotFoundError):
            return False
        return True

    def experts(self) -> list[int]:
        """Return the numbers of the experts there are, damaged ones included."""
        names = (path.stem.removeprefix("expert_") for path in self.folder.glob("expert_*.safetensors"))
        return sorted(int(name) for name in names if name.isdecimal())

    def bytes(self) -> int:
        """Return what the folder takes."""
        return sum(path.stat().st_size for path in self.folder.iterdir() if path.is_file())


class ExpertTrajectories:
    """The first experts of a buffer, up to an epoch, as one network's weights.

    What else a buffer holds changes nothing here, so that runs repeat when it has grown.

    Args:
        buffer: that holds as many experts and epochs.
        network: of their structure.
        experts: how many are used.
        epochs: of each.

    Attributes:
        bytes_to_come: what they will take of the device's memory as they are read.
    """

    def __init__(self, buffer: Buffer, network: FunctionalNetwork, experts: int, epochs: int) -> None:
        self.buffer, self.network, self.experts, self.epochs = buffer, network, experts, epochs
        size = experts * (epochs + 1) * network.num_parameters * network.dtype.itemsize
        self._stays = network.device.type != "cpu" and size <= KEPT
        self.bytes_to_come = size if self._stays else 0
        self._there: dict[tuple[int, int], tuple[Tensor, State]] = {}

    def weights(self, expert: int, epoch: int) -> Tensor:
        """Return all weights of an expert after an epoch as one vector [P], on the network's device."""
        return self._read(expert, epoch)[0]

    def state(self, expert: int, epoch: int) -> State:
        """Return weights and buffers of an expert after an epoch, copies on the network's device."""
        weights, buffers = self._read(expert, epoch)
        state = self.network.unflatten(weights) | buffers
        return {name: value.clone() for name, value in state.items()}

    def spent(self) -> dict[str, float]:
        """Return what training each expert took up to the last epoch used, under a name of its own."""
        heads = (self.buffer.head(expert) for expert in range(self.experts))
        return {f"expert {head.expert} of {head.key}": head.seconds_until(self.epochs) for head in heads if head}

    def _read(self, expert: int, epoch: int) -> tuple[Tensor, State]:
        if not (0 <= expert < self.experts and 0 <= epoch <= self.epochs):
            raise IndexError(f"expert {expert} after epoch {epoch}: there are {self.experts} with {self.epochs} epochs")
        found = self._there.get((expert, epoch))
        if found is None:
            weights, buffers = read_epoch(self.buffer.file(expert), epoch)
            device = self.network.device
            found = weights.to(device, self.network.dtype), {name: value.to(device) for name, value in buffers.items()}
            if self._stays:
                self._there[expert, epoch] = found
        return found
