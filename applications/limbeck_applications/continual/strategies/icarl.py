"""iCaRL: herded exemplars, distillation of old outputs, and the nearest mean of exemplars as classifier.

Paper: Rebuffi et al.: iCaRL: Incremental Classifier and Representation Learning (arXiv:1611.07725), algorithms 1 to
5.
Code: ContinualAI/avalanche, ``ICaRL`` (MIT), which trains it.
The same: sigmoid outputs, binary cross-entropy with the old network's outputs as targets of old classes, summed over
the classes seen (algorithm 3) and averaged over the batch, exemplars among the images of an experience, herding on
features of unit length, the first exemplars of a class kept when its share shrinks.
Differs: passes, rate and batch are those of every other strategy here (the paper: 70 epochs at rate 2 on CIFAR-100).
The library averages the loss over all outputs of the stream too (``over_classes=mean``), a tenth or less of the
paper's: at the rate of the other strategies that hardly moves the features, and classes to come are taught as well.
As in the library, a class mean is also averaged over mirrored exemplars. The library answers with the mean zero for
classes that have not come yet, which can be the nearest; here, as in the paper, only classes seen are answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from limbeck import Options as OptionsBase
from limbeck.errors import UsageError
from limbeck_applications.continual.bridge.keeping import KeepsImages
from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.bridge.strategy import Lesson, in_new_classes_only, keywords
from limbeck_applications.continual.memory.budget import image_bytes
from limbeck_applications.continual.strategy import Context
from limbeck_applications.continual.stream import Stream


class ICaRL(KeepsImages):
    """Learn features with exemplars and distillation, and answer with the nearest class mean."""

    class Options(OptionsBase):
        """How the loss of an image is put together."""

        over_classes: Literal["sum", "mean"] = Field(
            "sum",
            description="cross-entropies of an image: their sum over the classes seen (the paper), or their mean over "
            "all outputs (the library)",
        )

    def check(self, stream: Stream, context: Context) -> None:
        """Refuse streams whose classes come again, and a budget that is too small; see the base class."""
        in_new_classes_only(self.name or "icarl", stream)
        super().check(stream, context)

    def build(self, model: nn.Module, optimiser: Any, criterion: Any, stream: Stream, context: Context) -> Any:
        """Return Avalanche's ``ICaRL`` on the network's features and its last layer; see the base class."""
        features, classifier = parted(model, context.build(stream).classifier_name, stream, context)
        return avalanche().training.ICaRL(
            feature_extractor=features,
            classifier=classifier,
            optimizer=optimiser,
            memory_size=self.room(Lesson(stream, context, None)),
            buffer_transform=None,
            fixed_memory=True,
            **keywords(stream, context),
        )

    def before(self, lesson: Lesson) -> None:
        """Let every class keep as many exemplars, whose share the library would round up, and set the loss."""
        if self.options.over_classes == "sum":
            lesson.learner._criterion.criterion = SummedOver(lesson.stream.seen(lesson.position))
        exemplars(lesson).memory_size = self.room(lesson) // lesson.seen * lesson.seen

    def kept(self, lesson: Lesson) -> tuple[int, int]:
        """Count the exemplars; class means follow from them and are not kept."""
        images = sum(len(each) for each in exemplars(lesson).x_memory)
        return images * image_bytes(lesson.stream.spec), images

    def logits(self, lesson: Lesson, images: Tensor) -> Tensor:
        """Return how near images are to the mean of each class seen; see the base class."""
        nearness: Tensor = lesson.learner.model(images)
        unseen = torch.ones(nearness.shape[1], dtype=torch.bool, device=nearness.device)
        unseen[list(lesson.stream.seen(lesson.position))] = False
        return nearness.masked_fill(unseen, -torch.inf)


class SummedOver:
    """Stands for the library's mean of binary cross-entropies over images and outputs.

    Args:
        classes: whose outputs are learned.
    """

    def __init__(self, classes: Sequence[int]) -> None:
        self.classes = list(classes)

    def __call__(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Return the sum over the classes, a mean over the images, of probabilities and targets [n, C]; scalar."""
        ours, theirs = predictions[:, self.classes], targets[:, self.classes]
        return F.binary_cross_entropy(ours, theirs, reduction="sum") / len(predictions)


def exemplars(lesson: Lesson) -> Any:
    """Return the library's plugin that keeps exemplars, in ``x_memory`` by class."""
    return next(plugin for plugin in lesson.learner.plugins if hasattr(plugin, "x_memory"))


def parted(model: nn.Module, name: str, stream: Stream, context: Context) -> tuple[nn.Module, nn.Linear]:
    """Cut a network in two before its last linear layer.

    Args:
        model: the network; changed in place: it gives features [n, k] from now on.
        name: of that layer.
        stream: whose images it takes.
        context: names the network.

    Returns:
        The network without the layer, and the layer.

    Raises:
        UsageError: something follows that layer in the network.
    """
    classifier = model.get_submodule(name)
    assert isinstance(classifier, nn.Linear)
    with torch.no_grad():
        blank = torch.zeros(2, *stream.spec.shape, device=context.device)
        whole = model.eval()(blank)
        model.set_submodule(name, nn.Identity())
        if not torch.equal(classifier(features := model(blank)), whole) or features.ndim != 2:
            raise UsageError(
                f"icarl needs a network that ends with its last linear layer, but in '{context.network}' something "
                "follows it. Choose another with --network, for example convnet-d3-w32-in."
            )
    return model, classifier
