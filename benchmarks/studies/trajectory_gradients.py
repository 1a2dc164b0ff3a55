"""How far the truncated gradient of trajectory matching is from the exact one, on Fashion-MNIST and real experts.

    python benchmarks/studies/trajectory_gradients.py --data-root DATA --buffer FOLDER
    python benchmarks/studies/trajectory_gradients.py --print

FOLDER is a buffer of convnet-d3-w32-in (``limbeck experts list`` shows it, and the study of trajectories leaves one in
its cache). Ten real images, one a class, without augmentation; students of N updates at rate alpha go from an expert's
weights after an epoch to those two epochs on. For each: the length of the truncated gradient over that of the exact one
at the images, their cosine, the distance between them over the exact one's length, and the truncated gradient at alpha
over the exact one. A minute on a core.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import torch
from table import keep
from torch import Tensor

from limbeck.data import RealData, load_dataset
from limbeck.experts import Buffer, ExpertTrajectories
from limbeck.matching import Chunks, MatcherContext, Segment, StepContext, TrajectoryMatcher
from limbeck.networks import FunctionalNetwork, build_network
from limbeck.seeding import generator

RESULTS = Path(__file__).parents[1] / "results" / "fashion_mnist_trajectory_gradients.csv"
SAME_RUN = ("start", "updates", "rate")
STARTS, UPDATES, RATES = (0, 5), (1, 5, 10, 30, 50), (0.001, 0.01, 0.05, 0.1)


class From(TrajectoryMatcher):
    """Follows the first expert for two epochs."""

    start = 0

    def segment(self, trajectories: object, step: StepContext, generator: torch.Generator) -> Segment:
        """Return where that begins and ends."""
        return Segment(0, self.start, self.start + 2)


class Students:
    """What students learn: the same images in every update."""

    def __init__(self, images: Tensor, labels: Tensor, rate: float) -> None:
        self.images, self.labels = images.clone().requires_grad_(), labels
        self.rate = torch.tensor(rate).requires_grad_()

    def students(
        self, steps: int, size: int | None, relabel: object = None
    ) -> list[Callable[[], tuple[Tensor, Tensor]]]:
        """Return all images, for every update."""
        return [lambda: (self.images, self.labels)] * steps

    def syn_lr(self) -> Tensor:
        """Return the students' rate."""
        return self.rate


def gradients(
    kind: str, start: int, updates: int, rate: float, network: FunctionalNetwork, experts: Any, real: tuple[Any, Any]
) -> tuple[Tensor, Tensor]:
    """Return the gradient of one kind at the images and at the rate."""
    matcher = From(From.Options.model_validate({"steps": updates, "gradient": kind}))
    matcher.name, matcher.start = "from", start
    matcher.prepare(MatcherContext(network, 10, 10, generator(0, "matcher"), num_images=10, trajectories=experts))
    batches: Any = Students(*real, rate)
    matcher.engine(network, Chunks(10, 10)).accumulate(batches, {}, StepContext(0, 0, 1, 0), range(10))
    return batches.images.grad.flatten(), batches.rate.grad


def one_a_class(real: RealData) -> tuple[Tensor, Tensor]:
    """Return the first image of every class, and the classes."""
    labels = torch.arange(real.spec.num_classes)
    first = torch.stack([torch.nonzero(real.labels == label)[0, 0] for label in labels])
    return real.take(first), labels


def table() -> str:
    """Return cosines and distances as Markdown: a line for each number of updates, a column for each rate."""
    rows = list(csv.DictReader(RESULTS.open()))
    lines = [
        "| start | N | " + " | ".join(f"α = {rate:g}" for rate in RATES) + " |",
        "|---|---" + "|---" * len(RATES) + "|",
    ]
    for start, updates in product(STARTS, UPDATES):
        same = [row for row in rows if (row["start"], row["updates"]) == (str(start), str(updates))]
        cells = [f"{float(row['cosine']):.3f}, {float(row['distance']):.2f}" for row in same]
        lines.append("| " + " | ".join([str(start), str(updates), *cells]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure all students, and keep their rows; or print what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--buffer", type=Path)
    parser.add_argument("--print", action="store_true", help="print cosines and distances as a table")
    args = parser.parse_args()
    if args.print:
        print(table())
        return
    if args.buffer is None:
        parser.error("--buffer FOLDER names the experts")
    data = load_dataset("fashion_mnist", data_root=args.data_root)
    network = build_network("convnet-d3-w32-in", data.spec, torch.device("cpu"))
    buffer = Buffer.load(args.buffer)
    experts = ExpertTrajectories(buffer, network, 1, buffer.epochs_of(0))
    real = one_a_class(data.train)
    for start, updates, rate in product(STARTS, UPDATES, RATES):
        (exact, at_rate), (short, short_at_rate) = (
            gradients(kind, start, updates, rate, network, experts, real) for kind in ("exact", "truncated")
        )
        row = {
            "start": start,
            "updates": updates,
            "rate": rate,
            "length": f"{short.norm() / exact.norm():.4f}",
            "cosine": f"{torch.cosine_similarity(short, exact, dim=0):.5f}",
            "distance": f"{(short - exact).norm() / exact.norm():.4f}",
            "rate_ratio": f"{short_at_rate / at_rate:.4f}",
        }
        keep(RESULTS, row, SAME_RUN)
    print(table())


if __name__ == "__main__":
    main()
