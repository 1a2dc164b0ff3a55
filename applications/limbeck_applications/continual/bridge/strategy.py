"""Strategies of Avalanche as strategies of ours: one loop that lends generators, keeps budgets, tests and counts."""

from __future__ import annotations

import time
import warnings
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.data import RealData
from limbeck.errors import DivergenceError, LimbeckError, UsageError
from limbeck.networks import Dropout
from limbeck_applications.continual.bridge.library import avalanche, unheard
from limbeck_applications.continual.bridge.randomness import lent_generators
from limbeck_applications.continual.memory.budget import image_bytes
from limbeck_applications.continual.settings import Retraining, StreamTraining
from limbeck_applications.continual.strategy import Context, Row, Strategy
from limbeck_applications.continual.stream import Stream

PREDICTED_AT_ONCE = {"cpu": 64, "cuda": 1024}
"""Images that pass a network together where nothing is learned, by device; few stay in a processor's cache."""


@dataclass
class Lesson:
    """Where one run stands; what a strategy's hooks are given.

    Attributes:
        stream: what arrives.
        context: how it is learned.
        learner: the strategy of Avalanche that ``build`` returned.
        position: of the experience that is being learned, from 0.
    """

    stream: Stream
    context: Context
    learner: Any
    position: int = 0

    @property
    def seen(self) -> int:
        """Classes so far, this experience's included; a class that came again in another domain counts again."""
        return seen_at(self.stream, self.position)

    def images(self, extra: int = 0) -> int:
        """Return how many real images may be kept after this experience.

        Args:
            extra: bytes that are kept beside each image and its label.
        """
        return self.context.budget.images(self.seen, image_bytes(self.stream.spec) + extra)


class AvalancheStrategy(Strategy):
    """A strategy that Avalanche trains.

    Write ``build``. The benchmark it is trained on is task-aware: samples are (image, class, 0), images normalised,
    classes as the data set numbers them, one dataset an experience. The network starts from weights that all
    strategies of a seed share.
    """

    @abstractmethod
    def build(self, model: nn.Module, optimiser: Any, criterion: Any, stream: Stream, context: Context) -> Any:
        """Return a strategy of Avalanche; the global generators are lent and seeded.

        Args:
            model: the network, on ``context.device``, with its first weights.
            optimiser: SGD over its parameters, as ``context.training`` says.
            criterion: cross-entropy.
            stream: what it will learn.
            context: how. ``keywords(stream, context)`` are the arguments that all of Avalanche's strategies take.
        """

    def before(self, lesson: Lesson) -> None:
        """Prepare an experience; the global generators are lent and seeded."""
        return

    def logits(self, lesson: Lesson, images: Tensor) -> Tensor:
        """Return scores [n, C] of test images [n, ch, h, w]; the model is in eval mode, and gradients are off."""
        scores: Tensor = lesson.learner.model(images)
        return scores

    def kept(self, lesson: Lesson) -> tuple[int, int]:
        """Return the bytes that are kept after an experience, and how many images are among them."""
        return 0, 0

    def row(self, lesson: Lesson, accuracies: tuple[float, ...], seconds: float) -> Row:
        """Return the row of an experience, with what ``kept`` counts."""
        return Row(accuracies, seconds, *self.kept(lesson))

    def lower_rate(self, context: Context) -> str:
        """Return what to type for a tenth of the rate, where the weights stopped being finite numbers."""
        section = "training" if "training" in self.reads else "retraining"
        return f"--set {section}.lr={getattr(context, section).lr / 10:g}"

    def run(self, stream: Stream, context: Context) -> Iterator[Row]:
        """Learn the stream experience by experience; see the base class.

        Raises:
            DivergenceError: a weight stopped being a finite number.
        """
        benchmark = benchmark_of(stream)
        lesson = Lesson(stream, context, self._started(stream, context))
        for lesson.position, experience in enumerate(benchmark.train_stream):
            with lent_generators(context.seed_of("experience", lesson.position)), unheard():
                lend_dropout(lesson.learner.model, context.seed_of("dropout", lesson.position))
                began = time.perf_counter()
                self._learn(lesson, experience)
                seconds = time.perf_counter() - began
                accuracies = self._tested(lesson)
            yield self.row(lesson, accuracies, seconds)

    def _started(self, stream: Stream, context: Context) -> Any:
        model = fresh_network(stream, context)
        optimiser = sgd(model, context.training)
        with lent_generators(context.seed_of("build")), unheard():
            learner = self.build(model, optimiser, nn.CrossEntropyLoss(), stream, context)
        if not hasattr(learner, "train"):
            raise UsageError(
                f"'build' of the strategy '{self.name}' returned {type(learner).__name__}; it returns a strategy of "
                "Avalanche, such as Naive(model=model, ...)."
            )
        return learner

    def _learn(self, lesson: Lesson, experience: Any) -> None:
        try:
            self.before(lesson)
            lesson.learner.train(experience, eval_streams=[])
        except LimbeckError:
            raise
        except Exception:  # perhaps what a library says of numbers that are not finite
            self._require_finite(lesson)
            raise
        self._require_finite(lesson)

    def _require_finite(self, lesson: Lesson) -> None:
        if not is_finite(lesson.learner.model.parameters()):
            raise diverged(f"'{self.name}'", lesson.position, self.lower_rate(lesson.context))

    def _tested(self, lesson: Lesson) -> tuple[float, ...]:
        lesson.learner.model.eval()
        with torch.no_grad():
            return tuple(self._accuracy(lesson, each.test) for each in lesson.stream.experiences)

    def _accuracy(self, lesson: Lesson, test: RealData) -> float:
        right = torch.zeros((), dtype=torch.int64, device=test.device)
        for images, labels in test.all(at_once(test.device)):
            right += (self.logits(lesson, images).argmax(1) == labels).sum()
        return int(right) / len(test)


class Limit:
    """A plugin that ends an experience after some updates, in whatever epoch.

    Args:
        iterations: updates of each experience at most.
    """

    def __init__(self, iterations: int) -> None:
        self.iterations = iterations

    def after_training_iteration(self, strategy: Any, **_: Any) -> None:
        """Ask the strategy to stop when it has made its updates."""
        if strategy.clock.train_exp_iterations + 1 >= self.iterations:
            strategy.stop_training()


def keywords(stream: Stream, context: Context) -> dict[str, Any]:
    """Return the arguments about training that all of Avalanche's strategies take; one pass over online streams."""
    how, library = context.training, avalanche()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No loggers specified", category=UserWarning)
        silent = library.training.plugins.EvaluationPlugin()
    return {
        "train_mb_size": how.batch_size,
        "train_epochs": 1 if stream.online else how.epochs,
        "eval_mb_size": at_once(context.device),
        "device": context.device,
        "evaluator": silent,
        "plugins": [] if how.iterations is None else [Limit(how.iterations)],
    }


def sgd(model: nn.Module, how: StreamTraining | Retraining) -> torch.optim.SGD:
    """Return SGD over a model's parameters at the rate, momentum and L2 coefficient that are asked for."""
    return torch.optim.SGD(model.parameters(), lr=how.lr, momentum=how.momentum, weight_decay=how.weight_decay)


def at_once(device: torch.device) -> int:
    """Return how many images should pass a network together where nothing is learned."""
    return PREDICTED_AT_ONCE.get(device.type, PREDICTED_AT_ONCE["cpu"])


def fresh_network(stream: Stream, context: Context) -> nn.Module:
    """Return the context's network as a module, with the weights that all strategies of a seed begin with."""
    network = context.build(stream)
    generator = torch.Generator(network.device).manual_seed(context.seed_of("initial"))
    network.module.load_state_dict(network.initial(generator))
    return network.module.requires_grad_(True)


def lend_dropout(model: nn.Module, seed: int) -> None:
    """Give the dropout of a network a generator of its own for the coming experience."""
    for module in model.modules():
        if isinstance(module, Dropout):
            device = next((each.device for each in model.parameters()), torch.device("cpu"))
            module.owner = torch.Generator(device).manual_seed(seed)


def is_finite(weights: Iterable[Tensor]) -> bool:
    """Return whether all weights, of any shapes, are finite numbers."""
    return all(bool(torch.isfinite(each).all()) for each in weights)


def diverged(who: str, position: int, lower: str) -> DivergenceError:
    """Return the error for weights that are no finite numbers.

    Args:
        who: whose they are.
        position: of the experience that was learned, from 0.
        lower: what to type for a lower rate.
    """
    return DivergenceError(
        f"{who} diverged in experience {position + 1}: there are weights that are no finite numbers. "
        f"Learn slower: {lower}"
    )


def seen_at(stream: Stream, position: int) -> int:
    """Return how many classes the experiences up to ``position`` brought; those of each domain count."""
    return sum(len(each.classes) for each in stream.experiences[: position + 1])


def in_new_classes_only(strategy: str, stream: Stream) -> None:
    """Refuse a stream whose classes come again, for strategies that have no answer to that.

    Raises:
        UsageError: a domain-incremental stream.
    """
    if stream.scenario != "class":
        raise UsageError(
            f"'{strategy}' learns streams whose experiences bring new classes, but the classes of this one come again "
            "in each. Drop it from --strategies, or choose a benchmark such as split_digits."
        )


@dataclass(frozen=True)
class Arrivals:
    """What strategies ask ``experience.benchmark`` for.

    Attributes:
        n_classes: of the stream.
        n_classes_per_exp: of each experience.
        classes_order: all classes as they arrive.
    """

    n_classes: int
    n_classes_per_exp: list[int]
    classes_order: list[int]


def benchmark_of(stream: Stream) -> Any:
    """Return a task-aware benchmark of Avalanche with one dataset an experience; no class is left out.

    Args:
        stream: its ``train_stream`` and ``test_stream`` hold (normalised image, class, 0), on the CPU.
    """
    library = avalanche()
    train = [_dataset(library, each.train) for each in stream.experiences]
    test = [_dataset(library, each.test) for each in stream.experiences]
    scenarios = library.benchmarks.scenarios
    benchmark = scenarios.with_task_labels(
        scenarios.with_classes_timeline(library.benchmarks.benchmark_from_datasets(train=train, test=test))
    )
    classes = [list(each.classes) for each in stream.experiences]
    arrivals = Arrivals(stream.spec.num_classes, [len(each) for each in classes], [c for each in classes for c in each])
    for experience in (*benchmark.train_stream, *benchmark.test_stream):
        experience.benchmark = arrivals
    return benchmark


def _dataset(library: Any, real: RealData) -> Any:
    images, labels = real.normalise(real.images).cpu(), real.labels.cpu()
    make = library.benchmarks.utils._make_taskaware_tensor_classification_dataset
    return make(images, labels, targets=labels.tolist(), task_labels=0)
