"""The way of an experience of Avalanche into a distilled memory, and of the memory back to Avalanche."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from limbeck.data import DataSpec
from limbeck.errors import LimbeckWarning, UsageError
from limbeck_applications.continual.bridge.batches import MemoryTensors
from limbeck_applications.continual.bridge.datasets import Arrived, arrived, as_dataset, check_arity, classes_of, lost
from limbeck_applications.continual.bridge.limits import Keeping, LimitedMemory
from limbeck_applications.continual.bridge.preprocessing import given_statistics
from limbeck_applications.continual.bridge.randomness import lent_generators
from limbeck_applications.continual.bridge.sets import StoredSets
from limbeck_applications.continual.memory.distiller import Distiller
from limbeck_applications.continual.strategy import Kept


class Keeper:
    """A distilled memory of a stream of Avalanche, made when its first experience arrives.

    Attributes:
        memory: what is kept; None before.
        spec: of the stream's images; None before.
        arity: of the stream's samples; 0 before.
        tasks: task label of each piece.

    Args:
        keeping: what the user asked for.
        sets: sets made before, in place of distilling.

    Raises:
        UsageError: an unknown method, or settings that it does not take.
    """

    def __init__(self, keeping: Keeping, sets: Sequence[Any] = ()) -> None:
        self.keeping, self.sets = keeping, tuple(sets)
        self.memory: LimitedMemory | None = None
        self.spec: DataSpec | None = None
        self.arity = 0
        self.tasks: list[int] = []
        if not self.sets:
            Distiller(keeping).config("custom", 1, keeping.seed)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept yet."""
        return self.memory is None or not self.memory.pieces

    def learn(self, experience: Any, device: torch.device) -> bool:
        """Distil an experience into the memory, from its images alone.

        Returns:
            Whether it was: not while an online stream still brings parts of it.

        Raises:
            UsageError: it cannot be read, does not fit what came before, or the memory is too small.
        """
        whole = complete(experience)
        if whole is None:
            return False
        with lent_generators(self.keeping.seed):
            brought = self._read(whole, device)
        self._memory(brought, device).add(brought.real, brought.classes)
        self.tasks.append(brought.task)
        return True

    def resize(self, size: int) -> None:
        """Let the memory hold ``size`` images from now on."""
        self.keeping = self.keeping.model_copy(update={"max_size": size})
        if self.memory is not None:
            self.memory.max_size = size
            self.memory.refit()

    def check(self, experience: Any) -> None:
        """Refuse an experience whose samples do not mix with the memory's, before anything is trained on both.

        Raises:
            UsageError: says both sizes.
        """
        if self.arity:
            with lent_generators(self.keeping.seed):
                check_arity(experience, self.arity)

    def known_spec(self) -> DataSpec:
        """Return what is known of the stream's images; only where something is kept."""
        return self._made()[1]

    def kept(self) -> Kept:
        """Return what networks are trained on; only where something is kept."""
        memory, spec = self._made()
        return memory.kept(spec)

    def task_labels(self) -> Tensor | None:
        """Return the task label of each training image, int64 [m]; None for a stream without."""
        if self.arity < 3:
            return None
        memory, spec = self._made()
        sizes = [len(piece.formed(spec)[0]) for piece in memory.pieces]
        return torch.repeat_interleave(torch.tensor(self.tasks), torch.tensor(sizes))

    def dataset(self) -> Any:
        """Return the memory as a data set of Avalanche, samples as the stream's, which no transform touches."""
        memory = MemoryTensors.of(self.kept(), self.task_labels(), torch.device("cpu"))
        return as_dataset(memory.images, memory.classes, memory.tasks)

    def _made(self) -> tuple[LimitedMemory, DataSpec]:
        if self.memory is None or self.spec is None:
            raise UsageError("the memory is empty: train on an experience first.")
        return self.memory, self.spec

    def _read(self, experience: Any, device: torch.device) -> Arrived:
        keeping = self.keeping
        if self.arity:
            check_arity(experience, self.arity)
        brought = arrived(
            experience,
            self._num_classes(experience),
            given_statistics(keeping.mean, keeping.std),
            keeping.mirror,
            device,
        )
        check_arity(experience, brought.arity)
        spec = brought.real.spec
        if self.spec is not None and not (spec.shape == self.spec.shape and spec.sees_like(self.spec)):
            raise UsageError("this experience's images have another shape or normalisation than those before.")
        self.spec, self.arity = spec, brought.arity
        return brought

    def _num_classes(self, experience: Any) -> int:
        if self.spec is not None:
            return self.spec.num_classes
        classes = classes_of(experience, self.keeping.num_classes)
        if classes.missing:
            warnings.warn(lost(classes.missing, classes.experiences), LimbeckWarning, stacklevel=2)
        return classes.number

    def _memory(self, brought: Arrived, device: torch.device) -> LimitedMemory:
        if self.memory is None:
            spec = brought.real.spec
            stored = StoredSets(self.keeping, self.sets, spec) if self.sets else None
            memory = LimitedMemory(stored or Distiller(self.keeping, device=device), self.keeping, spec.num_classes)
            memory.check(brought.classes, spec)
            self.memory = memory
        return self.memory


def complete(experience: Any) -> Any:
    """Return the experience to distil now: itself, the one that a part of an online stream completes, or None.

    Raises:
        UsageError: an online stream that does not tell where experiences end.
    """
    if not hasattr(experience, "access_task_boundaries"):
        return experience
    if not experience.access_task_boundaries:
        raise UsageError(
            "a memory is distilled from whole experiences, but this online stream does not tell where they end. "
            "Type split_online_stream(..., access_task_boundaries=True)."
        )
    return experience.origin_experience if experience.is_last_subexp else None
