"""Seconds a candidate of an architecture search, trained in six ways in one run, and how far their logits lie apart.

    python benchmarks/nas_candidates.py [--device cuda] [--data fashion_mnist --data-root DATA] [--networks 8]

Some ConvNets of ``convnet72`` are trained on a few real images, each from several seeds, by

    loop       the straightforward way: ``nn.Module`` layers, ``torch.optim.SGD``, one network after another
    fit        one call of the trainer for each structure, its networks one after another
    nudged     the same from first weights that are each off by a rounding unit, one part in eight million
    stacked    as ``fit``, a structure's networks in one pass
    serial     the application's scoring, structure after structure
    processes  the same by the executor of that name, with two workers whose start counts

All begin with the same weights, see the same batches and end in logits for the images that rank them; the application's
keep the first network of each structure. All test each network on these images. ``cpu_seconds`` are those of all
processes together, which tell more on a machine that is busy with other things.

``logits`` are differences from ``fit``, of the median network and of the worst. Where a ReLU's input or the choice of a
maximum lies within rounding of the other side, a network goes its own way from there; ``nudged`` shows that it does so
without any stack.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.execution.device import keep_freed_memory
from limbeck.execution.executors import Executor
from limbeck.networks import FunctionalNetwork, State
from limbeck.plugins import registry
from limbeck.seeding import derive_seed, generator
from limbeck.training import Cosine, Epochs, accuracy, fit
from limbeck_applications.nas.candidates.job import network_of
from limbeck_applications.nas.candidates.kept import Scores
from limbeck_applications.nas.candidates.scoring import Asked, Scorer
from limbeck_applications.nas.proxies.trained import TrainedProxy
from limbeck_applications.nas.space import Architecture
from limbeck_applications.nas.study.asked import ProblemSettings
from limbeck_applications.nas.study.images import Images, images_of

RESULTS = Path(__file__).parent / "results"
ARCHITECTURES = (
    "d2-w32-instance-relu-avg",
    "d2-w16-batch-relu-max",
    "d3-w16-nonorm-relu-avg",
    "d1-w32-nonorm-relu-max",
)

Key = tuple[str, int]
"""An architecture's name and the number of its network."""
Found = dict[Key, State]
"""Trained weights."""
Logits = dict[Key, Tensor]
"""For the images that rank."""


class Case:
    """The same images, architectures and seeds for all ways.

    Args:
        images: what is ranked on.
        args: of the command.
        folder: for what the application keeps.
    """

    def __init__(self, images: Images, args: argparse.Namespace, folder: Path) -> None:
        self.images, self.args, self.folder = images, args, folder
        self.spec = {
            "name": "random",
            "ipc": args.ipc,
            "epochs": args.epochs,
            "networks": args.networks,
            "augmentation": None,
        }
        scorer = self.scorer(registry().create("executors", "serial"), "prepared")
        assert isinstance(scorer.proxy, TrainedProxy)
        self.prepared, self.lesson = scorer.prepared, scorer.proxy.lesson(scorer.prepared, images.device)
        self.validation = images.problem.validation.seen_as(self.lesson.spec)
        self.architectures = [images.space.find(name) for name in args.architectures]
        first = derive_seed(0, "nas", "candidate")
        self.seeds = [first, *(derive_seed(first, "network", number) for number in range(1, args.networks))]

    def scorer(self, executor: Executor, name: str) -> Scorer:
        """Return the application's scoring, which keeps trained weights in a folder of its own."""
        folder = self.folder / name
        return Scorer(self.images, self.spec, folder, Scores(folder), executor, weights=True)

    def network(self, architecture: Architecture) -> FunctionalNetwork:
        """Build an architecture."""
        return network_of(self.images.space, architecture, self.images.problem.spec, self.images.device)

    def starts(self, network: FunctionalNetwork) -> list[State]:
        """Draw each network's first weights."""
        return [network.initial(generator(seed, "init", device=self.images.device)) for seed in self.seeds]

    @staticmethod
    def nudged(state: State) -> State:
        """Return weights that are each larger or smaller by a rounding unit, by lot."""
        draw = generator(0, "nudge", device=next(iter(state.values())).device)
        signs = {
            key: torch.empty_like(value).uniform_(-1, 1, generator=draw).sign()
            for key, value in state.items()
            if value.is_floating_point()
        }
        return {key: value * (1 + 2**-23 * signs[key]) if key in signs else value for key, value in state.items()}

    def logits(self, network: FunctionalNetwork, state: State) -> Tensor:
        """Predict the ranking images."""
        every = torch.arange(len(self.validation), device=self.images.device)
        with torch.no_grad():
            parts = [network(state, self.validation.take(part), train=False) for part in every.split(500)]
        return torch.cat(parts)


def by_fit(case: Case, *, stacked: bool, passes: int | None = None, is_nudged: bool = False) -> Found:
    """Train each structure's networks in one call of the trainer."""
    found: Found = {}
    for architecture in case.architectures:
        network, training = case.network(architecture), case.lesson.training
        result = fit(
            network,
            start=[case.nudged(state) if is_nudged else state for state in case.starts(network)],
            seeds=case.seeds,
            data=case.lesson.data,
            lr=training.lr,
            momentum=training.momentum,
            weight_decay=training.weight_decay,
            batch_size=training.batch_size,
            schedule=Cosine(),
            budget=Epochs(passes or training.epochs),
            eval_sets={"validation": case.validation},
            stacked=stacked,
        )
        found |= {(architecture.name, number): state for number, state in enumerate(result.states)}
    return found


def by_loop(case: Case, *, passes: int | None = None) -> Found:
    """Train as scripts do: modules, PyTorch's optimiser as it comes, one network after another."""
    found: Found = {}
    for architecture in case.architectures:
        network = case.network(architecture)
        for number, (seed, start) in enumerate(zip(case.seeds, case.starts(network), strict=True)):
            found[architecture.name, number] = trained_plainly(
                case, network, seed, start, passes or case.lesson.training.epochs
            )
            accuracy(network, found[architecture.name, number], case.validation)
    return found


def trained_plainly(case: Case, network: FunctionalNetwork, seed: int, start: State, epochs: int) -> State:
    """Train one network; only order and first weights come from the library."""
    training, data, device = case.lesson.training, case.lesson.data, case.images.device
    module = network.module.train().requires_grad_(True)
    module.load_state_dict(start)
    options = {"lr": training.lr, "momentum": training.momentum, "weight_decay": training.weight_decay}
    optimiser = torch.optim.SGD(module.parameters(), **options)
    draw = generator(seed, "train", device=device)
    for epoch in range(epochs):
        optimiser.param_groups[0]["lr"] = training.lr * 0.5 * (1 + math.cos(math.pi * epoch / epochs))
        for index in torch.randperm(len(data), generator=draw, device=device).split(training.batch_size):
            optimiser.zero_grad()
            nn.functional.cross_entropy(module(data.take(index)), data.labels[index]).backward()
            optimiser.step()
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def by_application(case: Case, executor: str, **options: Any) -> Found:
    """Score through the application and read the weights that it kept."""
    scorer = case.scorer(registry().create("executors", {"name": executor, **options}), executor)
    asked = [Asked(architecture) for architecture in case.architectures]
    failed = [each.failed for each in scorer.score(asked) if each.failed]
    if failed:
        raise RuntimeError(failed[0])
    return {(each.architecture.name, 0): scorer.state(each) for each in asked}


def measured(case: Case) -> list[dict[str, Any]]:
    """Return a row for each way: seconds a network, and the largest difference of a logit from ``fit``'s."""
    ways: dict[str, Callable[[], Found]] = {
        "loop": lambda: by_loop(case),
        "fit": lambda: by_fit(case, stacked=False),
        "nudged": lambda: by_fit(case, stacked=False, is_nudged=True),
        "stacked": lambda: by_fit(case, stacked=True),
        "serial": lambda: by_application(case, "serial"),
        "processes": lambda: by_application(case, "processes", workers=2),
    }
    by_loop(case, passes=1)
    by_fit(case, stacked=True, passes=1)
    networks = {each.name: case.network(each) for each in case.architectures}
    seconds, cpu_seconds, logits = dict[str, float](), dict[str, float](), dict[str, Logits]()
    for way, train in ways.items():
        began, spent = time.perf_counter(), sum(os.times()[:4])
        states = train()
        if case.images.device.type == "cuda":
            torch.cuda.synchronize()
        share = len(networks) * len(case.seeds)
        seconds[way] = (time.perf_counter() - began) / share
        cpu_seconds[way] = (sum(os.times()[:4]) - spent) / share
        logits[way] = {key: case.logits(networks[key[0]], state) for key, state in states.items()}
    return [
        {
            "way": way,
            "seconds": round(seconds[way], 4),
            "ratio": round(seconds[way] / seconds["loop"], 3),
            "cpu_seconds": round(cpu_seconds[way], 4),
            "logits": differences(logits[way], logits["fit"]),
        }
        for way in ways
    ]


def differences(found: Logits, expected: Logits) -> dict[str, list[float]]:
    """Return for each architecture the median and the largest, over its networks, of the largest change of a logit."""
    changes: dict[str, list[float]] = {}
    for key, own in found.items():
        changes.setdefault(key[0], []).append(float((own - expected[key]).abs().max()))
    return {
        name: [float(f"{value:.1e}") for value in (statistics.median(each), max(each))]
        for name, each in changes.items()
    }


def main() -> None:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--validation", type=int, default=300)
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--networks", type=int, default=4)
    parser.add_argument("--architectures", nargs="+", default=ARCHITECTURES)
    parser.add_argument("--name", default=None, help="results/nas_candidates_NAME.json; the device by default")
    args = parser.parse_args()
    settings = ProblemSettings(data=args.data, device=args.device, validation=args.validation)
    with tempfile.TemporaryDirectory() as folder:
        images = images_of(settings, data_root=args.data_root, download=False)
        if images.device.type == "cpu":
            keep_freed_memory()
        rows = measured(Case(images, args, Path(folder)))
    found = {
        "settings": {key: value for key, value in vars(args).items() if key not in ("name", "device", "data_root")},
        "machine": {
            "device": torch.cuda.get_device_name(images.device) if images.device.type == "cuda" else platform.machine(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        },
        "rows": rows,
    }
    path = RESULTS / f"nas_candidates_{args.name or images.device.type}.json"
    path.write_text(json.dumps(found, indent=2) + "\n")
    for row in rows:
        print(json.dumps(row))


if __name__ == "__main__":
    main()
