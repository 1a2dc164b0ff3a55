"""Experience replay of herded images: their mean feature stays near that of their class.

Papers: Welling: Herding Dynamical Weights to Learn (ICML 2009); Rebuffi et al.: iCaRL (arXiv:1611.07725), equation 4,
which chose exemplars that way.
Code: ContinualAI/avalanche, ``ReplayPlugin`` with ``ParametricBuffer`` (MIT), which keeps and mixes.
The same: greedy choice on what enters the last layer, by the network that has just learned the experience; as many of
every class.
Differs from iCaRL: features are not brought to unit length, as in the library's own herding; when the share of a
class shrinks, what stays is herded anew among what is kept, with the network as it is then.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from limbeck_applications.continual.bridge.keeping import Embedding, Herding, ReplayStrategy
from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.bridge.strategy import Lesson
from limbeck_applications.continual.strategy import Context
from limbeck_applications.continual.stream import Stream


class ReplayHerding(ReplayStrategy):
    """Replay the images of each class whose mean feature is nearest to the class's."""

    def storage(self, size: int, model: nn.Module, stream: Stream, context: Context) -> Any:
        """Return a buffer that herds each class; see the base class."""
        herding = Herding(Embedding(model, context.build(stream).classifier_name), size)
        policies = avalanche().training.storage_policy
        return policies.ParametricBuffer(size, groupby="class", selection_strategy=herding)

    def before(self, lesson: Lesson) -> None:
        """Let the buffer, and what is herded of a class, follow the budget; see the base class."""
        super().before(lesson)
        policy = self.policy(lesson.learner)
        policy.selection_strategy.wanted = policy.max_size
