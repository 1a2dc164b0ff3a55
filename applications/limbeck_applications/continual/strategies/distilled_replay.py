"""Distilled replay: each update sees a batch of the experience beside a batch of the distilled memory.

Paper: Rosasco et al.: Distilled Replay: Overcoming Forgetting through Synthetic Samples (arXiv:2103.15851), which
adds one distilled image of each past class to every batch.
Code: andrearosasco/DistilledReplay (MIT).
The same: while an experience is learned, the memory holds what was distilled of those before it; one cross-entropy
over both batches.
Differs: the memory is distilled by any method, in any number format and size; batches are drawn from it, every image
once before any comes again; soft labels learn by soft cross-entropy. The memory's batch passes the network by itself,
which changes nothing but for batch norm. As for the rivals that replay real images, nothing is augmented unless
asked.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import nn

from limbeck import Options as OptionsBase
from limbeck import seeding
from limbeck.config import Spec
from limbeck_applications.continual.bridge.batches import Augmented, MemoryTensors, Rounds, augmentation_of
from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.bridge.losses import memory_loss
from limbeck_applications.continual.bridge.strategy import AvalancheStrategy, Lesson, keywords
from limbeck_applications.continual.strategy import Context, Row
from limbeck_applications.continual.stream import Stream


class DistilledReplay(AvalancheStrategy):
    """Replay distilled images of past experiences."""

    memory = "distilled"
    reads = ("training", "budget")

    class Options(OptionsBase):
        """How much the memory counts, and how it is seen."""

        weight: float = Field(1.0, ge=0, description="of an image of the memory beside one of the experience")
        augmentation: Spec | None = Field(None, description="of the memory's images; none when null")

    def check(self, stream: Stream, context: Context) -> None:
        """Refuse an unknown augmentation; see the base class."""
        augmentation_of(self.options.augmentation, stream.spec)

    def build(self, model: nn.Module, optimiser: Any, criterion: Any, stream: Stream, context: Context) -> Any:
        """Return Avalanche's ``Naive`` with a plugin that replays; see the base class."""
        how = keywords(stream, context)
        how["plugins"] = [Replays(self.options, stream, context), *how["plugins"]]
        return avalanche().training.Naive(model=model, optimizer=optimiser, criterion=criterion, **how)

    def row(self, lesson: Lesson, accuracies: tuple[float, ...], seconds: float) -> Row:
        """Return the row of an experience, with what the memory holds after it."""
        held = lesson.context.memory[lesson.position]
        return Row(accuracies, seconds, held.bytes, held.stored, held.distilling)


class Replays:
    """A plugin that adds the loss of a batch of a distilled memory to every update.

    Args:
        options: of ``DistilledReplay``.
        stream: what is learned.
        context: the memory after each experience, the size of its batches, and who owns what is drawn.
    """

    def __init__(self, options: DistilledReplay.Options, stream: Stream, context: Context) -> None:
        self.options, self.stream, self.context = options, stream, context
        self.rounds: Rounds | None = None
        self.augmented: Augmented | None = None

    def before_training_exp(self, strategy: Any, **_: Any) -> None:
        """Bring what was kept after the experience before to the device; there is nothing at first."""
        position = strategy.clock.train_exp_counter
        if position == 0:
            return
        seed, size = self.context.seed_of("replay", position), self.context.training.memory_batch
        memory = MemoryTensors.of(self.context.memory[position - 1], None, strategy.device)
        self.rounds = Rounds(memory, size, seeding.generator(seed, "order"))
        draws = seeding.generator(seed, "augment", device=strategy.device)
        self.augmented = Augmented(self.options.augmentation, self.stream.spec, draws)

    def before_backward(self, strategy: Any, **_: Any) -> None:
        """Take the mean over the images of both batches, in place of that over the experience's alone."""
        if self.rounds is None or self.augmented is None:
            return
        batch = self.augmented(self.rounds.next())
        new, old = len(strategy.mb_y), self.options.weight * len(batch)
        added = memory_loss(strategy.model(batch.images), batch.labels)
        strategy.loss = (new * strategy.loss + old * added) / (new + old)
