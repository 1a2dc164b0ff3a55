"""GDumb with a distilled memory, as a plugin of Avalanche.

Prabhu, Torr, Dokania, "GDumb: A Simple Approach that Questions Our Progress in Continual Learning", ECCV 2020: after
each experience a network is trained from its initial weights on the memory alone. Zhao and Bilen, "Dataset
Condensation with Distribution Matching", arXiv:2110.04181, section 4.3, keep synthetic images in that memory and
augment them while training. Avalanche's own plugin (MIT) was read for the order in which its loop lets a plugin speak.

Different from Avalanche's plugin: the memory is distilled; the network and its buffers go back to where they began in
place, so that the user's model stays the strategy's; the optimiser's state goes back too; batches are cut from tensors.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limbeck.errors import UsageError
from limbeck.seeding import generator
from limbeck.synthetic import SyntheticSet
from limbeck_applications.continual.bridge.batches import Augmented, MemoryLoader, MemoryTensors, augmentation_of
from limbeck_applications.continual.bridge.keeper import Keeper
from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.bridge.limits import Keeping, LimitedMemory
from limbeck_applications.continual.bridge.losses import MemoryCriterion

_SupervisedPlugin: Any = avalanche().training.plugins.SupervisedPlugin


class DistilledGDumb(_SupervisedPlugin):  # type: ignore[misc]
    """Trains on the distilled memory alone, from the initial weights, after each experience.

    ::

        strategy = Naive(model, optimizer, train_mb_size=256, train_epochs=300, plugins=[DistilledGDumb(100)])

    Passes, batch size, optimiser and rate are the strategy's. Soft labels have their own loss in place of the
    strategy's criterion.

    Args:
        max_size: stored images in all. Without it, ``max_bytes`` limits them.
        method: whatever ``limbeck list methods`` names; ``"random"`` and ``"herding"`` pick real images.
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
        augmentation: Any = "dsa",
        sets: Sequence[SyntheticSet | str | Path] = (),
        **options: Any,
    ) -> None:
        super().__init__()
        keeping = Keeping.of(type(self).__name__, {"max_size": max_size, "method": method, **options})
        self.keeper = Keeper(keeping, sets)
        self.augmentation = augmentation
        augmentation_of(augmentation)
        self._initial: Any = None
        self._criterion: MemoryCriterion | None = None
        self._augmented: Augmented | None = None

    @property
    def memory(self) -> LimitedMemory | None:
        """What is kept, piece by piece, with its bytes and seconds; None before the first experience."""
        return self.keeper.memory

    def before_train_dataset_adaptation(self, strategy: Any, **kwargs: Any) -> None:
        """Remember the network before it has learned anything."""
        self._remember(strategy)

    def before_eval_dataset_adaptation(self, strategy: Any, **kwargs: Any) -> None:
        """Let a growing head grow in the remembered network as well."""
        self._remember(strategy)
        strategy.model_adaptation(self._initial)

    def after_train_dataset_adaptation(self, strategy: Any, **kwargs: Any) -> None:
        """Distil the experience, and put the memory in its place."""
        if hasattr(strategy.experience, "access_task_boundaries"):
            raise UsageError(
                "GDumb trains on its memory when an experience is complete, and an online stream arrives in parts. "
                "Train on the stream that was split, or replay: DistilledReplay."
            )
        self.keeper.learn(strategy.experience, strategy.device)
        strategy.adapted_dataset = self.keeper.dataset()

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Put network and optimiser back to where they began, and hand out the memory in batches of tensors."""
        strategy.model_adaptation(self._initial)
        strategy.model.load_state_dict(self._initial.state_dict())
        strategy.optimizer.state = defaultdict(dict)
        kept, spec = self.keeper.kept(), self.keeper.known_spec()
        memory = MemoryTensors.of(kept, self.keeper.task_labels(), strategy.device)
        owner = (self.keeper.keeping.seed, "gdumb", len(self.keeper.tasks))
        strategy.dataloader = MemoryLoader(memory, strategy.train_mb_size, generator(*owner, "order"))
        self._augmented = Augmented(self.augmentation, spec, generator(*owner, "augment", device=strategy.device))
        own = strategy._criterion  # still a memory's where a training was cut off
        own = own.own if isinstance(own, MemoryCriterion) else own
        self._criterion = strategy._criterion = MemoryCriterion(own)

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        """Augment the batch, and leave its soft labels to the criterion."""
        if self._augmented is None or self._criterion is None:
            return
        seen = self._augmented(strategy.dataloader.current)
        strategy.mbatch[0] = seen.images
        self._criterion.waiting = seen.labels if seen.labels.ndim == 2 else None

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Give the strategy its own criterion back."""
        if self._criterion is not None:
            strategy._criterion, self._criterion = self._criterion.own, None

    def _remember(self, strategy: Any) -> None:
        if self._initial is None:
            self._initial = copy.deepcopy(strategy.model)
