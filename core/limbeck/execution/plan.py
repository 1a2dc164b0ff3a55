"""The execution plan: everything about how a run is computed that may change its last bits."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from limbeck.errors import CheckpointError
from limbeck.files import read_json, signed, write_json
from limbeck.matching import Chunks

NAME = "plan.json"

CPU_BLOCK = 16 << 20
"""Largest activation of a pass on a CPU, in bytes: well inside what the allocator reuses without page faults."""

STACKED_IMAGES = {"cpu": 16, "cuda": 4096}
"""Images up to which groups share a pass in gradient matching. On a CPU that pays for a few images a group only."""


@dataclass(frozen=True)
class Plan:
    """How a run is computed. Written into the run folder before the first step and reused on resume.

    Attributes:
        device: as torch writes it.
        chunks: images a pass, and the precision of real passes.
        threads: CPU threads.
        memory: growth allowed to the loop in bytes, or None.
        changes: what had to change during the run, each with its step.
        asked: the settings it was made for; others call for another plan.
    """

    device: str
    chunks: Chunks
    threads: int = 1
    memory: int | None = None
    changes: tuple[dict[str, Any], ...] = field(default=())
    asked: dict[str, Any] = field(default_factory=dict)

    def halved(self, step: int) -> Plan:
        """Return the plan after running out of memory at ``step``."""
        chunks = self.chunks.at_most(max(self.chunks.synthetic // 2, 1))
        change = {"step": step, "reason": "out of memory", "real": chunks.real, "synthetic": chunks.synthetic}
        return replace(self, chunks=chunks, changes=(*self.changes, change))

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {**asdict(self), "changes": list(self.changes)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Plan:
        """Read the plan that ``to_dict`` wrote."""
        fields = dict(values)
        return cls(chunks=Chunks(**fields.pop("chunks")), changes=tuple(fields.pop("changes", ())), **fields)

    def save(self, folder: Path) -> None:
        """Write the plan into a run folder."""
        write_json(folder / NAME, signed(self.to_dict()))

    @classmethod
    def load(cls, folder: Path) -> Plan | None:
        """Read the plan of a run folder, or None when it has none yet.

        Raises:
            CheckpointError: damaged.
        """
        path = folder / NAME
        if not path.exists():
            return None
        try:
            return cls.from_dict(read_json(path))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path} is altered ({error}). Delete the file to have it made again.") from None


def comfortable_chunk(activation_bytes: int, device_type: str) -> int:
    """Return the images a pass that run fastest when memory does not matter.

    On a CPU the largest activation stays inside the block size the allocator reuses; a GPU wants large passes.

    Args:
        activation_bytes: size of one image's largest activation.
        device_type: ``cpu`` or ``cuda``.
    """
    if device_type != "cpu":
        return 4096
    return max(8, min(512, CPU_BLOCK // max(activation_bytes, 1)))
