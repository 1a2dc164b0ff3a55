"""Trajectory matching on CIFAR-10 with the published network, in pieces of a few minutes; made for a GPU.

    python benchmarks/studies/cifar10_trajectories.py --data-root DATA --device cuda [--piece 540]

Each call goes on where the last one stopped, for about ``--piece`` seconds: first the experts, then steps; the same
call again continues. A finished set is measured by the method's own protocol, and a row is written. Published are 100
experts and 5,000 steps; with fewer, the row says that it is reduced and is not to be read beside published figures. On
a CPU, this goes through all of it in a minute or two:

    python benchmarks/studies/cifar10_trajectories.py --data-root DATA --device cpu --small --experts 2 \\
        --expert-epochs 3 --steps 3 --networks 1 --set source.images=512 --set evaluation.protocol.epochs=5 \\
        --set optimiser.lr_img=1 --set optimiser.syn_lr=0.004 --set optimiser.lr_lr=1e-6

Where all of CIFAR-10 is too much to carry, ``--file PART.npz`` takes a part of it (see the data set ``tensors``); the
settings stay those for CIFAR-10, whitening included.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cifar10_published import is_finished, next_piece, said
from table import keep
from trajectories import path_of

from limbeck.config import RunConfig, assignments, merge
from limbeck.configure import configure
from limbeck.distillation.log import NAME, read_row
from limbeck.environment import environment
from limbeck.execution.device import resolve_device
from limbeck.runs import CONFIG, Finished, Listener, resumed_config, run

RESULTS = Path(__file__).parents[1] / "results" / "cifar10_trajectories.csv"
SAME_RUN = ("method", "gradient", "ipc", "seed", "settings")
METHODS = ("mtt", "tesla", "datm")
LEAST = 20.0
"""Seconds of distilling that are worth starting a run for."""


def settings_of(args: argparse.Namespace) -> list[str]:
    """Return what differs from the published settings, as it is typed after ``--set``."""
    whole = configure(args.method, profile=profile_of(args), settings={"data": "cifar10", "ipc": args.ipc})
    asked = []
    if args.file is not None:
        asked = [f"data.path={args.file.absolute()}", f"data.preprocessing={whole.data.preprocessing}"]
    asked += [] if args.gradient is None else [f"matcher.gradient={args.gradient}"]
    asked += [] if args.experts is None else [f"source.experts={args.experts}"]
    if args.expert_epochs is not None and whole.matcher is not None:
        last = args.expert_epochs - whole.matcher.options().get("expert_epochs", 2) + 1
        asked += [f"source.epochs={args.expert_epochs}", f"matcher.max_start={last}"]
    return [*asked, *args.set]


def data_of(args: argparse.Namespace) -> str:
    """Return the name of the data set."""
    return "cifar10" if args.file is None else "tensors"


def profile_of(args: argparse.Namespace) -> str:
    """Return whose settings are taken: the paper's, or those for a CPU."""
    return "small" if args.small else "published"


def configured(args: argparse.Namespace) -> RunConfig:
    """Return the whole run."""
    own: dict[str, Any] = {
        "data": {"name": data_of(args)},
        "ipc": args.ipc,
        "seed": args.seed,
        "execution": {"device": args.device},
        "evaluation": {"networks": args.networks, "baselines": False},
        "budget": {"steps": args.steps},
    }
    return configure(args.method, profile=profile_of(args), settings=merge(own, assignments(settings_of(args))))


def has_experts(args: argparse.Namespace, seconds: float) -> bool:
    """Train experts for at most so many seconds, by the command a user would type; say whether all are there.

    Raises:
        CalledProcessError: the command failed.
    """
    words = [sys.executable, "-m", "limbeck", "experts", "train", "--method", args.method, "--data", data_of(args)]
    words += ["--ipc", str(args.ipc), "--seed", str(args.seed), "--profile", profile_of(args), "--device", args.device]
    words += ["--data-root", str(args.data_root), *(word for pair in settings_of(args) for word in ("--set", pair))]
    words += ["--set", f"execution.executor={{name: processes, workers: {args.workers}}}"] if args.workers > 1 else []
    training = subprocess.Popen(words, env={**os.environ, "LIMBECK_CACHE": str(cache_of(args))})
    try:
        status = training.wait(seconds)
    except subprocess.TimeoutExpired:
        training.send_signal(signal.SIGINT)
        training.wait()
        return False
    if status:
        raise subprocess.CalledProcessError(status, words)
    return True


def cache_of(args: argparse.Namespace) -> Path:
    """Return where experts are kept."""
    folder: Path = args.runs / "cache"
    return folder.absolute()


def row_of(args: argparse.Namespace, finished: Finished, config: RunConfig, folder: Path) -> dict[str, Any]:
    """Return the finished run as a row of the table."""
    made, measured = finished.synthetic.provenance, finished.rows[0]
    log = [row for row in map(read_row, (folder / NAME).read_text().splitlines()) if row is not None]
    is_whole = not config.deviations and args.file is None
    place = environment(str(resolve_device(args.device)))
    matcher = {} if config.matcher is None else config.matcher.options()
    return {
        "method": args.method,
        "gradient": matcher.get("gradient", "exact"),
        "ipc": args.ipc,
        "seed": args.seed,
        "settings": "published" if is_whole else "reduced: " + "; ".join(config.deviations),
        "steps": made["steps"],
        "accuracy": f"{100 * measured.mean:.2f}",
        "std": f"{100 * measured.std:.2f}",
        "networks": measured.networks,
        "published": ((config.reference or {}).get("accuracy") if is_whole else None) or "",
        "last_loss": f"{sum(row['loss'] for row in log[-100:]) / len(log[-100:]):.5g}",
        "syn_lr": " ".join(f"{rate:.5g}" for rate in path_of(log, config.optimiser.syn_lr)),
        "seconds": f"{made['seconds']:.1f}",
        "seconds_per_step": f"{made['seconds'] / max(made['steps'], 1):.4f}",
        "growth_mib": f"{(made['growth'] or 0) / 2**20:.0f}",
        "experts_seconds": f"{made['features_seconds']:.1f}",
        "device": place["cpu"] if place["device"] == "cpu" else place["device"],
        "torch": place["torch"],
        "limbeck": place["limbeck"],
    }


def main() -> None:
    """Do one piece; when it was the last one, measure the set and write its row."""
    args = parse()
    deadline = time.perf_counter() + args.piece
    whole, again = configured(args), "the same call again continues"
    if not has_experts(args, args.piece):
        print(f"experts are not all there yet; {again}", flush=True)
        return
    folder = args.runs / "-".join(
        map(str, (args.method, args.gradient or "own", f"ipc{args.ipc}", args.seed, whole.profile))
    )
    told = Listener(
        progress=lambda news: print(said(news), flush=True) if news.step % 100 == 0 else None,
        network=lambda label, number, accuracy: print(f"  network {number}: {100 * accuracy:.2f} %", flush=True),
    )
    places = {"folder": folder, "data_root": args.data_root, "cache": cache_of(args), "listener": told}
    config = next_piece(whole, folder, max(deadline - time.perf_counter(), LEAST))
    steps = run(config, resume=(folder / CONFIG).exists(), **places).synthetic.provenance["steps"]
    if not is_finished(whole, steps, 1):
        print(f"{steps} steps so far; {again}", flush=True)
        return
    measuring = resumed_config(folder, {"evaluation": {"networks": args.networks}})
    row = row_of(args, run(measuring, resume=True, **places), whole, folder)
    keep(args.results, row, SAME_RUN)
    print(row, flush=True)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks/cifar10_trajectories"))
    parser.add_argument("--results", type=Path, default=RESULTS, help="another table")
    parser.add_argument("--file", type=Path, help=".npz of a part of CIFAR-10, in place of all of it")
    parser.add_argument("--method", choices=METHODS, default="mtt")
    parser.add_argument("--gradient", choices=["exact", "truncated", "unrolled"], help="the method's when not given")
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--networks", type=int, default=5)
    parser.add_argument("--experts", type=int, default=20)
    parser.add_argument("--expert-epochs", type=int, help="fewer than the method looks at; students start earlier")
    parser.add_argument("--workers", type=int, default=1, help="experts trained at once")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--small", action="store_true", help="the settings for a CPU")
    parser.add_argument("--piece", type=float, default=540, help="seconds of this call")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of 'limbeck distill'")
    return parser.parse_args()


if __name__ == "__main__":
    main()
