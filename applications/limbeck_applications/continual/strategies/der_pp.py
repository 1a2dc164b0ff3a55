"""DER++: replay of images together with the logits that the network gave them when it had learned them.

Paper: Buzzega et al.: Dark Experience for General Continual Learning (arXiv:2004.07211), equation 6: cross-entropy on
the stream, alpha times the squared distance to stored logits, beta times the cross-entropy on the buffer.
Code: ContinualAI/avalanche, ``DER`` with beta above 0 (MIT), which trains it.
The same: the three terms; alpha 0.1 and beta 0.5, the library's defaults, which are among those the paper searched.
Differs, as the library does: logits are stored after an experience, of images as they are; one batch of the buffer
serves both terms; as many images of every class are kept. Logits count in the bytes, 4 for each class of the stream.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import nn

from limbeck import Options as OptionsBase
from limbeck_applications.continual.bridge.keeping import KeepsImages
from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.bridge.strategy import Lesson, keywords
from limbeck_applications.continual.strategy import Context
from limbeck_applications.continual.stream import Stream

FLOAT32 = 4
"""Bytes of a stored logit."""


class DerPlusPlus(KeepsImages):
    """Replay images with their logits and their classes."""

    class Options(OptionsBase):
        """Weights of the two terms of the buffer."""

        alpha: float = Field(0.1, ge=0, description="weight of the squared distance to the stored logits")
        beta: float = Field(0.5, ge=0, description="weight of the cross-entropy on the buffer; 0 is plain DER")

    def beside(self, stream: Stream) -> int:
        """Return the bytes of an image's logits; see the base class."""
        return FLOAT32 * stream.spec.num_classes

    def build(self, model: nn.Module, optimiser: Any, criterion: Any, stream: Stream, context: Context) -> Any:
        """Return Avalanche's ``DER``; see the base class."""
        return avalanche().training.DER(
            model=model,
            optimizer=optimiser,
            criterion=criterion,
            mem_size=self.room(Lesson(stream, context, None)),
            alpha=self.options.alpha,
            beta=self.options.beta,
            **keywords(stream, context),
        )

    def before(self, lesson: Lesson) -> None:
        """Follow the budget, and draw what the buffer has where that is less than a batch.

        The library would replay nothing then.
        """
        super().before(lesson)
        held, batch = len(lesson.learner.storage_policy.buffer), lesson.context.training.memory_batch
        lesson.learner.batch_size_mem = min(batch, held) or batch
