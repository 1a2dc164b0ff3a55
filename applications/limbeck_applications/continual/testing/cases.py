"""Tiny streams and memories that every check is made with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from limbeck.data import DataSet, DataSpec, RealData, load_dataset
from limbeck.seeding import generator
from limbeck_applications.continual.memory.budget import Budget, image_bytes
from limbeck_applications.continual.settings import Retraining, StreamTraining
from limbeck_applications.continual.strategy import Context, Kept
from limbeck_applications.continual.stream import Experience, Stream

CLASSES, EXPERIENCES = 6, 3
TRAIN, TEST, IMAGES = 8, 5, 2
"""Images of each class: to train on, to test on, and to keep."""

NETWORK = "convnet-d1-w4-in"


def tiny_stream() -> Stream:
    """Return three experiences of two classes of 8x8 digits each, in the order 2 3, 0 1, 4 5."""
    digits = load_dataset("digits", classes=range(CLASSES))
    data = DataSet(digits.spec, first(digits.train, TRAIN), first(digits.test, TEST))
    shares = ((2, 3), (0, 1), (4, 5))
    return Stream(data.spec, tuple(Experience(own, of(data.train, own), of(data.test, own)) for own in shares))


def tiny_context(stream: Stream, *, budget: Budget | None = None, seed: int = 0, soft: bool = False) -> Context:
    """Return what a strategy is given on a tiny stream: two passes in batches of 8, and two images a class to keep.

    Args:
        stream: it is for.
        budget: another than that.
        seed: of everything random.
        soft: whether the distilled memory's labels are probabilities.
    """
    budget = budget or Budget.of_images(IMAGES, stream.spec, stream.spec.num_classes)
    return Context(
        network=NETWORK,
        training=StreamTraining.model_validate({"batch_size": 8, "memory_batch": 8}),
        retraining=Retraining.model_validate({"epochs": 2, "batch_size": 8}),
        budget=budget,
        seed=seed,
        device=torch.device("cpu"),
        memory=tiny_memory(stream, soft=soft),
    )


def tiny_memory(stream: Stream, *, soft: bool = False) -> list[Kept]:
    """Return what a memory of real images holds after each experience, as a distilled one would."""
    kept = []
    for position in range(len(stream)):
        parts = [first(experience.train, IMAGES) for experience in stream.experiences[: position + 1]]
        images = torch.cat([part.normalise(part.images) for part in parts])
        labels = torch.cat([part.labels for part in parts])
        size = len(images) * image_bytes(stream.spec)
        if soft:
            sure = torch.nn.functional.one_hot(labels, stream.spec.num_classes).float()
            labels = 0.9 * sure + 0.1 / stream.spec.num_classes
        kept.append(Kept(images, labels, size, len(images)))
    return kept


def with_other_images(stream: Stream, position: int) -> Stream:
    """Return the stream with noise in place of the training images of one experience."""
    found = stream.experiences[position]
    noise = torch.randint(256, found.train.images.shape, generator=generator(0, "tiny", "noise"), dtype=torch.uint8)
    other = replace(found, train=RealData(noise, found.train.labels, stream.spec))
    experiences = (*stream.experiences[:position], other, *stream.experiences[position + 1 :])
    return replace(stream, experiences=experiences)


def with_other_memory(context: Context, position: int) -> Context:
    """Return the context with noise in place of the images that the memory holds after one experience."""
    found = context.memory[position]
    noise = torch.randn(found.images.shape, generator=generator(0, "tiny", "memory"))
    memory = (*context.memory[:position], replace(found, images=noise), *context.memory[position + 1 :])
    return replace(context, memory=memory)


def noise(spec: DataSpec, train: int = 3, test: int = 2) -> DataSet:
    """Return a data set of random images, some of every class, classes mixed."""

    def part(per_class: int, owner: str) -> RealData:
        draw = generator(0, "tiny", owner)
        labels = torch.arange(spec.num_classes).repeat(per_class)
        images = torch.randint(256, (len(labels), *spec.shape), generator=draw, dtype=torch.uint8)
        return RealData(images, labels, spec)

    return DataSet(spec, part(train, "train"), part(test, "test"))


def of(real: RealData, classes: Sequence[int]) -> RealData:
    """Return the images of some classes."""
    return real.subset(torch.cat([real.members(c) for c in classes]))


def first(real: RealData, number: int) -> RealData:
    """Return the first images of each class, those of a class together."""
    return real.subset(torch.cat([real.members(c)[:number] for c in range(real.spec.num_classes)]))
