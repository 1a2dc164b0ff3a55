"""Digits in both of Avalanche's worlds, as a user's script would make them."""

from __future__ import annotations

import io

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset
from torchvision.transforms import Normalize

from limbeck.data import load_dataset
from limbeck_applications.continual.bridge.library import avalanche

MEAN, STD = (0.25,), (0.5,)


class Images(Dataset):
    """Pixels in [0, 1] with the attribute ``targets``."""

    def __init__(self, part, limit):
        rows = torch.cat([part.members(c)[:limit] for c in range(part.spec.num_classes)])
        self.images, self.targets = part.images[rows].float() / 255, part.labels[rows].tolist()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], self.targets[index]


@pytest.fixture(scope="session")
def digits():
    """Training and test images, 12 and 6 of each class."""
    data = load_dataset("digits")
    return Images(data.train, 12), Images(data.test, 6)


@pytest.fixture
def made(digits):
    """Make 4 + 3 + 3 classes in one of the worlds: ``made("new")``."""
    library = avalanche().benchmarks

    def make(world, train=None, evaluation=None, order=None, **options):
        train = Normalize(MEAN, STD) if train is None else train
        evaluation = Normalize(MEAN, STD) if evaluation is None else evaluation
        order = list(range(10)) if order is None else order
        if world == "new":
            groups = {"train": train, "eval": evaluation}
            parts = [
                library.utils.as_classification_dataset(part, library.utils.TransformGroups(dict(groups)))
                for part in digits
            ]
            options = options or {"num_classes_per_exp": [4, 3, 3]}
            return library.class_incremental_benchmark(
                {"train": parts[0], "test": parts[1]}, class_order=order, **options
            )
        return library.nc_benchmark(
            *digits,
            n_experiences=3,
            task_labels=options.get("task_labels", False),
            fixed_class_order=order,
            per_exp_classes={0: 4, 1: 3, 2: 3},
            train_transform=train,
            eval_transform=evaluation,
        )

    return make


def network(seed=0, classes=10):
    """A network with running statistics, from a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, classes))


@pytest.fixture
def naive():
    """Make a Naive strategy with plugins: ``naive(*plugins, model=..., epochs=1)``."""
    library = avalanche()

    def make(*plugins, model=None, epochs=1, batch=32, evaluator=None, **options):
        model = network() if model is None else model
        evaluator = quiet() if evaluator is None else evaluator
        return library.training.supervised.Naive(
            model=model,
            optimizer=torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
            criterion=nn.CrossEntropyLoss(),
            train_mb_size=batch,
            train_epochs=epochs,
            eval_mb_size=256,
            plugins=list(plugins),
            evaluator=evaluator,
            **options,
        )

    return make


@pytest.fixture
def metrics():
    """An evaluator with accuracy and forgetting, which writes to nowhere."""
    found = avalanche().evaluation.metrics
    return quiet(found.accuracy_metrics(experience=True, stream=True), found.forgetting_metrics(stream=True))


def quiet(*metrics):
    """An evaluator that writes to nowhere."""
    library = avalanche()
    return library.training.plugins.EvaluationPlugin(*metrics, loggers=[library.logging.TextLogger(io.StringIO())])
