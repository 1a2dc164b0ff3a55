"""Small streams of digits, and what strategies are given to learn them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from limbeck.data import load_dataset
from limbeck.plugins import registry
from limbeck_applications.continual.memory.budget import Budget, image_bytes
from limbeck_applications.continual.settings import Retraining, StreamTraining
from limbeck_applications.continual.strategy import Context, Kept

TINY = {"epochs": 1, "batch_size": 8, "memory_batch": 8, "lr": 0.05}


@pytest.fixture(scope="package")
def make_stream():
    """Make a stream of some digits a class: ``make_stream(12, experiences=5)``."""

    def make(images=12, benchmark="split_digits", data="digits", **options):
        of_stream = registry().create("continual_benchmarks", {"name": benchmark, **options})
        return of_stream.stream(load_dataset(data, max_per_class=images), 0)

    return make


@pytest.fixture(scope="package")
def stream(make_stream):
    """Five experiences of two digits, 12 images a class."""
    return make_stream()


@pytest.fixture(scope="package")
def domains(make_stream):
    """Two experiences of all digits, the second with its pixels in another order."""
    return make_stream(4, benchmark="permuted_mnist", experiences=2)


@pytest.fixture(scope="package")
def context_for():
    """Make a context: ``context_for(stream, images=2, grows=True, seed=0, epochs=1, ...)``."""

    def make(stream, *, images=2, grows=True, seed=0, network="convnet-d1-w8-in", memory=(), retraining=(), **training):
        classes = sum(len(each.classes) for each in stream.experiences)
        return Context(
            network,
            StreamTraining(**{**TINY, **training}),
            Retraining(**{"epochs": 4, "augmentation": None, **dict(retraining)}),
            Budget.of_images(images, stream.spec, classes, grows),
            seed,
            torch.device("cpu"),
            memory,
        )

    return make


@pytest.fixture(scope="package")
def real_memory():
    """Stand for a distilled memory: the first images of every class so far, ``real_memory(stream, 2, soft=False)``."""

    def make(stream, images=2, soft=False):
        found, pictures, labels = [], [], []
        for experience in stream.experiences:
            for label in experience.classes:
                rows = (experience.train.labels == label).nonzero().flatten()[:images]
                pictures.append(experience.train.take(rows))
                labels.append(experience.train.labels[rows])
            whole, classes = torch.cat(pictures), torch.cat(labels)
            if soft:
                classes = torch.nn.functional.one_hot(classes, stream.spec.num_classes) * 0.8 + 0.02
            found.append(Kept(whole, classes, len(whole) * image_bytes(stream.spec), len(whole), 0.25))
        return found

    return make


@pytest.fixture(scope="package")
def learned(real_memory):
    """Run a strategy by its name: ``learned("naive", stream, context, **options)`` returns rows and lessons.

    A lesson is a copy of what the strategy's ``row`` was given; its learner is the one that goes on.
    """

    def run(name, stream, context, look=None, **options):
        strategy = registry().create("continual_strategies", {"name": name, **options})
        if strategy.memory == "distilled" and not context.memory:
            context = replace(context, memory=real_memory(stream))
        strategy.check(stream, context)
        row, looked = strategy.row, []

        def watched(lesson, *what):
            looked.append(None if look is None else look(lesson))
            return row(lesson, *what)

        strategy.row = watched
        return list(strategy.run(stream, context)), looked

    return run
