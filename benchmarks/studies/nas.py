"""Architecture search: how well proxies rank, and what searchers find by one of them, on Fashion-MNIST; resumable.

    python benchmarks/studies/nas.py --data-root DATA [--only rank budgets exhaustive cells ...]

10,000 training images, and others of the training part to rank on. rank: every proxy on the 72 ConvNets, against the
table of full training that comes with Limbeck. digits: the defaults, which were chosen on that table, on other
images. published: three proxies with the images and passes of arXiv:2006.05929. budgets: what is left of a ranking at
the whole, a third and a tenth of the cost, with 3 and 10 images of each class, two seconds of distilling and 1,000
images to rank on. making: longer distilling. exhaustive: all 72 by one proxy. cells: evolution against random search;
evolution: the same with five times the evaluations, by a proxy that trains nothing. chains: growing networks against
random search. widths: learned widths and depths against random search at equal image passes. evolved: one evolution
of 200 evaluations, killed after 60 and after 130 of them and continued, its best trained on all the images.

Each case keeps its scores in a folder below --runs, where 'limbeck nas report' makes a page of them, and its tables
go to benchmarks/results/nas. The same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from limbeck.options import parse
from limbeck_applications.nas.report.page import publish
from limbeck_applications.nas.study.asked import RankSettings, SearchSettings, TruthSettings
from limbeck_applications.nas.study.audience import Audience
from limbeck_applications.nas.study.rank import rank
from limbeck_applications.nas.study.search import search
from limbeck_applications.nas.study.truth import make_truth

RESULTS = Path(__file__).parents[1] / "results" / "nas"
TABLES = ("table.csv", "groups.csv", "scores.csv")

IMAGES: dict[str, Any] = {"data": "fashion_mnist", "images": 10_000, "validation": 5_000}
FEWER: dict[str, Any] = {**IMAGES, "validation": 2_000}
DIGITS: dict[str, Any] = {"data": "digits", "images": 1_000, "validation": 300}
DISTILLED = {"name": "distilled", "method": "dm", "seconds": 30.0}
PUBLISHED = {"ipc": 10, "epochs": 100, "batch_size": 64}
CELLS: dict[str, Any] = {
    **FEWER,
    "space": {"name": "cells", "channels": 8, "cells": 3},
    "proxy": {**DISTILLED, "ipc": 5, "epochs": 30},
}
CHAINS: dict[str, Any] = {**FEWER, "proxy": DISTILLED}

SIZES = {300: {3: 10, 10: 10}, 1_000: {3: 25, 10: 10}, 3_000: {3: 25, 10: 25}}
"""Images that an architecture is trained on in all, images of each class, and images in each update."""

STOPPED = {300: (10,), 1_000: (10, 25), 3_000: (25,)}
"""Images in each update of early stopping."""


def of_budgets() -> list[dict[str, Any]]:
    """Return distilled, random and early-stopped proxies of equal cost, for each cost."""
    quick = {**DISTILLED, "seconds": 2.0}
    proxies: list[dict[str, Any]] = [{"name": "parameters"}]
    for seen, sizes in SIZES.items():
        for ipc, batch_size in sizes.items():
            few = {"ipc": ipc, "epochs": seen // (10 * ipc), "batch_size": batch_size, "lr": 0.003}
            proxies += [{**quick, **few}, {"name": "random", **few}]
        stopped = {"name": "early_stopping", "images": seen, "lr": 0.003}
        proxies += [{**stopped, "batch_size": size} for size in STOPPED[seen]]
    proxies.append({"name": "early_stopping", "images": 1_000, "lr": 0.006, "batch_size": 10})
    proxies.append({**quick, "ipc": 10, "epochs": 30, "batch_size": 10, "lr": 0.01})
    return proxies


RANKED: dict[str, dict[str, Any]] = {
    "rank": {
        **IMAGES,
        "proxies": [
            DISTILLED,
            {"name": "distilled", "method": "datadam", "seconds": 30.0},
            *({"name": name} for name in ("random", "herding", "early_stopping")),
            *({"name": name} for name in ("parameters", "flops", "synflow", "snip", "grad_norm", "jacov", "nwot")),
        ],
        "seeds": 2,
    },
    "digits": {
        **DIGITS,
        "proxies": [
            {"name": "distilled", "method": "dm", "seconds": 10.0},
            *({"name": name} for name in ("random", "early_stopping")),
            {"name": "distilled", "method": "dm", "seconds": 10.0, **PUBLISHED},
            *({"name": name, **PUBLISHED} for name in ("random", "early_stopping")),
            *({"name": name} for name in ("parameters", "synflow", "snip")),
        ],
        "seeds": 2,
    },
    "published": {
        **IMAGES,
        "proxies": [
            {**DISTILLED, **PUBLISHED},
            {"name": "random", **PUBLISHED},
            {"name": "early_stopping", **PUBLISHED},
            {"name": "early_stopping", **PUBLISHED, "schedule": "constant"},
            {"name": "parameters"},
        ],
        "seeds": 2,
    },
    "budgets": {**IMAGES, "validation": 1_000, "proxies": of_budgets(), "seeds": 3},
    "making": {
        **IMAGES,
        "validation": 1_000,
        "proxies": [{**DISTILLED, "seconds": s, "ipc": 3, "epochs": 33, "lr": 0.003} for s in (2.0, 5.0, 10.0, 30.0)],
        "seeds": 2,
    },
}
SEARCHED: dict[str, dict[str, Any]] = {
    "exhaustive": {**IMAGES, "searchers": [{"name": "exhaustive"}], "evaluations": 72, "proxy": DISTILLED},
    "cells": {**CELLS, "searchers": [{"name": "eeea"}, {"name": "random"}], "seeds": 3, "retrain": 0},
    "evolution": {
        **CELLS,
        "proxy": {"name": "snip"},
        "searchers": [{"name": "eeea"}, {"name": "random"}],
        "evaluations": 200,
        "seeds": 3,
        "retrain": 0,
    },
    "chains": {
        **CHAINS,
        "space": {"name": "chains", "widths": [8, 16, 24, 32]},
        "searchers": [{"name": "eas"}, {"name": "random"}],
        "seeds": 3,
    },
    "widths": {
        **CHAINS,
        "space": {"name": "chains", "widths": [8, 16, 24, 32], "layers": 2},
        "searchers": [{"name": "tas", "flops": 0.5}, {"name": "random", "most_flops": 12568348}],
        "evaluations": 20,
        "seeds": 3,
    },
    "evolved": {
        **CELLS,
        "proxy": {**DISTILLED, "ipc": 5, "epochs": 15},
        "searchers": [{"name": "eeea", "population": 20}],
        "evaluations": 200,
    },
}
CASES = [*RANKED, *SEARCHED]
KILLED_AFTER = (60, 130)
"""Architectures on disk after which the evolution is killed."""


class Screen(Audience):
    """A line for each step."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line with the seconds so far."""
        print(f"{time.monotonic() - self.began:6.0f} s  {text}", flush=True)

    def prepared(self, proxy: str, seed: int, made: Any) -> None:
        """Say that a proxy's images are there."""
        self.say(f"{proxy}, seed {seed}: {made.images} images, {made.seconds:.0f} s")

    def scored(self, proxy: str, seed: int, name: str, scored: Any, done: int, total: int) -> None:
        """Say now and then how far a ranking has come."""
        if done % 24 == 0 or done == total:
            self.say(f"{proxy}, seed {seed}: {done} of {total}")

    def found(self, searcher: str, seed: int, found: Any, done: int, total: int) -> None:
        """Say what a search found."""
        self.say(f"{searcher}, seed {seed}, {done} of {total}: {found.architecture.name} {found.value} {found.failed}")

    def retrained(self, searcher: str, seed: int, measured: Any) -> None:
        """Say what the best came to."""
        self.say(f"{searcher}, seed {seed}: {measured.architecture} tests {measured.test:.4f}")

    def failed(self, what: str, reason: str) -> None:
        """Say why something came to nothing."""
        self.say(f"{what}: {reason}")


def run(case: str, args: argparse.Namespace) -> None:
    """Do what is missing of a case, and keep its tables."""
    folder, told = args.runs / case, Screen()
    where = {"data_root": args.data_root, "cache": args.runs / "cache", "audience": told, "command": f"--only {case}"}
    shared: dict[str, Any] = {"device": args.device, "executor": {"name": args.executor}}
    if case == "digits":
        asked = parse(TruthSettings, {**DIGITS, "training": {"epochs": 20}, **shared}, case)
        make_truth(asked, args.runs / "truth", command=where["command"])
        shared["truth"] = str(args.runs / "truth" / "truth.csv")
    if case in RANKED:
        outcome: Any = rank(parse(RankSettings, {**RANKED[case], **shared}, case), folder, **where)
    else:
        outcome = search(parse(SearchSettings, {**SEARCHED[case], **shared}, case), folder, **where)
    publish(folder, outcome)
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        if (folder / name).exists():
            shutil.copyfile(folder / name, RESULTS / f"{case}_{name}")


def killed(args: argparse.Namespace) -> None:
    """Begin the evolution and kill it after each number of architectures; what is done already is not begun again."""
    scores = args.runs / "evolved" / "scores.jsonl"
    for number in KILLED_AFTER:
        if _lines(scores) >= number:
            continue
        command = [sys.executable, __file__, "--only", "evolved", "--runs", str(args.runs), "--device", args.device]
        command += ["--data-root", str(args.data_root)] if args.data_root else []
        worker = subprocess.Popen([*command, "--whole"])
        while worker.poll() is None and _lines(scores) < number:
            time.sleep(0.2)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        print(f"killed after {_lines(scores)} architectures", flush=True)


def _lines(path: Path) -> int:
    return len(path.read_bytes().splitlines()) if path.exists() else 0


def main() -> None:
    """Do the cases asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks/nas"))
    parser.add_argument("--only", nargs="*", choices=CASES, default=CASES)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--executor", default="serial", help="processes scores several architectures at once")
    parser.add_argument("--whole", action="store_true", help="do not kill the evolution")
    args = parser.parse_args()
    for case in args.only:
        if case == "evolved" and not args.whole:
            killed(args)
        run(case, args)


if __name__ == "__main__":
    main()
