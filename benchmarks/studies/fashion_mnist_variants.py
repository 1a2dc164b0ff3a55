"""Questions about single settings on Fashion-MNIST, each answered by runs that differ in it alone; resumable.

    python benchmarks/studies/fashion_mnist_variants.py --data-root DATA [--only attention bytes ten-minutes]

attention: exponent 1 or 4 and instance or batch norm, 10 images a class, 60 seconds each; sets made with batch norm are
also measured with instance norm. bytes: one float32 image a class beside four uint8 images. ten-minutes: the two best
methods of the comparison with ten minutes each. All with convnet-d3-w32 and 300 epochs with DSA, last epoch.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from table import keep

from limbeck.api import chosen_recipe
from limbeck.config import merge
from limbeck.configure import configure
from limbeck.data import load_dataset
from limbeck.evaluation import Evaluation, evaluate_set
from limbeck.plugins import registry
from limbeck.runs import CONFIG, Listener, resumed_config, run

RESULTS = Path(__file__).parents[1] / "results" / "fashion_mnist_variants.csv"
SAME_RUN = ("question", "variant", "seed", "network")
INSTANCE, BATCH = "convnet-d3-w32-in", "convnet-d3-w32-bn"
ALL: dict[str, Any] = {
    "data": {"name": "fashion_mnist"},
    "network": INSTANCE,
    "evaluation": {
        "protocol": {"name": "dc", "epochs": 300, "augmentation": {"name": "dsa"}},
        "networks": 3,
        "baselines": False,
    },
    "execution": {"executor": {"name": "processes", "workers": 2}},
}
QUESTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "attention": {
        f"exponent {exponent}, {network}": {
            "method": "datadam",
            "ipc": 10,
            "network": network,
            "matcher": {"exponent": exponent},
            "budget": {"seconds": 60.0},
        }
        for network in (INSTANCE, BATCH)
        for exponent in (1, 4)
    },
    "bytes": {
        "1 image as float32": {"method": "dm", "ipc": 1, "storage": "float32", "budget": {"seconds": 60.0}},
        "4 images as uint8": {"method": "dm", "ipc": 4, "storage": "uint8", "budget": {"seconds": 60.0}},
    },
    "ten-minutes": {
        f"{method}, ipc {ipc}": {"method": method, "ipc": ipc, "budget": {"seconds": 600.0}}
        for ipc in (1, 10)
        for method in ("ncfm", "idc")
    },
}


def measured(question: str, variant: str, seed: int, args: argparse.Namespace) -> Iterator[tuple[str, Evaluation, Any]]:
    """Run or resume one variant and yield its rows: network, accuracies, the set."""
    name = f"{question}-{variant}-seed{seed}".replace(" ", "-").replace(",", "")
    folder = args.runs / name
    resume = (folder / CONFIG).exists()
    asked = merge(merge(ALL, QUESTIONS[question][variant]), {"seed": seed})
    if args.threads is not None:
        asked = merge(asked, {"execution": {"threads": args.threads}})
    config = resumed_config(folder, {}) if resume else configure(profile="small", settings=asked)
    told = Listener(network=lambda label, number, accuracy: print(f"  {number}: {100 * accuracy:.2f}", flush=True))
    made = run(
        config,
        folder=folder,
        resume=resume,
        data_root=args.data_root,
        cache=args.runs / "cache",
        listener=told,
    )
    yield config.network, made.rows[0], made.synthetic
    if config.network == BATCH:
        recipe = chosen_recipe(made.synthetic, None, INSTANCE)
        data = load_dataset("fashion_mnist", data_root=args.data_root)
        executor = registry().create("executors", config.execution.executor.model_dump())
        cache = folder / "networks"
        row = evaluate_set(made.synthetic, data, recipe, networks=3, seed=seed, executor=executor, cache=cache)
        yield INSTANCE, row, made.synthetic


def main() -> None:
    """Fill the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmarks/fashion_mnist_variants"))
    parser.add_argument("--only", nargs="*", choices=QUESTIONS, default=list(QUESTIONS))
    parser.add_argument("--variant", help="only variants whose names contain this")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--threads", type=int, help="CPU threads of each run; the machine's when not given")
    args = parser.parse_args()
    for question in args.only:
        for variant, settings in QUESTIONS[question].items():
            for seed in args.seeds if (args.variant or "") in variant else []:
                print(f"{question}: {variant}, seed {seed}", flush=True)
                for network, row, made in measured(question, variant, seed, args):
                    keep(
                        RESULTS,
                        {
                            "question": question,
                            "variant": variant,
                            "method": settings["method"],
                            "ipc": settings["ipc"],
                            "seed": seed,
                            "seconds": f"{made.provenance['seconds']:.1f}",
                            "steps": made.provenance["steps"],
                            "set_bytes": made.bytes,
                            "network": network,
                            "networks": row.networks,
                            "accuracy": f"{100 * row.mean:.2f}",
                            "std": f"{100 * row.std:.2f}",
                        },
                        SAME_RUN,
                    )


if __name__ == "__main__":
    main()
