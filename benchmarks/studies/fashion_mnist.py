"""DM and DC on Fashion-MNIST with a narrow network: accuracy and seconds a step, row by row, resumable.

    python benchmarks/studies/fashion_mnist.py --data-root DATA [--runs DIR] [--only dm-short ...]

Finished runs and rows are kept; a killed study goes on where it was. DM and its random rows are evaluated with
siamese augmentation's per-image form, DC without augmentation; 300 epochs, 5 networks, last epoch.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from limbeck.configure import configure
from limbeck.evaluation import load_rows
from limbeck.runs import Listener, resumed_config, run

RESULTS = Path(__file__).parents[1] / "results" / "fashion_mnist.csv"
FIELDS = (
    "row",
    "method",
    "ipc",
    "steps",
    "seed",
    "trained_on",
    "accuracy",
    "std",
    "networks",
    "seconds",
    "seconds_per_step",
)
"""``seconds_per_step`` is the median over the run's looks at the losses, ten steps each."""


@dataclass(frozen=True)
class Study:
    """One run of the table."""

    method: str
    ipc: int
    steps: int
    seeds: tuple[int, ...]


STUDIES = {
    "dm-short": Study("dm", 10, 400, (0, 1)),
    "dm-long": Study("dm", 10, 4000, (0,)),
    "dc-short": Study("dc", 1, 300, (0, 1)),
    "dc-long": Study("dc", 1, 2500, (0,)),
    "dc-ten-minutes": Study("dc", 1, 3750, (0,)),
}


def seconds_per_step(folder: Path) -> float:
    """Return the median pace of a run from its log."""
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    looks = sorted({row["seconds"]: row["step"] for row in rows}.items())
    paces = [(t - s) / (b - a) for (s, a), (t, b) in pairwise(looks) if t > s]
    return statistics.median(paces)


def distil(name: str, study: Study, seed: int, runs: Path, data_root: Path) -> list[dict[str, object]]:
    """Run or resume one cell and return its rows."""
    folder = runs / f"{name}-seed{seed}"
    first = seed == study.seeds[0] and name.endswith("short")
    settings = {
        "data": {"name": "fashion_mnist"},
        "ipc": study.ipc,
        "seed": seed,
        "budget": {"iterations": study.steps},
        "evaluation": {"networks": 5, "baselines": ["random"] if first else False},
    }
    resume = (folder / "config.yaml").exists()
    config = resumed_config(folder, {}) if resume else configure(study.method, profile="small", settings=settings)
    listener = Listener(row=lambda row: print(f"  {row.label}: {row.mean:.4f} ± {row.std:.4f}", flush=True))
    finished = run(config, folder=folder, resume=resume, data_root=data_root, cache=runs / "cache", listener=listener)
    seconds = float(finished.synthetic.provenance["seconds"])
    return [
        {
            "row": name,
            "method": study.method,
            "ipc": study.ipc,
            "steps": study.steps,
            "seed": seed,
            "trained_on": row.label,
            "accuracy": f"{100 * row.mean:.2f}",
            "std": f"{100 * row.std:.2f}",
            "networks": row.networks,
            "seconds": f"{seconds:.1f}" if row.label == "synthetic" else "",
            "seconds_per_step": f"{seconds_per_step(folder):.4f}" if row.label == "synthetic" else "",
        }
        for row in load_rows(folder)
    ]


def main() -> None:
    """Fill the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks/fashion_mnist"))
    parser.add_argument("--only", nargs="*", choices=STUDIES, default=list(STUDIES))
    args = parser.parse_args()
    kept = list(csv.DictReader(RESULTS.open())) if RESULTS.exists() else []
    for name in args.only:
        for seed in STUDIES[name].seeds:
            print(f"{name} seed {seed}", flush=True)
            rows = distil(name, STUDIES[name], seed, args.runs, args.data_root)
            kept = [row for row in kept if (row["row"], str(row["seed"])) != (name, str(seed))] + rows
            with RESULTS.open("w", newline="") as stream:
                writer = csv.DictWriter(stream, FIELDS)
                writer.writeheader()
                writer.writerows(kept)


if __name__ == "__main__":
    main()
