"""Replay of a distilled memory with a loss of its own, as a plugin of Avalanche.

Chaudhry et al., "On Tiny Episodic Memories in Continual Learning", arXiv:1902.10486: each update learns a batch of the
experience and one of the memory. Rosasco et al., "Distilled Replay", arXiv:2103.15851, keep distilled images there.

The same: one batch of each in every update. Different: the two losses are two terms, the second with a weight, and the
memory's batch passes the network on its own, so that soft labels, augmentation and batch norm belong to it alone; every
image of the memory is seen once before any comes again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limbeck.errors import UsageError
from limbeck.seeding import generator
from limbeck.synthetic import SyntheticSet
from limbeck_applications.continual.bridge.batches import Augmented, MemoryTensors, Rounds, augmentation_of
from limbeck_applications.continual.bridge.keeper import Keeper
from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.bridge.limits import Keeping, LimitedMemory
from limbeck_applications.continual.bridge.losses import memory_loss

_SupervisedPlugin: Any = avalanche().training.plugins.SupervisedPlugin


class DistilledReplay(_SupervisedPlugin):  # type: ignore[misc]
    """Adds the loss of a batch of the distilled memory to every update, soft labels included.

    ::

        strategy = Naive(model, optimizer, plugins=[DistilledReplay(100, "dm", batch_size=32)])

    Args:
        max_size: stored images in all. Without it, ``max_bytes`` limits them.
        method: whatever ``limbeck list methods`` names; ``"random"`` and ``"herding"`` pick real images.
        batch_size: images of the memory in each update; as many as of the stream when None.
        weight: of the memory's loss beside the stream's.
        augmentation: registered one for the memory's images, or None.
        sets: synthetic sets made before, or folders of some, in place of distilling.
        **options: as of ``DistilledBuffer``.

    Raises:
        UsageError: an unknown method, augmentation or option, or no limit.
    """

    def __init__(
        self,
        max_size: int | None = None,
        method: str = "dm",
        *,
        batch_size: int | None = None,
        weight: float = 1.0,
        augmentation: Any = None,
        sets: Sequence[SyntheticSet | str | Path] = (),
        **options: Any,
    ) -> None:
        super().__init__()
        if (batch_size is not None and batch_size < 1) or not weight >= 0:
            raise UsageError(f"batch_size is {batch_size} and weight {weight}: give 1 or more, and 0 or more.")
        keeping = Keeping.of(type(self).__name__, {"max_size": max_size, "method": method, **options})
        self.keeper = Keeper(keeping, sets)
        self.batch_size, self.weight, self.augmentation = batch_size, weight, augmentation
        self._rounds: Rounds | None = None
        self._augmented: Augmented | None = None
        augmentation_of(augmentation)

    @property
    def memory(self) -> LimitedMemory | None:
        """What is kept, piece by piece, with its bytes and seconds; None before the first experience."""
        return self.keeper.memory

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Bring the memory to the strategy's device."""
        if self.keeper.is_empty:
            return
        self.keeper.check(strategy.experience)
        if self._rounds is not None:  # of an online experience that arrives in parts
            return
        memory = MemoryTensors.of(self.keeper.kept(), self.keeper.task_labels(), strategy.device)
        owner = (self.keeper.keeping.seed, "replay", len(self.keeper.tasks))
        size = self.batch_size or strategy.train_mb_size
        self._rounds = Rounds(memory, size, generator(*owner, "order"))
        draws = generator(*owner, "augment", device=strategy.device)
        self._augmented = Augmented(self.augmentation, self.keeper.known_spec(), draws)

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        """Add the memory's loss to the batch's."""
        if self._rounds is None or self._augmented is None:
            return
        batch = self._augmented(self._rounds.next())
        if batch.tasks is None:
            logits = strategy.model(batch.images)
        else:
            logits = avalanche().models.avalanche_forward(strategy.model, batch.images, batch.tasks)
        strategy.loss = strategy.loss + self.weight * memory_loss(logits, batch.labels)

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Distil the experience into the memory."""
        if self.keeper.learn(strategy.experience, strategy.device):
            self._rounds = None
