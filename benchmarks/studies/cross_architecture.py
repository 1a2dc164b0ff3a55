"""How far a set carries: DM on Fashion-MNIST, ten images a class, measured on networks it was not made with.

Runs the commands a user would type, prints them, and continues where it was stopped: the distillation from its
checkpoint, the table without the networks that are finished.

    python benchmarks/studies/cross_architecture.py --data-root DIR                     the pool 'cross', on a CPU
    python benchmarks/studies/cross_architecture.py --data-root DIR --device cuda --pool batch_norm --networks 5
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from limbeck.cli import main as limbeck


def main() -> int:
    """Distil once, then measure the pool; return the exit status of the first command that failed."""
    options = parse()
    run = options.out
    where = ["--data-root", options.data_root] if options.data_root else []
    made = ["--method", "dm", "--data", options.data, "--ipc", "10", "--profile", "small", "--networks", "0"]
    made += ["--steps", options.steps, "--out", run]
    resumed = ["--resume", run, "--steps", options.steps, "--networks", "0"]
    protocol = ["--protocol", "dc", "--set", f"epochs={options.epochs}", "--set", "augmentation=dsa"]
    distil = ["distill", *(resumed if (run / "config.yaml").exists() else made), "--device", options.device, *where]
    measure = ["evaluate", run, "--pool", options.pool, "--networks", options.networks, "--device", options.device]
    for command in (distil, [*measure, *(protocol if options.epochs else []), *where]):
        words = [str(word) for word in command]
        print(shlex.join(["limbeck", *words]))
        if status := limbeck(words):
            return status
    return 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default="fashion_mnist")
    parser.add_argument("--data-root")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--pool", default="cross", help="see 'limbeck list pools'")
    parser.add_argument("--networks", default="1,mlp=3,convnet=3,lenet=3", help="as of 'limbeck evaluate --networks'")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--epochs", type=int, help="in place of the recipe's 300")
    parser.add_argument("--out", type=Path, default=Path("runs/cross-architecture"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
