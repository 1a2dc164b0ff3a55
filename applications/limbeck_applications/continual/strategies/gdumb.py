"""GDumb: after each experience the network is trained from its first weights on the memory alone, of real images here.

Paper: Prabhu, Torr, Dokania: GDumb: A Simple Approach that Questions Our Progress in Continual Learning (ECCV 2020).
Code: ContinualAI/avalanche, ``GDumbPlugin`` (MIT), which keeps images and restores the network.
The same: as many random images of every class seen; nothing of the current experience but what is kept of it.
Differs: the passes, rate and augmentation are those that distilled memories are retrained with (arXiv:2110.04181,
section 4.3), not the paper's cosine schedule and CutMix, so that the two differ in their images alone.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from limbeck import seeding
from limbeck_applications.continual.bridge.batches import Augmented, MemoryTensors
from limbeck_applications.continual.bridge.keeping import KeepsImages
from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.bridge.losses import MemoryCriterion
from limbeck_applications.continual.bridge.strategy import Lesson, keywords, lend_dropout, sgd
from limbeck_applications.continual.settings import Retraining
from limbeck_applications.continual.strategy import Context
from limbeck_applications.continual.stream import Stream


class GDumb(KeepsImages):
    """Train from the first weights on a few random images of every class."""

    reads = ("retraining", "budget")

    def build(self, model: nn.Module, optimiser: Any, criterion: Any, stream: Stream, context: Context) -> Any:
        """Return Avalanche's ``Naive`` with its GDumb plugin; the optimiser is that of retraining."""
        how, training = context.retraining, avalanche().training
        wrapped = MemoryCriterion(criterion)
        retrains = Retrains(how, wrapped, stream, context)
        keep = training.plugins.GDumbPlugin(mem_size=self.room(Lesson(stream, context, None)))
        of_memory = {"train_mb_size": how.batch_size, "train_epochs": how.epochs, "plugins": [keep, retrains]}
        return training.Naive(
            model=model,
            optimizer=sgd(model, how),
            criterion=wrapped,
            **{**keywords(stream, context), **of_memory},
        )


class Retrains:
    """A plugin that trains on the memory as ``Retraining`` says: the rate falls once, images are augmented.

    Args:
        how: the numbers.
        criterion: the strategy's, which mixed labels are left to.
        stream: what is learned.
        context: owner of the augmentation's draws.
    """

    def __init__(self, how: Retraining, criterion: MemoryCriterion, stream: Stream, context: Context) -> None:
        self.how, self.criterion, self.stream, self.context = how, criterion, stream, context
        self.augmented: Augmented | None = None

    def before_training_exp(self, strategy: Any, **_: Any) -> None:
        """Begin at the first rate, without momentum; the network is another object than in the experience before."""
        position = strategy.clock.train_exp_counter
        lend_dropout(strategy.model, self.context.seed_of("dropout", position))
        seed = self.context.seed_of("retrain", position)
        owner = seeding.generator(seed, "augment", device=strategy.device)
        self.augmented = Augmented(self.how.augmentation, self.stream.spec, owner)
        self._begin(strategy, self.how.lr)

    def before_training_epoch(self, strategy: Any, **_: Any) -> None:
        """Let the rate fall, and forget the momentum, when the epochs before are done."""
        if strategy.clock.train_exp_epochs == self.how.falls_after:
            self._begin(strategy, self.how.lr / 10)

    def before_forward(self, strategy: Any, **_: Any) -> None:
        """Augment the batch; labels that were mixed with it go to the criterion."""
        if self.augmented is None:
            return
        seen = self.augmented(MemoryTensors(strategy.mbatch[0], strategy.mbatch[1], None))
        strategy.mbatch[0] = seen.images
        self.criterion.waiting = seen.labels if seen.labels.ndim == 2 else None

    def _begin(self, strategy: Any, lr: float) -> None:
        strategy.optimizer.state.clear()
        for group in strategy.optimizer.param_groups:
            group["lr"] = lr
