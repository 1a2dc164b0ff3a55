"""Joint training: after each experience a network learns all images so far from the beginning; a ceiling, no rival.

Paper: Caruana: Multitask Learning (1997), doi 10.1023/A:1007379606734, in its use as an upper bound.
Code: ContinualAI/avalanche, ``Cumulative`` (MIT), which trains it.
The same: all images so far are there, in the passes that any other strategy makes over an experience; where updates are
limited, it makes those of as many experiences as it learns.
Differs: the network returns to its first weights before each experience, so that each row is what training on all
data so far gives, and not what one network gives that has seen the first classes most often. Nothing bounds what is
kept: the bytes of a row are those of all images so far.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.bridge.strategy import AvalancheStrategy, Lesson, Limit, fresh_network, keywords
from limbeck_applications.continual.memory.budget import image_bytes
from limbeck_applications.continual.strategy import Context
from limbeck_applications.continual.stream import Stream


class Joint(AvalancheStrategy):
    """Learn all images so far from the first weights, after each experience."""

    memory = "other"
    reads = ("training",)

    def build(self, model: nn.Module, optimiser: Any, criterion: Any, stream: Stream, context: Context) -> Any:
        """Return Avalanche's ``Cumulative``; see the base class."""
        return avalanche().training.Cumulative(
            model=model, optimizer=optimiser, criterion=criterion, **keywords(stream, context)
        )

    def before(self, lesson: Lesson) -> None:
        """Return to the first weights, forget the momentum, and let updates grow with the experiences where limited."""
        lesson.learner.model.load_state_dict(fresh_network(lesson.stream, lesson.context).state_dict())
        lesson.learner.optimizer.state.clear()
        for limit in (each for each in lesson.learner.plugins if isinstance(each, Limit)):
            limit.iterations = (lesson.context.training.iterations or 0) * (lesson.position + 1)

    def kept(self, lesson: Lesson) -> tuple[int, int]:
        """Count every training image so far; see the base class."""
        images = sum(len(each.train) for each in lesson.stream.experiences[: lesson.position + 1])
        return images * image_bytes(lesson.stream.spec), images
