"""ER-ACE: replay whose new classes compete among themselves alone, so that old features are not pushed away.

Paper: Caccia et al.: New Insights on Reducing Abrupt Representation Change in Online Continual Learning
(arXiv:2104.05025), equation 3: the cross-entropy of a batch of the stream is over its own classes, that of a batch of
the buffer over all.
Code: ContinualAI/avalanche, ``ER_ACE`` (MIT), which trains it.
The same: the two losses, averaged; a buffer with as many random images of every class.
Differs: the paper's buffer is a reservoir that is filled during one pass; here the images of an experience enter it
before the experience is learned, as in the library.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from limbeck_applications.continual.bridge.keeping import KeepsImages
from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.bridge.strategy import Lesson, keywords
from limbeck_applications.continual.strategy import Context
from limbeck_applications.continual.stream import Stream


class ErAce(KeepsImages):
    """Replay with an asymmetric cross-entropy."""

    def build(self, model: nn.Module, optimiser: Any, criterion: Any, stream: Stream, context: Context) -> Any:
        """Return Avalanche's ``ER_ACE``; see the base class."""
        return avalanche().training.ER_ACE(
            model=model,
            optimizer=optimiser,
            criterion=criterion,
            mem_size=self.room(Lesson(stream, context, None)),
            batch_size_mem=context.training.memory_batch,
            **keywords(stream, context),
        )

    def before(self, lesson: Lesson) -> None:
        """Follow the budget, and draw what the buffer has where that is less than a batch.

        The library would replay nothing then.
        """
        super().before(lesson)
        lesson.learner.batch_size_mem = min(lesson.context.training.memory_batch, fill(lesson, self.room(lesson)))


def fill(lesson: Lesson, size: int) -> int:
    """Return how many images a class-balanced buffer holds at least once this experience has entered it."""
    so_far = lesson.stream.experiences[: lesson.position + 1]
    classes = lesson.stream.seen(lesson.position)
    counts = [sum(int((each.train.labels == label).sum()) for each in so_far) for label in classes]
    return sum(min(size // len(classes), count) for count in counts)
