"""How a memory of fixed size makes room for new classes: images dropped in some order, or distilled again; resumable.

    python benchmarks/studies/continual_shrinking.py --data-root DATA [--seeds 0 1]

Fashion-MNIST in five experiences of two classes. The memory has 100 uint8 images from the start, so that a class has 50
after the first experience and 10 after the last. Then networks are trained on it alone, 300 epochs with DSA. Each seed
has its own class order, and 2,000 real images a class. ``dm``, with a number of steps for each distillation.

growing: 10 images a class distilled from real ones, for comparison, since nothing has to shrink. importance: the
product's order. lot: images drawn by lot. least: the product's order from its end. easy: images that a network trained
on the piece errs on least (arXiv:2310.14019). redistil: old pieces are distilled again after each experience, from
their own images.
"""

from __future__ import annotations

import argparse
import csv
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from table import keep
from torch import Tensor

from limbeck.data import DataSet, load_dataset
from limbeck.networks import build_network
from limbeck.plugins import registry
from limbeck.seeding import derive_seed, generator
from limbeck.training import Epochs, Progress, TrainData, fit
from limbeck_applications.continual.memory.budget import Budget
from limbeck_applications.continual.memory.distiller import Distiller, MemorySpec
from limbeck_applications.continual.memory.memory import DistilledMemory
from limbeck_applications.continual.memory.piece import Piece
from limbeck_applications.continual.settings import Retraining
from limbeck_applications.continual.strategies.distilled_gdumb import tested_on, trained
from limbeck_applications.continual.strategy import Retrained
from limbeck_applications.continual.stream import Stream

RESULTS = Path(__file__).parents[1] / "results" / "continual_shrinking.csv"
SAME_RUN = ("way", "method", "seed", "steps")
NETWORK, IMAGES = "convnet-d3-w32-in", 10
WAYS = ("growing", "importance", "lot", "least", "easy", "redistil")
LOOKS, BEST = 40, 10
"""Passes over a piece in which images are judged, and how many of them, the most accurate, count (arXiv:2310.14019)."""


def main() -> None:
    """Fill the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks/continual_shrinking"))
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--method", default="dm")
    parser.add_argument("--steps", type=int, default=200, help="updates of each distillation")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--networks", type=int, default=2)
    args = parser.parse_args()
    data = load_dataset("fashion_mnist", data_root=args.data_root, max_per_class=2000)
    for seed in args.seeds:
        stream = registry().create("continual_benchmarks", "split_fashion_mnist").stream(data, seed)
        for way in args.ways:
            if not found(way, seed, args):
                row = measured(way, seed, stream, data, args)
                keep(RESULTS, row, SAME_RUN)
                print(row, flush=True)


def found(way: str, seed: int, args: argparse.Namespace) -> bool:
    """Whether the table has the row."""
    identity = (way, args.method, str(seed), str(args.steps))
    rows = csv.DictReader(RESULTS.open()) if RESULTS.exists() else []
    return any(tuple(row[name] for name in SAME_RUN) == identity for row in rows)


def measured(way: str, seed: int, stream: Stream, data: DataSet, args: argparse.Namespace) -> dict[str, Any]:
    """Return one row: what networks learn from the memory after the last experience."""
    memory, seconds = remembered(way, seed, stream, args)
    network, kept = build_network(NETWORK, data.spec), memory.kept(data.spec)
    seeds = [derive_seed(seed, "continual_shrinking", number) for number in range(args.networks)]
    networks = [Retrained(stream, len(stream) - 1, kept, each) for each in seeds]
    result = trained(network, networks, data.spec, Retraining.model_validate({}))
    accuracies = [100 * statistics.mean(tested_on(network, state, stream)) for state in result.states]
    return {
        "way": way,
        "method": args.method,
        "seed": seed,
        "steps": args.steps,
        "images": memory.images,
        "bytes": memory.bytes,
        "networks": args.networks,
        "accuracy": f"{statistics.mean(accuracies):.2f}",
        "std": f"{statistics.pstdev(accuracies):.2f}",
        "distilling_seconds": f"{seconds:.0f}",
    }


def remembered(way: str, seed: int, stream: Stream, args: argparse.Namespace) -> tuple[DistilledMemory, float]:
    """Return the memory after the last experience, and the seconds of all distillations."""
    shrink = "redistil" if way == "redistil" else "importance"
    asked = MemorySpec.model_validate({"method": args.method, "steps": args.steps, "shrink": shrink})
    budget = Budget.of_images(IMAGES, stream.spec, stream.spec.num_classes, grows=way == "growing")
    memory = DistilledMemory(Distiller(asked, network=NETWORK, folder=args.runs / "pieces"), budget, seed)
    seconds, made = 0.0, []
    for experience in stream.experiences:
        made.append(memory.add(experience.train, experience.classes))
        seconds += memory.distilling
        print(f"  {way}, seed {seed}: {len(made)} of {len(stream)} experiences", flush=True)
    if way in ORDERS:
        memory.pieces = tuple(ordered(ORDERS[way], piece, seed) for piece in made)
    return memory, seconds


def ordered(order: Callable[[Piece, int], Tensor], piece: Piece, seed: int) -> Piece:
    """Return the part of a piece that another order keeps."""
    rows = order(piece, derive_seed(seed, "order", piece.experience))
    groups = piece.made.group[rows]
    return piece.subset(torch.cat([rows[groups == place][:IMAGES] for place in range(len(piece.classes))]))


def by_lot(piece: Piece, seed: int) -> Tensor:
    """Return the images in any order."""
    return torch.randperm(len(piece.made), generator=generator(seed, "lot"))


def least_first(piece: Piece, seed: int) -> Tensor:
    """Return the images in the product's order from its end."""
    return torch.arange(len(piece.made)).flip(0)


def easiest_first(piece: Piece, seed: int) -> Tensor:
    """Return the images by how far a network that is trained on the piece is from their labels, low errors first."""
    made, network = piece.made, build_network(NETWORK, piece.made.spec)
    images = made.normalised()
    looks: list[tuple[float, Tensor]] = []

    def look(news: Progress) -> None:
        with torch.no_grad():
            probabilities = network(news.state, images, train=False).softmax(1)
        wanted = torch.nn.functional.one_hot(made.labels, made.spec.num_classes)
        right = float((probabilities.argmax(1) == made.labels).double().mean())
        looks.append((right, (probabilities - wanted).norm(dim=1)))

    fit(
        network,
        start=[seed],
        data=TrainData(images, made.labels),
        lr=0.01,
        momentum=0.9,
        weight_decay=5e-4,
        batch_size=32,
        budget=Epochs(LOOKS),
        on_epoch=look,
    )
    best: Sequence[tuple[float, Tensor]] = sorted(looks, key=lambda found: -found[0])[:BEST]
    return torch.stack([error for _, error in best]).mean(0).argsort(stable=True)


ORDERS: dict[str, Callable[[Piece, int], Tensor]] = {"lot": by_lot, "least": least_first, "easy": easiest_first}


if __name__ == "__main__":
    main()
