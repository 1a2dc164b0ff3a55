"""Published settings on CIFAR-10, in pieces of a few minutes: accuracy beside the published figure.

    python benchmarks/studies/cifar10_published.py --data-root DATA --device cuda --method dm [--piece 540]

Each call goes on where the last one stopped, for at most ``--piece`` seconds of distilling; the same call again
continues. A finished set is measured by the method's own protocol, and a row is written. With ``--steps`` fewer
updates are made, and with ``--reduced`` the method's settings for a CPU are taken: such rows say so and are not to be
read beside published figures.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from table import keep

from limbeck.config import RunConfig
from limbeck.configure import configure
from limbeck.distillation import checkpoint
from limbeck.distillation.run import Progress
from limbeck.environment import environment
from limbeck.execution.device import resolve_device
from limbeck.runs import CONFIG, Finished, Listener, resumed_config, run

RESULTS = Path(__file__).parents[1] / "results" / "cifar10_published.csv"
SAME_RUN = ("method", "ipc", "seed", "settings")
METHODS = ("dm", "dsa", "dcc", "dsac", "dc", "datadam", "ncfm", "idc")


def configured(args: argparse.Namespace) -> RunConfig:
    """Return the whole run."""
    settings = {
        "data": {"name": "cifar10"},
        "ipc": args.ipc,
        "seed": args.seed,
        "execution": {"device": args.device},
        "evaluation": {"networks": args.networks, "baselines": False},
        **({} if args.steps is None else {"budget": {"steps": args.steps}}),
    }
    return configure(args.method, profile="small" if args.reduced else "published", settings=settings)


def next_piece(whole: RunConfig, folder: Path, seconds: float) -> RunConfig:
    """Return the next piece: the same budget, but at most ``seconds`` more of distilling, and nothing measured."""
    found = checkpoint.load(folder)
    spent = 0.0 if found is None else found[0].seconds
    budget = whole.budget.model_copy(update={"seconds": spent + seconds})
    if (folder / CONFIG).exists():
        return resumed_config(folder, {"budget": budget.model_dump(), "evaluation": {"networks": 0}})
    return whole.model_copy(
        update={"budget": budget, "evaluation": whole.evaluation.model_copy(update={"networks": 0})}
    )


def is_finished(config: RunConfig, steps: int, num_outer: int) -> bool:
    """Whether all updates of the method's budget were made."""
    limits = [config.budget.steps, (config.budget.iterations or 0) * num_outer or None]
    return steps >= min(limit for limit in limits if limit)


def row_of(args: argparse.Namespace, finished: Finished, config: RunConfig) -> dict[str, Any]:
    """Return the finished run as a row of the table."""
    made, measured = finished.synthetic.provenance, finished.rows[0]
    is_whole = args.steps is None and not args.reduced
    published = (config.reference or {}).get("accuracy") if is_whole else None
    place = environment(str(resolve_device(args.device)))
    return {
        "method": args.method,
        "ipc": args.ipc,
        "seed": args.seed,
        "settings": "published" if is_whole else "reduced: " + "; ".join(config.deviations),
        "steps": made["steps"],
        "accuracy": f"{100 * measured.mean:.2f}",
        "std": f"{100 * measured.std:.2f}",
        "networks": measured.networks,
        "published": published or "",
        "seconds": f"{made['seconds']:.1f}",
        "seconds_per_step": f"{made['seconds'] / max(made['steps'], 1):.4f}",
        "growth_mib": f"{(made['growth'] or 0) / 2**20:.0f}",
        "device": place["cpu"] if place["device"] == "cpu" else place["device"],
        "torch": place["torch"],
    }


def main() -> None:
    """Do one piece; when it was the last one, measure the set and write its row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks/cifar10_published"))
    parser.add_argument("--method", choices=METHODS, default="dm")
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--networks", type=int, default=5)
    parser.add_argument("--piece", type=float, default=540, help="seconds of distilling in this call")
    parser.add_argument("--steps", type=int, help="fewer updates than published")
    parser.add_argument("--reduced", action="store_true", help="the settings for a CPU")
    args = parser.parse_args()
    whole = configured(args)
    folder = args.runs / f"{args.method}-ipc{args.ipc}-seed{args.seed}-{whole.profile}-{args.steps or 'all'}"
    outer: list[int] = []
    told = Listener(
        planned=lambda parts, cost: outer.append(parts.source.num_outer),
        progress=lambda news: print(said(news), flush=True) if news.step % 100 == 0 else None,
        network=lambda label, number, accuracy: print(f"  network {number}: {100 * accuracy:.2f} %", flush=True),
    )
    places = {"folder": folder, "data_root": args.data_root, "cache": args.runs / "cache", "listener": told}
    config = next_piece(whole, folder, args.piece)
    steps = run(config, resume=(folder / CONFIG).exists(), **places).synthetic.provenance["steps"]
    if not is_finished(whole, steps, outer[0]):
        print(f"{steps} steps so far; the same call again continues", flush=True)
        return
    measuring = resumed_config(folder, {"evaluation": {"networks": args.networks}})
    row = row_of(args, run(measuring, resume=True, **places), whole)
    keep(RESULTS, row, SAME_RUN)
    print(row, flush=True)


def said(news: Progress) -> str:
    """Return one line of news."""
    return f"step {news.step} of {news.total}, loss {news.loss:.4g}, {news.seconds:.0f} s"


if __name__ == "__main__":
    main()
