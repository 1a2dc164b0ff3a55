"""Trajectory matching on Fashion-MNIST, exactly and truncated, beside methods without experts; row by row, resumable.

    python benchmarks/studies/trajectories.py --data-root DATA [--only mtt-exact ...] [--ipc 1 10] [--seeds 0 1 2]
    python benchmarks/studies/trajectories.py --print

A quick trial, with rows of its own:

    python benchmarks/studies/trajectories.py --data-root DATA --results trial.csv --runs runs/trial --seconds 5 \\
        --networks 1 --seeds 0 --ipc 1 --set evaluation.protocol.epochs=10 --set source.experts=2 \\
        --set source.images=1000 --set optimiser.lr_img=10 --set optimiser.syn_lr=0.004 --set optimiser.lr_lr=1e-6

Ten experts of ten epochs on 10,000 images are trained once, before the first run that follows them. ``mtt`` then has
120 seconds with either gradient, all else equal: pieces of experts' ways, minibatches and augmentation of a step are
the same. ``dm`` and ``dc`` have the experts' time on top, and all 60,000 images. All with convnet-d3-w32-in, measured
by protocol dc: 300 epochs with DSA, 5 networks, last epoch. Finished runs and rows are kept; a killed study goes on
where it was. Losses are means over the first and the last tenth of the steps; ``syn_lr`` is the students' rate before
the first step and after every tenth of them.
"""

from __future__ import annotations

import argparse
import csv
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from table import keep

from limbeck.config import RunConfig, assignments, merge
from limbeck.configure import configure
from limbeck.distillation.log import NAME, read_row
from limbeck.distillation.run import Progress
from limbeck.environment import environment
from limbeck.errors import UsageError
from limbeck.runs import CONFIG, Finished, Listener, resumed_config, run

RESULTS = Path(__file__).parents[1] / "results" / "fashion_mnist_trajectories.csv"
SAME_RUN = ("row", "ipc", "seed", "budget_seconds")
SECONDS, SEEDS = 120.0, range(10)
ALL: dict[str, Any] = {
    "data": {"name": "fashion_mnist"},
    "network": "convnet-d3-w32-in",
    "evaluation": {
        "protocol": {"name": "dc", "epochs": 300, "augmentation": {"name": "dsa"}},
        "networks": 5,
        "baselines": False,
    },
    "execution": {"executor": {"name": "processes", "workers": 2}},
}
EXPERTS = {"name": "experts", "experts": 10, "epochs": 10, "images": 10_000, "train": True}

EXPERTS_OWN = ("source.", "matcher.", "optimiser.")
"""Settings that mean nothing to methods without experts."""


@dataclass(frozen=True)
class Study:
    """One kind of run: a method, what differs from its settings for a CPU, and for how many seeds."""

    method: str
    settings: dict[str, Any]
    seeds: int
    has_experts: bool = True


STUDIES = {
    "mtt-exact": Study("mtt", {"source": EXPERTS, "matcher": {"gradient": "exact"}}, 3),
    "mtt-truncated": Study("mtt", {"source": EXPERTS, "matcher": {"gradient": "truncated"}}, 3),
    "dm": Study("dm", {}, 1, has_experts=False),
    "dc": Study("dc", {}, 1, has_experts=False),
}


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows there are."""
    return list(csv.DictReader(path.open())) if path.exists() else []


def experts_seconds(path: Path) -> float:
    """Return what the experts took, from a finished run that followed them.

    Raises:
        UsageError: there is none yet.
    """
    found = [float(row["experts_seconds"]) for row in rows(path) if row["experts_seconds"]]
    if not found:
        raise UsageError("nobody knows yet what the experts took. Run mtt-exact first.")
    return found[0]


def configured(name: str, ipc: int, seed: int, args: argparse.Namespace) -> RunConfig:
    """Return a run of the table."""
    study = STUDIES[name]
    taken = args.experts_seconds or (0 if study.has_experts else experts_seconds(args.results))
    seconds = args.seconds if study.has_experts else round(args.seconds + taken, 1)
    own = {"ipc": ipc, "seed": seed, "budget": {"seconds": seconds}, "evaluation": {"networks": args.networks}}
    changed = assignments([pair for pair in args.set if study.has_experts or not pair.startswith(EXPERTS_OWN)])
    asked = merge(merge(merge(ALL, study.settings), own), changed)
    return configure(study.method, profile="small", settings=asked)


def distil(name: str, ipc: int, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Run or resume one cell and return its row."""
    config = configured(name, ipc, seed, args)
    folder = args.runs / f"{name}-ipc{ipc}-seed{seed}-{config.budget.seconds:.0f}s"
    resume = (folder / CONFIG).exists()
    told = Listener(
        learning=lambda finished, epochs: print(f"  experts: {finished} of {epochs} epochs", flush=True),
        progress=lambda news: print(said(news), flush=True) if news.step % 50 == 0 else None,
        network=lambda label, number, accuracy: print(f"  network {number}: {100 * accuracy:.2f} %", flush=True),
    )
    finished = run(
        resumed_config(folder, {}) if resume else config,
        folder=folder,
        resume=resume,
        data_root=args.data_root,
        cache=args.runs / "cache",
        listener=told,
    )
    return {"row": name, "method": config.method, "ipc": ipc, "seed": seed, **figures(finished, config, folder)}


def said(news: Progress) -> str:
    """Return one line of news."""
    return f"  step {news.step}, loss {news.loss:.4g}, {news.seconds:.0f} s"


def figures(finished: Finished, config: RunConfig, folder: Path) -> dict[str, Any]:
    """Return what a run came to, how it went, and where."""
    made, measured = finished.synthetic.provenance, finished.rows[0]
    log = [row for row in map(read_row, (folder / NAME).read_text().splitlines()) if row is not None]
    losses, tenth = [row["loss"] for row in log], max(len(log) // 10, 1)
    place = environment("cpu")
    return {
        "budget_seconds": f"{config.budget.seconds:.1f}",
        "accuracy": f"{100 * measured.mean:.2f}",
        "std": f"{100 * measured.std:.2f}",
        "networks": measured.networks,
        "first_loss": f"{statistics.fmean(losses[:tenth]):.5g}",
        "last_loss": f"{statistics.fmean(losses[-tenth:]):.5g}",
        "syn_lr": " ".join(f"{rate:.5g}" for rate in path_of(log, config.optimiser.syn_lr)),
        "steps": made["steps"],
        "seconds": f"{made['seconds']:.1f}",
        "seconds_per_step": f"{made['seconds'] / max(made['steps'], 1):.4f}",
        "growth_mib": f"{(made['growth'] or 0) / 2**20:.0f}",
        "experts_seconds": f"{made['features_seconds']:.1f}" if made["features_seconds"] else "",
        "deviations": "; ".join(config.deviations),
        "machine": f"{place['cpu']}, {place['cores']} cores",
        "limbeck": place["limbeck"],
        "torch": place["torch"],
        "python": place["python"],
    }


def path_of(log: list[dict[str, float]], start: float | None) -> list[float]:
    """Return the students' learning rate before the first step and after each tenth of the steps."""
    rates = [row["syn_lr"] for row in log if "syn_lr" in row]
    if start is None or not rates:
        return []
    return [start, *(rates[max(round(len(rates) * tenth / 10) - 1, 0)] for tenth in range(1, 11))]


def table(found: list[dict[str, str]]) -> str:
    """Return rows as Markdown, one line for all seeds of a kind of run."""
    lines = [
        "| | ipc | seeds | seconds | accuracy | loss | syn_lr | steps | s a step | MiB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    kinds: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    for row in sorted(found, key=lambda row: (int(row["ipc"]), list(STUDIES).index(row["row"]))):
        kinds.setdefault((row["row"], row["ipc"], row["budget_seconds"]), []).append(row)
    for (name, ipc, seconds), same in kinds.items():
        cells = [name, ipc, str(len(same)), f"{float(seconds):.0f}", accuracy_of(same)]
        losses = f"{mean(same, 'first_loss'):.3f} → {mean(same, 'last_loss'):.3f}"
        cells += [losses if same[0]["syn_lr"] else "", rates_of(same), f"{mean(same, 'steps'):.0f}"]
        cells += [f"{mean(same, 'seconds_per_step'):.3f}", f"{mean(same, 'growth_mib'):.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def mean(same: list[dict[str, str]], key: str) -> float:
    """Return the mean of a column."""
    return statistics.fmean(float(row[key]) for row in same)


def accuracy_of(same: list[dict[str, str]]) -> str:
    """Return mean and standard deviation over all networks of all seeds."""
    within = statistics.fmean(float(row["std"]) ** 2 for row in same)
    between = statistics.pvariance([float(row["accuracy"]) for row in same])
    return f"{mean(same, 'accuracy'):.2f} ± {(within + between) ** 0.5:.2f}"


def rates_of(same: list[dict[str, str]]) -> str:
    """Return the learned rate at the start, halfway and at the end, the mean over seeds."""
    paths = [[float(rate) for rate in row["syn_lr"].split()] for row in same if row["syn_lr"]]
    return " → ".join(f"{statistics.fmean(path[place] for path in paths):.4f}" for place in (0, 5, 10) if paths)


def main() -> None:
    """Fill the table, row by row, or print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks/trajectories"))
    parser.add_argument("--only", nargs="*", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--ipc", type=int, nargs="*", default=[1, 10])
    parser.add_argument("--seeds", type=int, nargs="*", help="in place of those of the table")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each run with experts")
    parser.add_argument("--experts-seconds", type=float, help="what they took, where several were trained at once")
    parser.add_argument("--networks", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of 'limbeck distill'")
    parser.add_argument("--results", type=Path, default=RESULTS, help="another table")
    parser.add_argument("--print", action="store_true", help="print the rows there are as a table")
    args = parser.parse_args()
    cells = [(name, ipc, seed) for seed in SEEDS for ipc in args.ipc for name in args.only]
    for name, ipc, seed in [] if args.print else cells:
        if seed in (args.seeds or range(STUDIES[name].seeds)):
            print(f"{name}, ipc {ipc}, seed {seed}", flush=True)
            keep(args.results, distil(name, ipc, seed, args), SAME_RUN)
    print(table(rows(args.results)))


if __name__ == "__main__":
    main()
