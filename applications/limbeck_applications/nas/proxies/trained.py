"""Proxies that train: accuracy on images kept aside, after training on few images or for a short time.

Paper: Zhao, Mopuri, Bilen, "Dataset Condensation with Gradient Matching" (arXiv:2006.05929), section 4.3 and appendix:
networks are trained on the proxy's images from fresh weights and ranked by their accuracy. That paper's public code has
no search.

The same: all architectures get the same images, seed and numbers of training. Different: accuracy is that on training
images that were kept aside, since test images are for the result; the mean over ``networks`` seeds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from limbeck.data import DataSpec, RealData
from limbeck.errors import UsageError
from limbeck.evaluation.job import PREPROCESSING, label_projector, training_data
from limbeck.evaluation.recipe import STORED_LABELS, Recipe
from limbeck.networks import State
from limbeck.seeding import derive_seed, generator
from limbeck.synthetic import LabelProjector
from limbeck.training import Samples, TrainData
from limbeck_applications.nas.proxy import Candidate, Material, Prepared, Proxy, Score
from limbeck_applications.nas.training import Training, trained

IPC, EPOCHS = 20, 15
"""Images a class and passes over them, chosen on Fashion-MNIST, where they cost a third of the paper's 10 and 100.

On digits the paper's rank better, and cost twice the seconds (docs/nas.md).
"""


@dataclass(frozen=True)
class Lesson:
    """What networks are trained on, and how.

    Attributes:
        data: images as they were formed, and their labels.
        spec: how real images are normalised to look like them.
        labels: gives the labels of a batch where they are not those of ``data``.
        training: numbers, augmentation included.
    """

    data: Samples
    spec: DataSpec
    labels: LabelProjector | None
    training: Training


class TrainedProxy(Proxy):
    """Accuracy on images kept aside, after training. A subclass prepares images by ``kept``.

    Its options are those of training, so that any of them can be given with a proxy's name.
    """

    trains = True
    validates = True

    class Options(Training):
        """How each architecture is trained."""

        epochs: int = Field(EPOCHS, ge=1, description="passes over the images")
        batch_size: int = Field(25, ge=1, description="images in each update")
        networks: int = Field(1, ge=1, description="trainings of each architecture, whose accuracies are averaged")

    def lesson(self, prepared: Prepared, device: torch.device) -> Lesson:
        """Return what this proxy trains networks on; searchers that train by themselves use it too.

        Args:
            prepared: what ``prepare`` made.
            device: that trains.
        """
        values, tensors = prepared.values, prepared.tensors
        recipe = Recipe.from_dict(values["recipe"])
        own = {key.removeprefix(PREPROCESSING): value for key, value in tensors.items()}
        spec = DataSpec.from_dict(values["spec"], own)
        data = training_data(recipe, spec, tensors, device)
        training = self.training(recipe, len(data))
        if recipe.labels == STORED_LABELS:
            return Lesson(_with_probabilities(data, values["label_kind"]), spec, None, training)
        return Lesson(data, spec, label_projector(recipe, spec, values, tensors, data), training)

    def training(self, recipe: Recipe, images: int) -> Training:
        """Return the numbers of training on so many images, the recipe's augmentation among them."""
        augmentation = None if recipe.augmentation is None else {"augmentation": recipe.augmentation}
        size = without_single(images, self.options.batch_size)
        asked = self.options.model_dump(include=set(Training.model_fields) - {"augmentation"})
        return Training.model_validate({**asked, "batch_size": size, **(augmentation or {})})

    def score(self, candidates: Sequence[Candidate], material: Material) -> list[Score]:
        """Train all candidates in one call and return their accuracies on the images kept aside, in [0, 1].

        Args:
            candidates: of equal structure; ``start`` takes the place of fresh weights.
            material: what ``prepare`` made, and the images kept aside.

        Returns:
            One score per candidate: the mean over ``networks`` seeds, the first of which is the candidate's own and
            gives the weights. ``loss`` is the mean cross-entropy on the images kept aside, ``std`` the population
            standard deviation of several accuracies.

        Raises:
            UsageError: there are no images kept aside.
        """
        began, times = time.perf_counter(), self.options.networks
        if material.validation is None:
            raise UsageError(f"proxy '{self.name}' ranks on images kept aside, but none were given.")
        lesson = self.lesson(material.prepared, material.device)
        runs = [(each, _seed(each, number)) for each in candidates for number in range(times)]
        result = trained(
            candidates[0].network,
            [_start(each, seed) for each, seed in runs],
            lesson.data,
            lesson.spec,
            lesson.training,
            seeds=[seed for _, seed in runs],
            labels=lesson.labels,
            eval_sets={"validation": material.validation.seen_as(lesson.spec)},
        )
        found = [metrics["validation"] for metrics in result.metrics]
        share = (time.perf_counter() - began) / len(candidates)
        scores = []
        for place in range(0, len(runs), times):
            accuracies = [each.overall for each in found[place : place + times]]
            figures = {"loss": statistics.fmean(each.loss for each in found[place : place + times])}
            if times > 1:
                figures["std"] = statistics.pstdev(accuracies)
            scores.append(Score(statistics.fmean(accuracies), share, figures, result.states[place]))
        return scores


def kept(
    images: Tensor,
    labels: Tensor,
    group: Tensor,
    spec: DataSpec,
    recipe: Recipe,
    *,
    label_kind: str = "hard",
    seed: int = 0,
    further: dict[str, Tensor] | None = None,
) -> Prepared:
    """Write down what networks are trained on, as ``TrainedProxy.lesson`` reads it.

    Args:
        images: normalised float, or uint8 pixels, [n, ch, h, w], before the formation.
        labels: classes [n], or one number per class [n, C].
        group: group of each image, int64 [n].
        spec: what the images are.
        recipe: formation, label projector and augmentation; its other numbers are not used.
        label_kind: "hard", "probabilities" or "logits".
        seed: of what the label projector draws.
        further: tensors of the label projector and the formation, under their prefixes.
    """
    preprocessing = {PREPROCESSING + key: value for key, value in spec.tensors().items()}
    tensors = {"images": images, "labels": labels, "group": group, **preprocessing, **(further or {})}
    values = {"recipe": recipe.to_dict(), "spec": spec.to_dict(), "label_kind": label_kind, "seed": seed}
    return Prepared(tensors, values)


def without_single(images: int, batch_size: int) -> int:
    """Return the least batch size from ``batch_size`` on that leaves no last batch of one image.

    Batch norm has no variance of a single value, and the size must not depend on the architecture.
    """
    while batch_size > 1 and images % batch_size == 1:
        batch_size += 1
    return batch_size


def _seed(candidate: Candidate, number: int) -> int:
    return candidate.seed if number == 0 else derive_seed(candidate.seed, "network", number)


def _start(candidate: Candidate, seed: int) -> State:
    if candidate.start is not None:
        return candidate.start
    return candidate.network.initial(generator(seed, "init", device=candidate.network.device))


def _with_probabilities(data: Samples, label_kind: str) -> Samples:
    """Return the same images, their logits as probabilities, so that no projector stands between."""
    if label_kind != "logits" or isinstance(data, RealData):
        return data
    every = torch.arange(len(data), device=data.labels.device)
    return TrainData(data.take(every), torch.softmax(data.labels, dim=1))
