"""Strategies of Avalanche that keep real images: their buffers obey the budget at every experience."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.bridge.strategy import AvalancheStrategy, Lesson, at_once, keywords
from limbeck_applications.continual.memory.budget import image_bytes
from limbeck_applications.continual.memory.importance import herded
from limbeck_applications.continual.strategy import Context, Section
from limbeck_applications.continual.stream import Stream


class KeepsImages(AvalancheStrategy):
    """A strategy of Avalanche that keeps real images in a storage policy, counted as uint8 with their labels."""

    memory = "real"
    reads: ClassVar[Sequence[Section]] = ("training", "budget")

    def check(self, stream: Stream, context: Context) -> None:
        """Refuse a budget that does not hold an image of each class; see the base class."""
        for position in range(len(stream)):
            self.room(Lesson(stream, context, None, position))

    def beside(self, stream: Stream) -> int:
        """Return the bytes that are kept beside each image and its label."""
        return 0

    def room(self, lesson: Lesson) -> int:
        """Return how many images may be kept after this experience.

        Raises:
            UsageError: not one of each class.
        """
        return lesson.images(self.beside(lesson.stream))

    def policy(self, learner: Any) -> Any:
        """Return the storage policy of a learner or of one of its plugins."""
        owners = (learner, *learner.plugins)
        return next(owner.storage_policy for owner in owners if hasattr(owner, "storage_policy"))

    def before(self, lesson: Lesson) -> None:
        """Let the buffer hold what may be kept after this experience; it is filled when it is next updated.

        The part of a class would take no more new images than it had room for before; the update gives each its share.
        """
        policy = self.policy(lesson.learner)
        for part in (policy, *getattr(policy, "buffer_groups", {}).values()):
            part.max_size = self.room(lesson)

    def kept(self, lesson: Lesson) -> tuple[int, int]:
        """Count the images that lie in the buffer; see the base class."""
        images = len(self.policy(lesson.learner).buffer)
        return images * (image_bytes(lesson.stream.spec) + self.beside(lesson.stream)), images


class ReplayStrategy(KeepsImages):
    """Avalanche's replay: each update sees a batch of the experience beside a batch of the buffer."""

    @abstractmethod
    def storage(self, size: int, model: nn.Module, stream: Stream, context: Context) -> Any:
        """Return the storage policy.

        Args:
            size: images it may hold after the first experience.
            model: the network that is trained.
            stream: what it will learn.
            context: how.
        """

    def build(self, model: nn.Module, optimiser: Any, criterion: Any, stream: Stream, context: Context) -> Any:
        """Return Avalanche's ``Naive`` with its replay plugin; see the base class."""
        how, training = keywords(stream, context), avalanche().training
        size = self.room(Lesson(stream, context, None))
        policy = self.storage(size, model, stream, context)
        how["plugins"] = [training.plugins.ReplayPlugin(mem_size=size, storage_policy=policy), *how["plugins"]]
        return training.Naive(model=model, optimizer=optimiser, criterion=criterion, **how)

    def before(self, lesson: Lesson) -> None:
        """Follow the budget, and draw batches of about equal size from the buffer; see the base class.

        The library draws what is left of a pass as a small batch: of 40 images 32, then 8.
        """
        super().before(lesson)
        plugin = next(each for each in lesson.learner.plugins if hasattr(each, "batch_size_mem"))
        held = len(plugin.storage_policy.buffer)
        plugin.batch_size_mem = even(held, lesson.context.training.memory_batch)


def even(held: int, batch: int) -> int:
    """Return how many images of the memory each update of replay learns: about ``batch``, without a small rest.

    All of them while fewer than 1.5 times ``batch`` are held; of more, one of equal parts, of 3/4 to 5/4 of it. For 32:
    up to 47 of 47, 24 of 48, later 24 to 40. ER-ACE, DER++ and distilled replay learn min(``batch``, ``held``).
    """
    return math.ceil(held / max(1, round(held / batch)))


class Embedding(nn.Module):
    """What enters the last linear layer of a network, with the network's weights as they are when it is asked.

    Args:
        model: the network.
        classifier: name of its last linear layer.
    """

    def __init__(self, model: nn.Module, classifier: str) -> None:
        super().__init__()
        self.model, self.classifier = model, classifier

    def forward(self, images: Tensor) -> Tensor:
        """Return features [n, k] of images [n, ch, h, w]."""
        found: list[Tensor] = []
        layer = self.model.get_submodule(self.classifier)
        handle = layer.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].flatten(1)))
        try:
            self.model(images)
        finally:
            handle.remove()
        return found[0]


class Herding:
    """A selection strategy for Avalanche's buffers: herding on the network's features, as far as it is needed.

    It orders as the library's own does, which first orders all images of an experience, however few are kept.

    Args:
        embedding: the network's features.
        wanted: images of a group that may be asked for.

    Attributes:
        wanted: may be changed before each experience.
    """

    def __init__(self, embedding: Embedding, wanted: int) -> None:
        self.embedding, self.wanted = embedding, wanted

    @torch.no_grad()
    def make_sorted_indices(self, strategy: Any, data: Any) -> list[int]:
        """Return which images of a dataset to keep, the most important first, ``wanted`` of them at most."""
        images = torch.stack([data[place][0] for place in range(len(data))])
        was_training = self.embedding.model.training
        self.embedding.model.eval()
        parts = torch.split(images, at_once(strategy.device))
        features = torch.cat([self.embedding(part.to(strategy.device)).cpu() for part in parts]).double()
        self.embedding.model.train(was_training)
        order: list[int] = herded(features - features.mean(0), self.wanted).tolist()
        return order
