"""Our metrics beside those of Avalanche's own evaluator."""

from __future__ import annotations

import io

import pytest
import torch
from sklearn.datasets import load_digits

from limbeck_applications.continual.bridge.library import avalanche
from limbeck_applications.continual.bridge.randomness import lent_generators
from limbeck_applications.continual.matrix import AccuracyMatrix

LIBRARY = avalanche()  # here, since it takes longer than a test may


def test_avalanches_own_metrics_agree():
    """A real strategy on real digits, measured by Avalanche's evaluator and by ours from its accuracies."""
    with lent_generators(3):
        results = learn_digits()
    matrix = AccuracyMatrix(
        tuple(
            tuple(v for k, v in sorted(each.items()) if k.startswith("Top1_Acc_Exp/eval_phase/test_stream"))
            for each in results
        )
    )
    assert matrix.learned == 5 and matrix.forgetting > 0.5
    last = {key.split("/")[0]: value for key, value in results[-1].items()}
    assert last["StreamForgetting"] == pytest.approx(matrix.avalanche_forgetting, abs=1e-9)
    assert last["StreamBWT"] == pytest.approx(matrix.backward_transfer, abs=1e-9)
    assert last["Top1_Acc_Stream"] == pytest.approx(matrix.accuracy, abs=0.01)  # it weighs by test images, we do not


class Digits(torch.utils.data.Dataset):
    """Some of the digits, as Avalanche takes them."""

    def __init__(self, part):
        bunch = load_digits()
        self.x = torch.tensor(bunch.images / 16).float()[part]
        self.targets = bunch.target[part].tolist()

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        return self.x[index], self.targets[index]


def learn_digits():
    """Return what Avalanche's evaluator says after each of five experiences."""
    benchmark = LIBRARY.benchmarks.nc_benchmark(
        Digits(slice(0, 600)), Digits(slice(1300, 1797)), n_experiences=5, task_labels=False, seed=0
    )
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    metrics = LIBRARY.evaluation.metrics
    strategy = LIBRARY.training.supervised.Naive(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.5),
        criterion=torch.nn.CrossEntropyLoss(),
        train_mb_size=32,
        eval_mb_size=500,
        train_epochs=2,
        evaluator=LIBRARY.training.plugins.EvaluationPlugin(
            metrics.accuracy_metrics(experience=True, stream=True),
            metrics.forgetting_metrics(stream=True),
            metrics.bwt_metrics(stream=True),
            loggers=[LIBRARY.logging.TextLogger(io.StringIO())],
        ),
    )
    results = []
    for experience in benchmark.train_stream:
        strategy.train(experience)
        results.append(dict(strategy.eval(benchmark.test_stream)))
    return results
