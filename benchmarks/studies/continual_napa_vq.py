"""What the parts of NAPA-VQ bring: all of it, without its neighbour term, and without its prototypes; resumable.

    python benchmarks/studies/continual_napa_vq.py --data-root DATA [--seeds 0 1 2]

Fashion-MNIST as the paper splits its sets: half of the classes first, the others one at a time. Of each class 100
training and 200 test images, 12 epochs an experience, a ConvNet of depth 3 and width 16. Each seed has its own class
order and its own first weights. Coding vectors begin as in the paper (``normal``), or at the mean features of their
images; ``standardised``, the strategy's default, also divides features by the deviation that they begin with.
"""

from __future__ import annotations

import argparse
import csv
import statistics
from pathlib import Path
from typing import Any

import torch
from table import keep

from limbeck.data import DataSet, load_dataset
from limbeck.plugins import registry
from limbeck_applications.continual.bridge.randomness import lent_generators
from limbeck_applications.continual.memory.budget import Budget
from limbeck_applications.continual.settings import Retraining, StreamTraining
from limbeck_applications.continual.strategy import Context, Row, Strategy
from limbeck_applications.continual.stream import Stream

RESULTS = Path(__file__).parents[1] / "results" / "continual_napa_vq.csv"
SAME_RUN = ("parts", "start", "seed", "images", "epochs")
NETWORK = "convnet-d3-w16-in"
TESTED = 200
STARTS: dict[str, dict[str, Any]] = {
    "normal": {"start": "normal", "standardise": False},
    "features": {"start": "features", "standardise": False},
    "standardised": {"start": "features", "standardise": True},
}
PARTS: dict[str, dict[str, Any]] = {
    "all": {},
    "no neighbour term": {"neighbourhood": False},
    "no prototypes": {"prototypes": False},
}


def main() -> None:
    """Fill the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--starts", nargs="*", choices=STARTS, default=list(STARTS))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=100, help="real images of each class")
    parser.add_argument("--epochs", type=int, default=12)
    args = parser.parse_args()
    whole = load_dataset("fashion_mnist", data_root=args.data_root, max_per_class=args.images)
    tested = torch.cat([whole.test.members(c)[:TESTED] for c in range(whole.spec.num_classes)])
    data = DataSet(whole.spec, whole.train, whole.test.subset(tested))
    benchmark = registry().create("continual_benchmarks", {"name": "split_fashion_mnist", "experiences": 6, "first": 5})
    for start in args.starts:
        for seed in args.seeds:
            stream = benchmark.stream(data, seed)
            for parts in args.parts:
                known = {"parts": parts, "start": start, "seed": seed, "images": args.images, "epochs": args.epochs}
                if not found(known):
                    row = known | measured(stream, seed, args.epochs, {**STARTS[start], **PARTS[parts]})
                    keep(RESULTS, row, SAME_RUN)
                    print(row, flush=True)


def found(known: dict[str, Any]) -> bool:
    """Whether the table has the row."""
    rows = csv.DictReader(RESULTS.open()) if RESULTS.exists() else []
    return any(all(row[name] == str(known[name]) for name in SAME_RUN) for row in rows)


def measured(stream: Stream, seed: int, epochs: int, options: dict[str, Any]) -> dict[str, Any]:
    """Return what it came to after the last experience, and on average over experiences."""
    strategy: Strategy = registry().create("continual_strategies", {"name": "napa_vq", **options})
    budget = Budget.of_images(10, stream.spec, stream.spec.num_classes)
    training = StreamTraining.model_validate({"epochs": epochs})
    context = Context(NETWORK, training, Retraining.model_validate({}), budget, seed, torch.device("cpu"))
    strategy.check(stream, context)
    with lent_generators(seed):
        rows = list(strategy.run(stream, context))
    course = [seen(row, position, stream) for position, row in enumerate(rows)]
    return {
        "accuracy": f"{100 * course[-1]:.2f}",
        "average_incremental": f"{100 * statistics.mean(course):.2f}",
        "first_half": f"{100 * rows[-1].accuracies[0]:.2f}",
        "bytes": rows[-1].bytes,
        "seconds": f"{sum(row.seconds for row in rows):.0f}",
    }


def seen(row: Row, position: int, stream: Stream) -> float:
    """Return the accuracy on all test images of the classes so far, of which an experience has more or fewer."""
    sizes = [len(each.test) for each in stream.experiences[: position + 1]]
    return sum(size * value for size, value in zip(sizes, row.accuracies, strict=False)) / sum(sizes)


if __name__ == "__main__":
    main()
