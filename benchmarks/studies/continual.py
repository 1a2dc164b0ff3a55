"""Continual learning: every strategy at equal bytes on split Fashion-MNIST, and a published protocol; resumable.

    python benchmarks/studies/continual.py --data-root DATA [--only table long protocol] [--device cuda]

table: five experiences of two classes, 2,000 images a class, two epochs an experience, three class orders with two
seeds each; every strategy may keep the bytes of ten 8-bit images a class, and distils for 15 seconds an experience.
long: one order, two seeds, eight minutes of distilling. protocol: split CIFAR-10 by --protocol dm (arXiv:2110.04181);
as published on a GPU, reduced on a CPU (narrow network, few epochs, one order), and the rows say so.

Rows are kept as they come, a line for each stream that was learned, and the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import csv
import statistics
from pathlib import Path
from typing import Any

from table import keep

from limbeck.config import merge
from limbeck_applications.continual.protocols import deviations, preset
from limbeck_applications.continual.results import Results
from limbeck_applications.continual.study.asked import StudySettings
from limbeck_applications.continual.study.audience import Audience
from limbeck_applications.continual.study.run import run_study

RESULTS = Path(__file__).parents[1] / "results" / "continual.csv"
SAME_CELL = ("case", "device", "strategy", "memory", "order", "seed")

FASHION: dict[str, Any] = {
    "benchmark": {"name": "split_fashion_mnist"},
    "network": "convnet-d3-w32-in",
    "max_per_class": 2000,
    "images": 10,
    "training": {"epochs": 2},
    "retraining": {"epochs": 300},
}
RIVALS = ["replay_reservoir", "replay_balanced", "replay_herding", "gdumb", "er_ace", "der_pp", "icarl"]
WITHOUT_IMAGES = ["naive", "joint", "lwf", "ewc", "nearest_mean", "napa_vq"]
FROM_MEMORY = ["distilled_replay", "distilled_gdumb"]
CASES: dict[str, dict[str, Any]] = {
    "table": {
        **FASHION,
        "strategies": [*FROM_MEMORY, *RIVALS, *WITHOUT_IMAGES],
        "memories": [
            {"method": "random"},
            {"method": "dm", "seconds": 15.0},
            {"method": "dm", "seconds": 15.0, "storage": "float32"},
        ],
        "orders": 3,
        "seeds": 2,
    },
    "long": {
        **FASHION,
        "strategies": [*FROM_MEMORY, *RIVALS],
        "memories": [{"method": "random"}, {"method": "dm", "seconds": 96.0}],
        "orders": 1,
        "seeds": 2,
    },
}
REDUCED: dict[str, Any] = {
    "network": "convnet-d3-w32-in",
    "memories": [
        {"method": "random", "ipc": 20},
        {"method": "herding", "ipc": 20},
        {"method": "dm", "ipc": 20, "seconds": 30.0},
    ],
    "max_per_class": 2000,
    "retraining": {"epochs": 100},
    "orders": 1,
    "seeds": 2,
}
"""What a CPU does of the protocol in ten minutes."""


class Screen(Audience):
    """A line for each row."""

    def distilled(self, memory: str, order: int, experience: int, seconds: float) -> None:
        """Say that a piece is there."""
        print(f"  memory {memory}, order {order}, experience {experience + 1}: {seconds:.0f} s", flush=True)

    def row(self, cell: Any, position: int, row: Any) -> None:
        """Say the accuracy on what was seen."""
        seen = row.accuracies[: position + 1]
        print(f"  {cell.title}, experience {position + 1}: {100 * sum(seen) / len(seen):.2f}", flush=True)

    def failed(self, cell: Any, reason: str) -> None:
        """Say why a cell came to nothing."""
        print(f"  {cell.title}: {reason}", flush=True)


def settings_of(case: str, device: str) -> StudySettings:
    """Return what a case asks."""
    if case != "protocol":
        asked = CASES[case]
    else:
        published = preset("dm", "split_cifar10")
        asked = published if device.startswith("cuda") else merge(published, REDUCED)
    return StudySettings.model_validate({**asked, "device": device})


def printed(case: str) -> str:
    """Return a case's table as Markdown, from the lines that are kept: mean and population standard deviation."""
    lines = [line for line in csv.DictReader(RESULTS.open()) if line["case"] == case]
    groups: dict[str, list[dict[str, str]]] = {}
    for line in lines:
        name = f"`{line['strategy']}`" + (f" [{line['memory']}]" if line["memory"] else "")
        groups.setdefault(name, []).append(line)

    def spread(group: list[dict[str, str]], column: str) -> tuple[float, float]:
        values = [100 * float(line[column]) for line in group]
        return statistics.fmean(values), statistics.pstdev(values)

    rows = []
    for name, group in sorted(groups.items(), key=lambda each: -spread(each[1], "accuracy")[0]):
        (mean, std), (whole, _), (forgotten, _) = (
            spread(group, column) for column in ("accuracy", "average_incremental", "forgetting")
        )
        learning, distilling = (
            statistics.fmean(float(line[column]) for line in group) for column in ("seconds", "distilling_seconds")
        )
        size, images = (max(int(line[column]) for line in group) for column in ("bytes", "images"))
        rows.append(
            f"| {name} | {mean:.1f} ± {std:.1f} | {whole:.1f} | {forgotten:.1f} | {images:,} | {size:,} "
            f"| {learning:.0f} | {distilling:.0f} | {len(group)} |"
        )
    head = "| strategy | ACC | AIA | forgetting | images | bytes | s learning | s distilling | n |"
    return "\n".join([head, "|---" + "|---:" * 8 + "|", *rows])


def main() -> None:
    """Learn what is missing, and keep a line for each stream."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks/continual"))
    parser.add_argument("--only", nargs="*", choices=[*CASES, "protocol"], default=[*CASES, "protocol"])
    parser.add_argument("--strategies", nargs="*", help="only these")
    parser.add_argument("--orders", type=int, help="fewer class orders, to begin with")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=2, help="processes; 0 for none")
    parser.add_argument("--print", action="store_true", help="print the tables of what is kept, and learn nothing")
    args = parser.parse_args()
    if args.print:
        print("\n\n".join(f"{case}\n\n{printed(case)}" for case in args.only))
        return
    for case in args.only:
        asked = settings_of(case, args.device)
        chosen = [each for each in asked.strategies if args.strategies is None or each.name in args.strategies]
        executor = {"name": "processes", "workers": args.workers} if args.workers else {"name": "serial"}
        memories = asked.memories if any(each.name in FROM_MEMORY for each in chosen) else ()
        changes = {"strategies": chosen, "memories": memories, "executor": executor}
        changes |= {"orders": args.orders or asked.orders}
        asked = StudySettings.model_validate({**asked.model_dump(), **changes})
        print(case, flush=True)
        differs = deviations(asked) if case == "protocol" else ()
        folder = args.runs / (case if case == "protocol" else "fashion_mnist")  # the rivals' cells are shared
        outcome = run_study(asked, folder, data_root=args.data_root, audience=Screen(), deviations=differs)
        for each in Results.of(outcome).learned:
            if each.matrix.is_finished:
                reduced = "reduced" if case == "protocol" and not args.device.startswith("cuda") else ""
                known = {"case": case, "device": args.device, "note": reduced}
                keep(RESULTS, {**known, **each.record()}, SAME_CELL)


if __name__ == "__main__":
    main()
